// The one checker of the library: a call against its row in the table.
#include "runtime/call.hpp"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <limits>

#include "runtime/shapes.hpp"
#include "runtime/sizes.hpp"

namespace osc {
namespace {

// A text that is put together without allocating.
class Text {
 public:
  [[gnu::format(printf, 2, 3)]] void add(const char* format, ...) noexcept {
    va_list arguments;
    va_start(arguments, format);
    const int length = std::vsnprintf(text_ + length_, sizeof(text_) - length_, format, arguments);
    va_end(arguments);
    length_ = std::min(length_ + static_cast<std::size_t>(std::max(length, 0)), sizeof(text_) - 1);
  }
  void add_list(const std::int64_t* values, int count) noexcept {
    add("[");
    for (int i = 0; i < count; ++i)
      add("%s%lld", i == 0 ? "" : ", ", static_cast<long long>(values[i]));
    add("]");
  }

  Status as_failure() const noexcept { return Status(StatusCode::invalid_argument, -1, text_); }

 private:
  char text_[512] = "";
  std::size_t length_ = 0;
};

const char* name_of(std::int32_t dtype) noexcept {
  constexpr const char* kNames[] = {"no dtype", "float64", "float32", "float16",
                                    "bfloat16", "int64",   "int32"};
  return dtype >= OSC_ABSENT && dtype <= OSC_INT32 ? kNames[dtype] : "an unknown dtype";
}

std::int64_t bytes_of(std::int32_t dtype) noexcept {
  return dtype == OSC_FLOAT64 || dtype == OSC_INT64      ? 8
         : dtype == OSC_FLOAT16 || dtype == OSC_BFLOAT16 ? 2
                                                         : 4;
}

class Checker {
 public:
  Checker(const Row& row, const void* call) noexcept
      : described_(*row.described), shapes_(*row.shapes), call_(static_cast<const char*>(call)) {}

  Status check() noexcept {
    Status status = check_options();
    for (int i = 0; i < described_.array_count && status.ok(); ++i) status = check_array(i);
    return status;
  }

 private:
  template <typename T>
  const T& field(std::size_t offset) const noexcept {
    return *reinterpret_cast<const T*>(call_ + offset);
  }

  Status check_options() noexcept {
    for (int i = 0; i < described_.option_count; ++i) {
      const osc_option_description& option = described_.options[i];
      const auto offset = static_cast<std::size_t>(option.offset);
      if (option.kind == OSC_OPTION_DOUBLE) {
        const double value = field<double>(offset);
        if (value >= 0 && value <= std::numeric_limits<double>::max()) continue;
        return failure(StatusCode::invalid_argument, -1,
                       "%s is %g; wanted a positive, finite number", option.name, value);
      }
      if (option.kind == OSC_OPTION_INT64) continue;  // the range is the operator's own
      const std::int32_t value = field<std::int32_t>(offset);
      const char* const values = option.kind == OSC_OPTION_BOOLEAN ? "false true" : option.values;
      if (value < 0 || value > std::count(values, values + std::strlen(values), ' '))
        return refused_code(option.name, value, values);
      if (std::strcmp(option.name, "reduction") == 0) reduces_ = value != OSC_NONE;
    }
    return {};
  }

  static Status refused_code(const char* name, std::int32_t value, const char* values) noexcept {
    Text text;
    text.add("%s is %d; wanted", name, value);
    for (int code = 0; *values != '\0'; ++code) {
      const int length = static_cast<int>(std::strcspn(values, " "));
      text.add("%s %d (%.*s)", code == 0 ? "" : ",", code, length, values);
      values += length + (values[length] == ' ');
    }
    return text.as_failure();
  }

  Status check_array(int i) noexcept {
    const osc_array_description& described = described_.arrays[i];
    const osc_array& array =
        field<osc_array>(sizeof(std::size_t) + static_cast<std::size_t>(i) * sizeof(osc_array));
    const Shape& shape = shapes_.arrays[i];
    const int count = reduces_ ? shape.reduced_count : shape.count;
    const bool is_input = described.role == OSC_ROLE_INPUT;
    if (is_input || is_given(array)) {
      const Status status = check_dtype(described, array);
      if (!status.ok()) return status;
    }
    if (is_input && !array.sizes) return refused(described, "has no sizes: the pointer is null");
    const unsigned known_before = known_;
    const bool fits = !is_input || bind(shape, array);

    // The sizes that are wanted. Those of arrays that are not given must not overflow either:
    // results are counted in them on the way.
    std::int64_t sizes[kMostDimensions], bytes = bytes_of(OSC_FLOAT64);
    bool overflows = false, is_empty = false;
    for (int d = 0; d < count; ++d) {
      const Dimension& dimension = shape.dimensions[d];
      sizes[d] = dimension.factor;
      for (int k = 0; k < dimension.letter_count; ++k)
        overflows |= __builtin_mul_overflow(sizes[d], size_of_[dimension.letters[k]], &sizes[d]);
      overflows |= __builtin_mul_overflow(bytes, sizes[d], &bytes);
      is_empty |= sizes[d] == 0;
    }
    if (is_given(array) && array.sizes && !(fits && has_sizes(shape, count, array, sizes)))
      return refused_shape(described, shape, count, array, known_before);
    if (overflows && !is_empty) {
      return is_input ? refused(described, "has sizes %s whose product overflows", sizes, count)
                      : refused(described, "has sizes whose product overflows");
    }
    if (!is_given(array) || is_empty) return {};
    if (!array.data)
      return refused(described, "has sizes %s, but its data pointer is null", sizes, count);
    return array.sizes && array.strides ? check_strides(described, shape, array) : Status();
  }

  Status check_dtype(const osc_array_description& described, const osc_array& array) noexcept {
    const std::int32_t given = array.dtype;
    if (described.role == OSC_ROLE_INPUT && dtype_ == OSC_ABSENT) {
      dtype_ = given;
      if (given >= OSC_FLOAT64 && given <= OSC_BFLOAT16) return {};
      return failure(StatusCode::invalid_argument, -1,
                     given == OSC_ABSENT ? "%s is not given%s"
                                         : "%s is %s; wanted float64, float32, float16 or bfloat16",
                     described.name, given == OSC_ABSENT ? "" : name_of(given));
    }
    const std::int32_t wanted = described.dtype == OSC_ABSENT ? dtype_ : described.dtype;
    if (given == wanted) return {};
    return failure(StatusCode::invalid_argument, -1, "%s is %s; wanted %s%s%s", described.name,
                   given == OSC_ABSENT ? "not given" : name_of(given), name_of(wanted),
                   described.dtype == OSC_ABSENT ? ", as is " : "",
                   described.dtype == OSC_ABSENT ? described_.arrays[0].name : "");
  }

  // Takes the sizes of letters that no input before has. False for a number of dimensions, or a
  // size, that cannot be.
  bool bind(const Shape& shape, const osc_array& array) noexcept {
    const bool is_split = array.dims == shape.count + 1 && shape.split >= 0;
    if (array.dims != shape.count && !is_split) return false;
    for (int d = 0, source = 0; d < shape.count; ++d, ++source) {
      const Dimension& dimension = shape.dimensions[d];
      source += is_split && d == shape.split;
      if (array.sizes[source] < 0) return false;
      const int letter = dimension.letters[0];
      if (known_ >> letter & 1) continue;
      size_of_[letter] = is_split && d == shape.split ? array.sizes[source]
                                                      : array.sizes[source] / dimension.factor;
      known_ |= 1u << letter;
    }
    return true;
  }

  bool has_sizes(const Shape& shape, int count, const osc_array& array,
                 const std::int64_t* sizes) const noexcept {
    if (array.dims == count) return std::equal(sizes, sizes + count, array.sizes);
    const int split = shape.split;
    return array.dims == count + 1 && split >= 0 && std::equal(sizes, sizes + split, array.sizes) &&
           array.sizes[split] == shape.dimensions[split].factor &&
           array.sizes[split + 1] == size_of_[shape.dimensions[split].letters[0]] &&
           std::equal(sizes + split + 1, sizes + count, array.sizes + split + 2);
  }

  // Inputs and gradients may have any strides, but for channels; all others are contiguous.
  Status check_strides(const osc_array_description& described, const Shape& shape,
                       const osc_array& array) const noexcept {
    const bool is_strided = described.role == OSC_ROLE_INPUT || described.role == OSC_ROLE_GRADIENT;
    std::int64_t left = kMaxBytes / bytes_of(array.dtype) - 1, contiguous = 1;
    for (int d = array.dims - 1; d >= 0; --d) {
      const std::int64_t size = array.sizes[d], stride = array.strides[d];
      if (size == 1) continue;
      const bool is_adjacent = d == array.dims - 1 && shape.has_adjacent_channels;
      if ((!is_strided && stride != contiguous) || (is_strided && is_adjacent && stride != 1)) {
        return refused(described,
                       is_strided ? "has strides %s; wanted 1 for the last dimension"
                                  : "has strides %s; wanted a contiguous array",
                       array.strides, array.dims);
      }
      std::int64_t span = 0;
      if (stride == std::numeric_limits<std::int64_t>::min() ||
          __builtin_mul_overflow(size - 1, stride < 0 ? -stride : stride, &span) ||
          (left -= span) < 0)
        return refused(described, "has strides %s that overflow", array.strides, array.dims);
      contiguous *= size;
    }
    return {};
  }

  static Status refused(const osc_array_description& described, const char* text,
                        const std::int64_t* values = nullptr, int count = 0) noexcept {
    Text result;
    result.add("%s ", described.name);
    const char* const list = std::strstr(text, "%s");
    result.add("%.*s", static_cast<int>(list ? list - text : std::strlen(text)), text);
    if (list) {
      result.add_list(values, count);
      result.add("%s", list + 2);
    }
    return result.as_failure();
  }

  // "p has shape [4, 3, 8]; wanted [2B, S, C] = [4, 3, 6]", with the letters that are known.
  Status refused_shape(const osc_array_description& described, const Shape& shape, int count,
                       const osc_array& array, unsigned known) const noexcept {
    Text text;
    text.add("%s has shape ", described.name);
    text.add_list(array.sizes, std::clamp(array.dims, 0, 2 * kMostDimensions));
    text.add("; wanted ");
    add_shape(text, shape, count, 0);
    if (count > 0 && known != 0) {
      text.add(" = ");
      add_shape(text, shape, count, known);
    }
    if (shape.split >= 0) text.add(", in which rows i and i + B are the views of image i");
    return text.as_failure();
  }

  // With the sizes of known letters in their place.
  void add_shape(Text& text, const Shape& shape, int count, unsigned known) const noexcept {
    text.add("[");
    for (int d = 0; d < count; ++d) {
      const Dimension& dimension = shape.dimensions[d];
      std::int64_t size = dimension.factor;
      bool all_known = true;
      for (int k = 0; k < dimension.letter_count; ++k) {
        all_known &= (known >> dimension.letters[k] & 1) != 0;
        size *= size_of_[dimension.letters[k]];
      }
      if (d > 0) text.add(", ");
      if (all_known) {
        text.add("%lld", static_cast<long long>(size));
        continue;
      }
      if (dimension.factor > 1) text.add("%d", dimension.factor);
      for (int k = 0; k < dimension.letter_count; ++k) {
        const char* const letter = shapes_.letters[dimension.letters[k]];
        text.add("%.*s", Shapes::length_of_letter(letter), letter);
      }
    }
    text.add("]");
  }

  const osc_operator& described_;
  const Shapes& shapes_;
  const char* call_;
  bool reduces_ = false;             // the losses to one number
  std::int32_t dtype_ = OSC_ABSENT;  // of the inputs
  unsigned known_ = 0;               // a bit for each letter that has a size
  std::int64_t size_of_[kMostLetters] = {};
};

}  // namespace

Status check_struct_size(const osc_operator& described, const void* call) noexcept {
  if (!call) return failure(StatusCode::invalid_argument, -1, "the call is a null pointer");
  const std::size_t given = *static_cast<const std::size_t*>(call);
  if (given >= static_cast<std::size_t>(described.executor_offset) &&
      given <= described.struct_size)
    return {};
  return failure(StatusCode::invalid_argument, -1,
                 "struct_size is %zu; wanted %zu, the size of the struct of osc_%s", given,
                 described.struct_size, described.name);
}

Status check(const Row& row, const void* call) noexcept { return Checker(row, call).check(); }

}  // namespace osc
