// Calls of any operator on random inputs, of any kind and size.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <stdexcept>
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
    Sizes sizes{{"B", pick(1, 4)},
                {"S", pick(0, 9) == 0 ? pick(10, 34) : pick(1, 9)},
                {"C", pick(0, 9) == 0 ? pick(41, 140) : pick(0, 40)},
                {"Al", pick(1, 3)},
                {"L", pick(1, 9)},
                {"As", pick(1, 3)},
                {"G", pick(1, 3)},
                {"N", pick(2, 30)},
                {"D", pick(1, 40)},
                {"R", pick(1, 3)}};
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
    options["eps"] = one_of({1e-10, 1e-10, 1e-30, 1e-310, 5e-324, 0.5, 1e300});
    options["temperature"] = one_of({1, 1, 0.3, 0.1, 0.02, 1e-3, 1e-7, 1e-30, 1e3, 0x1p100});
    options["rank"] = static_cast<double>(pick(0, sizes.count("R") ? sizes.at("R") - 1 : 0));
    return options;
  }

  // Inputs and gradients of losses. Of some calls the slots of view 1 resemble those of view 0, as
  // those of a trained network do.
  void fill(Call& call, Kind kind) {
    std::normal_distribution<double> normal;
    // Either all slots share one exponent, and all gradients of losses one near it, or each has its
    // own.
    const bool is_together = pick(0, 1) == 1;
    const int common = exponent(call.dtype());
    for (Array& array : call.arrays()) {
      if (!array.is_read() || array.row->role == OSC_ROLE_GIVEN) continue;
      call.fill(array.row->name, [&] { return normal(random_); });
      const std::int64_t length = array.sizes.empty() ? 1 : array.sizes.back(),
                         rows = length == 0 ? 0 : std::ssize(array.values) / length;
      if (array.sizes.size() >= 3 && std::string(array.row->shape).find("2B") < 3)
        resemble(array, rows / 2 * length, one_of({0, 0, 0.5, 0.01}));
      for (std::int64_t row = 0; row < rows; ++row) {
        double* const first = array.values.data() + row * length;
        const std::int64_t like = pick(0, 9);
        const int near =
                      array.row->role == OSC_ROLE_GRAD_OUTPUT ? static_cast<int>(pick(-40, 40)) : 0,
                  exponent = is_together ? common + near : this->exponent(array.dtype);
        for (std::int64_t c = 0; c < length; ++c) {
          if (kind == Kind::magnitudes) first[c] = like == 0 ? 0 : std::ldexp(first[c], exponent);
          if (kind == Kind::ties)
            first[c] = like < 2              ? 0
                       : like < 4 && row > 0 ? first[c - length]
                                             : std::round(2 * first[c]);
          first[c] =
              rounded(array.dtype, std::clamp(first[c], -most(array.dtype), most(array.dtype)));
        }
      }
      const double bad[] = {std::nan(""), INFINITY, -INFINITY};
      for (std::int64_t n = array.row->role == OSC_ROLE_INPUT ? pick(0, 2) : 0;
           n > 0 && kind == Kind::nonfinite && rows > 0; --n)
        array.values[pick(0, rows * length - 1)] = bad[pick(0, 2)];
    }
  }

  Call call(const osc_operator& row, std::int32_t dtype, Kind kind) {
    return call(row, dtype, kind, sizes(row));
  }
  Call call(const osc_operator& row, std::int32_t dtype, Kind kind, const Sizes& sizes) {
    Call result(row, dtype, sizes, options(row, sizes));
    fill(result, kind);
    if (is_gathered(row)) {
      result["grad_slots"].is_given = false;
      if (pick(0, 1) == 1) want_gradient_alone(result);
    } else if (result.has("given_matching") && pick(0, 3) == 0) {
      give_matching(result);
    }
    return result;
  }

  static bool is_gathered(const osc_operator& row) {
    return std::string(row.name) == "matching_contrastive_loss_gathered";
  }

 private:
  double one_of(const std::vector<double>& values) {
    return values[static_cast<std::size_t>(pick(0, std::ssize(values) - 1))];
  }
  static double most(std::int32_t dtype) {
    return dtype == OSC_FLOAT64   ? std::numeric_limits<double>::max()
           : dtype == OSC_FLOAT16 ? 65504
           : dtype == OSC_FLOAT32 ? std::numeric_limits<float>::max()
                                  : 0x1.fep127;
  }
  int exponent(std::int32_t dtype) {
    return static_cast<int>(dtype == OSC_FLOAT64   ? pick(-1074, 1023)
                            : dtype == OSC_FLOAT16 ? pick(-24, 15)
                                                   : pick(-149, 127));
  }

  // The second half of the elements becomes a copy of the first plus `noise` times its old values.
  void resemble(Array& array, std::int64_t half, double noise) {
    for (std::int64_t i = 0; i < half && noise > 0; ++i)
      array.values[half + i] =
          rounded(array.dtype, array.values[i] + noise * array.values[half + i]);
  }

  // Gives an arbitrary valid matching, which need not be optimal.
  void give_matching(Call& call) {
    Array& matching = call["given_matching"];
    matching.is_given = true;
    const std::int64_t slots = call.size("S");
    for (std::int64_t i = 0; i < std::ssize(matching.values); ++i)
      matching.values[i] =
          static_cast<double>(call.has("f_large") ? pick(-1, call.size("L") - 1) : i % slots);
    for (std::int64_t i = 0; i < std::ssize(matching.values) && !call.has("f_large"); i += slots) {
      std::shuffle(matching.values.begin() + i, matching.values.begin() + i + slots, random_);
      if (pick(0, 5) == 0) std::fill_n(matching.values.begin() + i, slots, -1);
    }
  }

  // The call that follows those of all ranks: for the gradient of one rank's slots.
  static void want_gradient_alone(Call& call) {
    const Call forward = call;
    for (std::int64_t rank = 0; rank < call.size("R"); ++rank) {
      Call of_rank = forward;
      of_rank.set_option("rank", static_cast<double>(rank));
      if (!of_rank.run().ok()) throw std::logic_error("no call of a rank");
      const auto& log_sum_exp = of_rank["log_sum_exp"].values;
      std::copy(log_sum_exp.begin(), log_sum_exp.end(),
                call["given_log_sum_exp"].values.begin() + rank * std::ssize(log_sum_exp));
      if (rank == call.code("rank")) call["given_matching"].values = of_rank["matching"].values;
    }
    for (Array& array : call.arrays())
      array.is_given = array.is_read() || array.row->role == OSC_ROLE_GRADIENT;
  }

  std::mt19937_64 random_;
};

}  // namespace osc
