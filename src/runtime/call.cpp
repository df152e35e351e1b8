// The one checker of the library: a call against its row in the table.
#include "runtime/call.hpp"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <limits>

#include "runtime/row.hpp"
#include "runtime/sizes.hpp"

namespace osc::cpu {
namespace {

// A text that is put together without allocating.
class Text {
 public:
  Text() noexcept { text_[0] = '\0'; }
  [[gnu::format(printf, 2, 3)]] void add(const char* format, ...) noexcept {
    va_list arguments;
    va_start(arguments, format);
    const int length = std::vsnprintf(text_ + length_, sizeof(text_) - length_, format, arguments);
    va_end(arguments);
    length_ = std::min(length_ + static_cast<std::size_t>(std::max(length, 0)), sizeof(text_) - 1);
  }
  void add_list(const Index* values, int count) noexcept {
    add("[");
    for (int i = 0; i < count; ++i)
      add("%s%lld", i == 0 ? "" : ", ", static_cast<long long>(values[i]));
    add("]");
  }
  const char* get() const noexcept { return text_; }

 private:
  char text_[512];
  std::size_t length_ = 0;
};

const char* name_of(std::int32_t dtype) noexcept {
  constexpr const char* kNames[] = {"not given", "float64", "float32", "float16",
                                    "bfloat16",  "int64",   "int32"};
  return dtype >= OSC_ABSENT && dtype <= OSC_INT32 ? kNames[dtype] : "of an unknown dtype";
}

Index bytes_of(std::int32_t dtype) noexcept {
  constexpr Index kBytes[] = {0, 8, 4, 2, 2, 8, 4};
  return kBytes[dtype];
}

class Checker {
 public:
  Checker(const Row& row, const void* call) noexcept
      : row_(*row.described), parsed_(*row.parsed), call_(static_cast<const char*>(call)) {}

  Status check() noexcept {
    bool good = check_options();
    for (int i = 0; i < row_.array_count && good; ++i) {
      described_ = &row_.arrays[i];
      shape_ = &parsed_.arrays[i];
      array_ = &array_of(call_, i);
      good =
          described_->role == OSC_ROLE_INPUT ? check_input() : !is_given(*array_) || check_given();
    }
    return good ? Status() : Status(StatusCode::invalid_argument, -1, text_.get());
  }

 private:
  template <typename T>
  const T& field(std::int32_t offset) const noexcept {
    return *reinterpret_cast<const T*>(call_ + offset);
  }

  bool check_options() noexcept {
    for (int i = 0; i < row_.option_count; ++i) {
      const osc_option_description& option = row_.options[i];
      if (option.kind == OSC_OPTION_INT64) continue;  // the range is the operator's own
      if (option.kind == OSC_OPTION_DOUBLE) {
        const double value = field<double>(option.offset);
        if (value >= 0 && value <= std::numeric_limits<double>::max()) continue;
        text_.add("%s is %g; wanted a positive, finite number", option.name, value);
        return false;
      }
      const std::int32_t value = field<std::int32_t>(option.offset);
      if (value < 0 || value >= parsed_.code_counts[i]) return refuse_code(option, value);
    }
    reduces_ = parsed_.reduction >= 0 &&
               field<std::int32_t>(row_.options[parsed_.reduction].offset) != OSC_NONE;
    return true;
  }

  bool refuse_code(const osc_option_description& option, std::int32_t value) noexcept {
    const char* values = option.kind == OSC_OPTION_BOOLEAN ? "false true" : option.values;
    text_.add("%s is %d; wanted", option.name, value);
    for (int code = 0; *values != '\0'; ++code) {
      const int length = static_cast<int>(std::strcspn(values, " "));
      text_.add("%s %d (%.*s)", code == 0 ? "" : ",", code, length, values);
      values += length + (values[length] == ' ');
    }
    return false;
  }

  // Takes the dtype from the first input, and the sizes of letters that this input has first.
  bool check_input() noexcept {
    if (dtype_ == OSC_ABSENT) {
      dtype_ = array_->dtype;
      if (dtype_ < OSC_FLOAT64 || dtype_ > OSC_BFLOAT16) {
        text_.add("%s is %s; wanted float64, float32, float16 or bfloat16", described_->name,
                  name_of(dtype_));
        return false;
      }
    }
    if (!check_dtype()) return false;
    if (!array_->sizes) {
      text_.add("%s has no sizes: the pointer is null", described_->name);
      return false;
    }
    const unsigned known_before = known_;
    const bool is_split = array_->dims == shape_->count + 1 && shape_->split >= 0;
    bool good = array_->dims == shape_->count || is_split;
    // The product of the sizes, each counted as at least 1, is an upper bound for every result.
    Index bytes = bytes_of(OSC_FLOAT64);
    bool overflows = false;
    for (int d = 0, source = 0; d < shape_->count && good; ++d, ++source) {
      const Dimension& dimension = shape_->dimensions[d];
      Index size = array_->sizes[source];
      if (is_split && d == shape_->split) {
        good = size == dimension.factor;
        size = array_->sizes[++source];
      } else if (dimension.factor != 1) {
        good = size % dimension.factor == 0;
        size /= dimension.factor;
      }
      const int letter = dimension.letters[0];
      if ((known_ >> letter & 1) == 0) size_of_[letter] = size;
      known_ |= 1u << letter;
      good &= size >= 0 && size == size_of_[letter];
      overflows |= __builtin_mul_overflow(bytes, dimension.factor, &bytes);
      overflows |= __builtin_mul_overflow(bytes, std::max<Index>(size, 1), &bytes);
    }
    if (!good) return refuse_shape(shape_->count, known_before);
    if (overflows)
      return refuse_list("sizes", array_->sizes, "; the product of those that are not 0 overflows");
    return check_elements(array_->sizes, array_->dims);
  }

  bool check_given() noexcept {
    if (!check_dtype()) return false;
    if (!array_->sizes && array_->strides) {
      text_.add("%s has strides, but no sizes: the pointer is null", described_->name);
      return false;
    }
    if (!array_->sizes && array_->data) return true;  // without sizes: it has those that are wanted
    const int count = reduces_ ? shape_->reduced_count : shape_->count;
    Index sizes[kMostDimensions];
    for (int d = 0; d < count; ++d) {
      const Dimension& dimension = shape_->dimensions[d];
      sizes[d] = dimension.factor;
      for (int k = 0; k < dimension.letter_count; ++k) sizes[d] *= size_of_[dimension.letters[k]];
    }
    if (!array_->sizes) return check_elements(sizes, count);
    if (!has_sizes(sizes, count)) return refuse_shape(count, known_);
    return check_elements(array_->sizes, array_->dims);
  }

  bool check_dtype() noexcept {
    const bool as_input = described_->dtype == OSC_ABSENT;
    const std::int32_t wanted = as_input ? dtype_ : described_->dtype;
    if (array_->dtype == wanted) return true;
    text_.add("%s is %s; wanted %s", described_->name, name_of(array_->dtype), name_of(wanted));
    if (as_input) text_.add(", as is %s", row_.arrays[0].name);
    return false;
  }

  bool has_sizes(const Index* sizes, int count) const noexcept {
    const Index* given = array_->sizes;
    const bool is_split = array_->dims == count + 1 && shape_->split >= 0;
    if (array_->dims != count && !is_split) return false;
    bool same = true;
    for (int d = 0; d < count; ++d, ++given) {
      if (is_split && d == shape_->split) {
        same &= *given++ == shape_->dimensions[d].factor;
        same &= *given == size_of_[shape_->dimensions[d].letters[0]];
      } else {
        same &= *given == sizes[d];
      }
    }
    return same;
  }

  // Checks the pointer and the strides of an array of these sizes. Inputs and gradients may have
  // any strides, except along channels. All other arrays must be contiguous.
  bool check_elements(const Index* sizes, int count) noexcept {
    for (int d = 0; d < count; ++d) {
      if (sizes[d] == 0) return true;
    }
    if (!array_->data) {
      text_.add("%s has shape ", described_->name);
      text_.add_list(sizes, count);
      text_.add(", but its data pointer is null");
      return false;
    }
    if (!array_->strides || !array_->sizes) return true;
    const bool is_strided =
        described_->role == OSC_ROLE_INPUT || described_->role == OSC_ROLE_GRADIENT;
    Index left = kMaxBytes / bytes_of(array_->dtype) - 1, contiguous = 1;
    for (int d = count - 1; d >= 0; --d) {
      const Index stride = array_->strides[d], steps = sizes[d] - 1;
      if (steps == 0) continue;
      if (!is_strided && stride != contiguous)
        return refuse_list("strides", array_->strides, "; wanted a contiguous array");
      if (stride != 1 && shape_->has_adjacent_channels && d == count - 1)
        return refuse_list("strides", array_->strides, "; wanted 1 for the last dimension");
      if (stride == 0 && described_->role != OSC_ROLE_INPUT)
        return refuse_list("strides", array_->strides, "; wanted none of 0, since it is written");
      Index span = 0;
      if (__builtin_mul_overflow(steps, stride < 0 ? stride : -stride, &span) || (left += span) < 0)
        return refuse_list("strides", array_->strides, " that overflow");
      contiguous *= sizes[d];
    }
    return true;
  }

  bool refuse_list(const char* what, const Index* values, const char* why) noexcept {
    text_.add("%s has %s ", described_->name, what);
    text_.add_list(values, array_->dims);
    text_.add("%s", why);
    return false;
  }

  // "p has shape [4, 3, 8]; wanted [2B, S, C] = [4, 3, 6]", with the letters that are known.
  bool refuse_shape(int count, unsigned known) noexcept {
    text_.add("%s has shape ", described_->name);
    text_.add_list(array_->sizes, std::clamp(array_->dims, 0, 2 * kMostDimensions));
    text_.add("; wanted ");
    add_shape(count, 0);
    if (count > 0 && known != 0) {
      text_.add(" = ");
      add_shape(count, known);
    }
    if (shape_->split >= 0) text_.add(", in which rows i and i + B are the views of image i");
    return false;
  }

  // Adds a shape, with the sizes of known letters in their place.
  void add_shape(int count, unsigned known) noexcept {
    text_.add("[");
    for (int d = 0; d < count; ++d) {
      const Dimension& dimension = shape_->dimensions[d];
      Index size = dimension.factor;
      bool all_known = true;
      for (int k = 0; k < dimension.letter_count; ++k) {
        all_known &= (known >> dimension.letters[k] & 1) != 0;
        size *= size_of_[dimension.letters[k]];
      }
      text_.add("%s", d == 0 ? "" : ", ");
      if (all_known || dimension.factor > 1)
        text_.add("%lld", static_cast<long long>(all_known ? size : dimension.factor));
      for (int k = 0; k < dimension.letter_count && !all_known; ++k) {
        const char* const letter = parsed_.letters[dimension.letters[k]];
        text_.add("%.*s", ParsedRow::length_of_letter(letter), letter);
      }
    }
    text_.add("]");
  }

  const osc_operator& row_;
  const ParsedRow& parsed_;
  const char* call_;
  // The array that is being checked.
  const osc_array_description* described_ = nullptr;
  const Shape* shape_ = nullptr;
  const osc_array* array_ = nullptr;

  bool reduces_ = false;             // losses are reduced to one number
  std::int32_t dtype_ = OSC_ABSENT;  // of the inputs
  unsigned known_ = 0;               // a bit for each letter that has a size
  Index size_of_[kMostLetters] = {};
  Text text_;  // the message of the failure
};

}  // namespace

Status check_struct_size(const osc_operator& row, const void* call) noexcept {
  if (!call) return Status(StatusCode::invalid_argument, -1, "the call is a null pointer");
  const std::size_t given = *static_cast<const std::size_t*>(call);
  if (given == row.struct_size) return {};
  for (const std::int32_t end : {row.workspace_offset, row.executor_offset}) {
    if (given == static_cast<std::size_t>(end)) return {};  // the fields from here on are missing
  }
  return failure(StatusCode::invalid_argument, -1,
                 "struct_size is %zu; wanted %zu, the size of the struct of osc_%s", given,
                 row.struct_size, row.name);
}

Status check(const Row& row, const void* call) noexcept { return Checker(row, call).check(); }

}  // namespace osc::cpu
