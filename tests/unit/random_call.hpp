// Calls of any operator on random inputs, of any kind and size.
#pragma once

#include <array>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "call.hpp"

namespace osc {

enum class Kind {
  ordinary,
  magnitudes,  // slots, and gradients of losses, of every magnitude that the type has; some zero
  ties,        // small whole numbers; slots that are zero, or as the one before
  nonfinite,   // a few NaN and infinities
};

class RandomCall {
 public:
  explicit RandomCall(std::uint64_t seed) : random_(seed) {}

  std::int64_t pick(std::int64_t least, std::int64_t most) {
    return std::uniform_int_distribution<std::int64_t>(least, most)(random_);
  }
  std::mt19937_64& random() { return random_; }

  Sizes sizes(const osc_operator& row) {
    const std::string name = row.name;
    Sizes sizes{{"B", pick(1, 4)},  {"S", pick(0, 9) == 0 ? pick(10, 34) : pick(1, 9)},
                {"C", pick(0, 40)}, {"Al", pick(1, 3)},
                {"L", pick(1, 9)},  {"As", pick(1, 3)},
                {"G", pick(1, 3)},  {"N", pick(2, 30)},
                {"D", pick(1, 40)}, {"R", pick(1, 3)}};
    if (name == "linear_sum_assignment")
      sizes = {{"N", pick(1, 4)}, {"R", pick(1, 20)}, {"K", pick(1, 20)}};
    return sizes;
  }

  Options options(const osc_operator& row, const Sizes& sizes) {
    Options options;
    for (int i = 0; i < row.option_count; ++i) {
      const osc_option_description& option = row.options[i];
      const std::string name = option.name, values = option.values ? option.values : "";
      if (option.kind == OSC_OPTION_BOOLEAN) options[name] = static_cast<double>(pick(0, 1));
      if (option.kind == OSC_OPTION_ENUMERATION)
        options[name] = static_cast<double>(pick(0, std::count(values.begin(), values.end(), ' ')));
    }
    options["on_nonfinite"] = OSC_PROPAGATE;
    options["on_unsolvable"] = OSC_UNSOLVABLE_UNMATCHED;
    options["eps"] = std::array{1e-10, 1e-30, 1e-300, 0.5}[static_cast<std::size_t>(pick(0, 3))];
    options["temperature"] =
        std::array{1.0, 0.3, 0.1, 0.02, 1e-3}[static_cast<std::size_t>(pick(0, 4))];
    options["rank"] = static_cast<double>(pick(0, sizes.count("R") ? sizes.at("R") - 1 : 0));
    return options;
  }

  // Inputs and gradients of losses. Of some calls the slots of view 1 resemble those of view 0, as
  // those of a trained network do.
  void fill(Call& call, Kind kind) {
    std::normal_distribution<double> normal;
    for (Array& array : call.arrays()) {
      if (!array.is_read() || array.row->role == OSC_ROLE_GIVEN) continue;
      call.fill(array.row->name, [&] { return normal(random_); });
      const bool is_slots =
          array.sizes.size() >= 3 && std::string(array.row->shape).find("2B") != std::string::npos;
      const std::int64_t length = array.sizes.empty() ? 1 : array.sizes.back(),
                         rows = length == 0 ? 0 : std::ssize(array.values) / length;
      if (is_slots && pick(0, 1) == 0) {
        for (std::int64_t i = rows / 2 * length; i < rows * length; ++i)
          array.values[i] =
              rounded(array.dtype, array.values[i - rows / 2 * length] + array.values[i] / 2);
      }
      for (std::int64_t row = 0; row < rows; ++row) {
        double* const first = array.values.data() + row * length;
        const std::int64_t like = pick(0, 9);
        const int exponent = this->exponent(array.dtype);
        for (std::int64_t c = 0; c < length; ++c) {
          if (kind == Kind::magnitudes) first[c] = like == 0 ? 0 : std::ldexp(first[c], exponent);
          if (kind == Kind::ties)
            first[c] = like < 2              ? 0
                       : like < 4 && row > 0 ? first[c - length]
                                             : std::round(2 * first[c]);
          first[c] = rounded(array.dtype, first[c]);
        }
      }
      const double bad[] = {std::nan(""), INFINITY, -INFINITY};
      for (std::int64_t n = array.row->role == OSC_ROLE_INPUT ? pick(0, 2) : 0;
           n > 0 && kind == Kind::nonfinite && rows > 0; --n)
        array.values[pick(0, rows * length - 1)] = bad[pick(0, 2)];
    }
  }

  Call call(const osc_operator& row, std::int32_t dtype, Kind kind) {
    const Sizes chosen = sizes(row);
    Call result(row, dtype, chosen, options(row, chosen));
    fill(result, kind);
    // The gradient of gathered slots takes what other ranks computed: see with_gradient().
    if (result.has("given_log_sum_exp") && result["slots"].sizes.size() == 4)
      result["grad_slots"].is_given = false;
    return result;
  }

 private:
  int exponent(std::int32_t dtype) {
    return static_cast<int>(dtype == OSC_FLOAT64   ? pick(-1074, 1020)
                            : dtype == OSC_FLOAT16 ? pick(-24, 13)
                                                   : pick(-149, 124));
  }

  std::mt19937_64 random_;
};

}  // namespace osc
