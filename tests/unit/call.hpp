// Calls of any operator of the table, with arrays of any type in memory of any layout: what the
// conformance tests are written in.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "elements.hpp"
#include "guarded.hpp"
#include "osc/call.hpp"
#include "osc/executor.hpp"
#include "osc/osc.h"
#include "osc/workspace.hpp"

namespace osc {

inline constexpr std::int32_t kElementTypes[] = {OSC_FLOAT64, OSC_FLOAT32, OSC_FLOAT16,
                                                 OSC_BFLOAT16};

// Calls action(T()) with the C++ type of a dtype.
template <typename Action>
auto with_dtype(std::int32_t dtype, const Action& action) {
  switch (dtype) {
    case OSC_FLOAT64: return action(double());
    case OSC_FLOAT32: return action(float());
    case OSC_FLOAT16: return action(float16());
    case OSC_BFLOAT16: return action(bfloat16());
    case OSC_INT64: return action(std::int64_t());
    case OSC_INT32: return action(std::int32_t());
    default: throw std::logic_error("no dtype");
  }
}
inline std::int64_t bytes_of(std::int32_t dtype) {
  return with_dtype(dtype, [](auto x) { return static_cast<std::int64_t>(sizeof(x)); });
}
inline double load(std::int32_t dtype, const char* from) {
  return with_dtype(dtype, [&](auto x) {
    std::memcpy(&x, from, sizeof(x));
    return value(x);
  });
}
inline void store(std::int32_t dtype, char* to, double x) {
  with_dtype(dtype, [&](auto type) {
    const auto rounded = element<decltype(type)>(x);
    std::memcpy(to, &rounded, sizeof(rounded));
  });
}
inline double rounded(std::int32_t dtype, double x) {
  char bytes[8];
  store(dtype, bytes, x);
  return load(dtype, bytes);
}

using Sizes = std::map<std::string, std::int64_t>;  // of the letters of shapes
using Options = std::map<std::string, double>;      // by name, enumerations by code
using Dimensions = std::vector<std::int64_t>;

// An array as the caller thinks of it: numbers in row-major order, as a door sees them.
struct Array {
  const osc_array_description* row = nullptr;
  std::int32_t dtype = OSC_ABSENT;
  Dimensions sizes;
  std::vector<double> values;
  bool is_given = true;

  bool is_strided() const { return row->role == OSC_ROLE_INPUT || row->role == OSC_ROLE_GRADIENT; }
  bool is_read() const {
    return row->role == OSC_ROLE_INPUT || row->role == OSC_ROLE_GIVEN ||
           row->role == OSC_ROLE_GRAD_OUTPUT;
  }
};

// An array in memory. Gaps between its elements must stay untouched.
struct Placed {
  std::shared_ptr<void> owner;
  char* data = nullptr;
  Dimensions sizes, strides;
  std::function<bool()> gaps_are_untouched = [] { return true; };
};
using Placement = std::function<Placed(const Array&)>;

inline std::int64_t product(const Dimensions& sizes) {
  return std::accumulate(sizes.begin(), sizes.end(), std::int64_t{1}, std::multiplies<>());
}
inline Dimensions row_major(const Dimensions& sizes) {
  Dimensions strides(sizes.size(), 1);
  for (std::size_t d = sizes.size(); d-- > 1;) strides[d - 1] = strides[d] * sizes[d];
  return strides;
}

// The offset of each element, in row-major order.
inline std::vector<std::int64_t> offsets(const Dimensions& sizes, const Dimensions& strides) {
  std::vector<std::int64_t> result{0};
  for (std::size_t d = 0; d < sizes.size(); ++d) {
    std::vector<std::int64_t> next;
    for (const std::int64_t offset : result) {
      for (std::int64_t i = 0; i < sizes[d]; ++i) next.push_back(offset + i * strides[d]);
    }
    result = std::move(next);
  }
  return result;
}

inline constexpr double kUntouched = -7;

// Contiguous, `offset` elements after a multiple of 64 bytes.
inline Placement contiguously(std::int64_t offset = 0) {
  return [offset](const Array& array) {
    const auto bytes = static_cast<std::size_t>(bytes_of(array.dtype));
    const std::size_t room = (static_cast<std::size_t>(product(array.sizes)) + 64) * bytes + 64;
    const std::shared_ptr<char[]> memory(new char[room]);
    char* const line = memory.get() + (64 - reinterpret_cast<std::uintptr_t>(memory.get()) % 64);
    return Placed{memory, line + static_cast<std::size_t>(offset) * bytes, array.sizes,
                  row_major(array.sizes)};
  };
}

// Adjacent to a page without access.
inline Placement guarded(Guard guard) {
  return [guard](const Array& array) {
    const auto memory = std::make_shared<Guarded<char>>(
        static_cast<std::size_t>(product(array.sizes) * bytes_of(array.dtype)), guard, char{0x5a});
    return Placed{memory, memory->data(), array.sizes, row_major(array.sizes)};
  };
}

// Dimensions in any order, backwards too, with gaps; 2B also as [2, B]. In gaps of what is read
// lies NaN, which would spread if it were read; those of what is written must be left alone.
inline Placement strided(std::mt19937_64& random, bool splits_views) {
  return [&random, splits_views](const Array& array) {
    if (!array.is_strided()) return contiguously()(array);
    const auto pick = [&](std::int64_t most) {
      return std::uniform_int_distribution<std::int64_t>(0, most)(random);
    };
    Placed placed{nullptr, nullptr, array.sizes, Dimensions(array.sizes.size()), {}};
    const std::string shape = array.row->shape;
    if (const auto views = shape.find("2B"); splits_views && views != std::string::npos) {
      const auto at =
          placed.sizes.begin() +
          std::count(shape.begin(), shape.begin() + static_cast<std::ptrdiff_t>(views), ' ');
      *at /= 2;
      placed.sizes.insert(at, 2);
      placed.strides.resize(placed.sizes.size());
    }
    const bool has_channels = shape.back() == 'C' || shape.back() == 'D';
    std::vector<std::size_t> order(placed.sizes.size() - has_channels);
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), random);
    std::int64_t stride = 1, first = 0;
    if (has_channels) {
      placed.strides.back() = 1;
      stride = placed.sizes.back() + pick(3);
    }
    for (const std::size_t d : order) {
      const bool backwards = pick(1) == 1;
      placed.strides[d] = backwards ? -stride : stride;
      if (backwards) first += (placed.sizes[d] - 1) * stride;
      stride = stride * placed.sizes[d] + pick(3);
    }
    const std::int64_t bytes = bytes_of(array.dtype);
    const double gap = array.is_read() ? std::numeric_limits<double>::quiet_NaN() : -1024;
    const auto memory = std::make_shared<std::vector<char>>(
        static_cast<std::size_t>(std::max<std::int64_t>(stride, 1) * bytes));
    for (std::int64_t i = 0; i < std::ssize(*memory) / bytes; ++i)
      store(array.dtype, memory->data() + i * bytes, gap);
    placed.owner = memory;
    placed.data = memory->data() + first * bytes;
    if (product(placed.sizes) == 0) placed.data = memory->data();
    placed.gaps_are_untouched = [placed, memory, bytes, gap, dtype = array.dtype] {
      std::vector<bool> is_element(memory->size() / static_cast<std::size_t>(bytes));
      for (const std::int64_t offset : offsets(placed.sizes, placed.strides))
        is_element[static_cast<std::size_t>((placed.data - memory->data()) / bytes + offset)] =
            true;
      for (std::size_t i = 0; i < is_element.size(); ++i) {
        const double found = load(dtype, memory->data() + static_cast<std::int64_t>(i) * bytes);
        if (!is_element[i] && !(found == gap || (std::isnan(found) && std::isnan(gap))))
          return false;
      }
      return true;
    };
    return placed;
  };
}

inline const osc_operator& operator_named(const std::string& name) {
  std::int32_t count = 0;
  const osc_operator* const rows = osc_operators(&count);
  const auto* const found =
      std::find_if(rows, rows + count, [&](const osc_operator& row) { return name == row.name; });
  if (found == rows + count) throw std::logic_error("no operator " + name);
  return *found;
}

class Call {
 public:
  Call(const osc_operator& row, std::int32_t dtype, const Sizes& sizes, const Options& options = {})
      : struct_size(row.struct_size), row_(&row), dtype_(dtype), sizes_(sizes), options_(options) {
    for (int i = 0; i < row.array_count; ++i) {
      Array array;
      array.row = &row.arrays[i];
      array.dtype = array.row->dtype == OSC_ABSENT ? dtype : array.row->dtype;
      array.sizes = dimensions(array.row->shape);
      const bool is_loss = array.row->role == OSC_ROLE_LOSS;
      if ((is_loss || array.row->role == OSC_ROLE_GRAD_OUTPUT) && is_reduced())
        array.sizes.resize(is_loss || array.sizes.empty() ? 0
                                                          : array.sizes.size() - loss_dimensions());
      array.values.assign(static_cast<std::size_t>(product(array.sizes)), kUntouched);
      array.is_given = array.row->role != OSC_ROLE_GIVEN;
      arrays_.push_back(array);
    }
  }

  const osc_operator& row() const { return *row_; }
  const Sizes& sizes() const { return sizes_; }
  const Options& options() const { return options_; }
  std::int32_t dtype() const { return dtype_; }
  std::int64_t size(const std::string& letter) const { return sizes_.at(letter); }
  double option(const std::string& name) const {
    for (int i = 0; i < row_->option_count; ++i) {
      const osc_option_description& option = row_->options[i];
      const auto given = options_.find(name);
      if (name == option.name)
        return given == options_.end() ? option.default_value : given->second;
    }
    throw std::logic_error("no option " + name);
  }
  int code(const std::string& name) const { return static_cast<int>(option(name)); }
  void set_option(const std::string& name, double value) { options_[name] = value; }
  bool has(const std::string& name) const {
    return std::any_of(arrays_.begin(), arrays_.end(),
                       [&](const Array& array) { return name == array.row->name; });
  }
  Array& operator[](const std::string& name) {
    for (Array& array : arrays_) {
      if (name == array.row->name) return array;
    }
    throw std::logic_error("no array " + name);
  }
  const Array& operator[](const std::string& name) const { return const_cast<Call&>(*this)[name]; }
  std::vector<Array>& arrays() { return arrays_; }
  const std::vector<Array>& arrays() const { return arrays_; }

  // Rounded to the type of the array.
  template <typename Next>
  void fill(const std::string& name, const Next& next) {
    Array& array = (*this)[name];
    for (double& x : array.values) x = rounded(array.dtype, next());
  }

  // Through the C interface. Outputs that are given get what the call wrote.
  Status run(const Placement& place = contiguously()) {
    std::vector<Placed> placed;
    std::vector<char> call(row_->struct_size, 0);
    std::memcpy(call.data(), &struct_size, sizeof(std::size_t));
    for (std::size_t i = 0; i < arrays_.size(); ++i) {
      Array& array = arrays_[i];
      placed.push_back(array.is_given ? place(array) : Placed{});
      if (!array.is_given) continue;
      Placed& at = placed.back();
      const auto each = offsets(at.sizes, at.strides);
      for (std::size_t k = 0; k < each.size(); ++k)
        store(array.dtype, at.data + each[k] * bytes_of(array.dtype),
              array.is_read() ? array.values[k] : kUntouched);
      osc_array described{at.data, at.sizes.data(), at.strides.data(),
                          static_cast<std::int32_t>(at.sizes.size()), array.dtype};
      if (tamper) tamper(array, described);
      std::memcpy(call.data() + sizeof(std::size_t) + i * sizeof(osc_array), &described,
                  sizeof(described));
    }
    write_options(call);
    if (before_run) before_run();
    const osc_status code = row_->run(call.data());
    if (after_run) after_run();
    const Status status = detail::status_of(code);
    gaps_are_untouched = true;
    for (std::size_t i = 0; i < arrays_.size(); ++i) {
      Array& array = arrays_[i];
      if (!array.is_given) continue;
      gaps_are_untouched &= placed[i].gaps_are_untouched();
      const auto each = offsets(placed[i].sizes, placed[i].strides);
      for (std::size_t k = 0; k < each.size() && !array.is_read(); ++k)
        array.values[k] = load(array.dtype, placed[i].data + each[k] * bytes_of(array.dtype));
    }
    return status;
  }

  // The call that an autograd engine makes after this one: with the residuals, for the gradient
  // alone.
  Call backward() const {
    Call result = *this;
    for (Array& array : result.arrays_) {
      const std::string name = array.row->name;
      if (array.row->role == OSC_ROLE_GIVEN) {
        array.values = (*this)[name.substr(6)].values;
        array.is_given = true;
      }
      if (array.row->role == OSC_ROLE_LOSS || array.row->role == OSC_ROLE_OUTPUT ||
          array.row->role == OSC_ROLE_STATUS)
        array.is_given = false;
    }
    return result;
  }

  Executor* executor = nullptr;
  Workspace* workspace = nullptr;
  std::size_t struct_size;
  // Hooks of tests: `tamper` changes the descriptions of arrays, the others run before and after
  // the call.
  std::function<void(const Array&, osc_array&)> tamper;
  std::function<void()> before_run, after_run;
  bool gaps_are_untouched = true;  // in the last run

 private:
  // "2B S C" -> {2 * B, S, C}
  Dimensions dimensions(const std::string& shape) const {
    Dimensions result;
    for (std::size_t at = 0; at < shape.size();) {
      std::int64_t size = 1;
      for (; at < shape.size() && shape[at] != ' ';) {
        if (shape[at] >= '0' && shape[at] <= '9') {
          size *= shape[at++] - '0';
        } else if (shape[at] == '.') {
          ++at;
        } else {
          std::string letter(1, shape[at++]);
          while (at < shape.size() && shape[at] >= 'a' && shape[at] <= 'z') letter += shape[at++];
          size *= sizes_.at(letter);
        }
      }
      result.push_back(size);
      if (at < shape.size()) ++at;
    }
    return result;
  }
  bool is_reduced() const {
    for (int i = 0; i < row_->option_count; ++i) {
      if (std::string(row_->options[i].name) == "reduction") return code("reduction") != OSC_NONE;
    }
    return false;
  }
  std::size_t loss_dimensions() const {
    for (int i = 0; i < row_->array_count; ++i) {
      if (row_->arrays[i].role == OSC_ROLE_LOSS) return dimensions(row_->arrays[i].shape).size();
    }
    return 0;
  }
  void write_options(std::vector<char>& call) const {
    for (int i = 0; i < row_->option_count; ++i) {
      const osc_option_description& described = row_->options[i];
      const double value = option(described.name);
      char* const at = call.data() + described.offset;
      if (described.kind == OSC_OPTION_DOUBLE) {
        std::memcpy(at, &value, sizeof(value));
      } else if (described.kind == OSC_OPTION_INT64) {
        store(OSC_INT64, at, value);
      } else {
        store(OSC_INT32, at, value);
      }
    }
    std::memcpy(call.data() + row_->executor_offset, &executor, sizeof(executor));
    std::memcpy(call.data() + row_->workspace_offset, &workspace, sizeof(workspace));
  }

  const osc_operator* row_;
  std::int32_t dtype_;
  Sizes sizes_;
  Options options_;
  std::vector<Array> arrays_;
};

// The same numbers, NaN included.
inline bool same(double a, double b) {
  return (a == b && std::signbit(a) == std::signbit(b)) || (std::isnan(a) && std::isnan(b));
}

// The name of the first array that two calls wrote differently; "" for none.
inline std::string difference(const Call& a, const Call& b) {
  for (const Array& array : a.arrays()) {
    const Array& other = b[array.row->name];
    if (array.is_read() || !array.is_given || !other.is_given) continue;
    if (!std::equal(array.values.begin(), array.values.end(), other.values.begin(),
                    other.values.end(), same))
      return array.row->name;
  }
  return "";
}

inline bool is_untouched(const Call& call) {
  return std::all_of(call.arrays().begin(), call.arrays().end(), [](const Array& array) {
    return array.is_read() || !array.is_given ||
           std::all_of(array.values.begin(), array.values.end(),
                       [&](double x) { return x == kUntouched; });
  });
}

}  // namespace osc
