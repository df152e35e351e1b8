// A row of the table of operators (osc/osc.h), parsed while it is compiled.
#pragma once

#include <cstdint>
#include <string_view>

#include "osc/osc.h"
#include "runtime/sizes.hpp"

namespace osc::cpu {

inline constexpr int kMostDimensions = 5, kMostLetters = 8, kMostArrays = 12, kMostOptions = 8;

// The product of a number and letters, which are places in ParsedRow::letters.
struct Dimension {
  Index factor = 1;
  int letters[3] = {};
  int letter_count = 0;
};

struct Shape {
  Dimension dimensions[kMostDimensions];
  int count = 0;
  int reduced_count = 0;               // of the dimensions that are left when losses are reduced
  int split = -1;                      // the dimension 2B, which may come as 2 and B; -1: none
  bool has_adjacent_channels = false;  // the last dimension is C, channels, or D, features
};

struct ParsedRow {
  const char* letters[kMostLetters] = {};  // where each begins in the text of a shape
  int letter_count = 0;
  Shape arrays[kMostArrays];
  std::int32_t code_counts[kMostOptions] = {};  // the values of booleans and enumerations
  int reduction = -1;                           // the option; -1: none

  constexpr explicit ParsedRow(const osc_operator& row) {
    for (int i = 0; i < row.array_count; ++i) parse(row.arrays[i].shape, arrays[i]);
    int loss = 0;  // the next one that a grad_output belongs to
    for (int i = 0; i < row.array_count; ++i) {
      Shape& shape = arrays[i];
      shape.reduced_count = shape.count;
      if (row.arrays[i].role == OSC_ROLE_LOSS) shape.reduced_count = 0;
      if (row.arrays[i].role != OSC_ROLE_GRAD_OUTPUT) continue;
      while (row.arrays[loss].role != OSC_ROLE_LOSS) ++loss;
      shape.reduced_count -= arrays[loss++].count;
    }
    for (int i = 0; i < row.option_count; ++i) {
      const osc_option_description& option = row.options[i];
      if (option.kind == OSC_OPTION_BOOLEAN) code_counts[i] = 2;
      if (option.kind != OSC_OPTION_ENUMERATION) continue;
      code_counts[i] = 1;
      for (const char c : std::string_view(option.values)) code_counts[i] += c == ' ';
      if (std::string_view(option.name) == "reduction") reduction = i;
    }
  }

  // The length of the letter that `text` begins with: 2 for "Al L C".
  static constexpr int length_of_letter(const char* text) {
    int length = 1;
    while (text[length] >= 'a' && text[length] <= 'z') ++length;
    return length;
  }

 private:
  constexpr int place_of_letter(const char* text) {
    const std::string_view letter(text, static_cast<std::size_t>(length_of_letter(text)));
    for (int place = 0; place < letter_count; ++place) {
      if (std::string_view(letters[place],
                           static_cast<std::size_t>(length_of_letter(letters[place]))) == letter)
        return place;
    }
    letters[letter_count] = text;
    return letter_count++;
  }

  constexpr void parse(const char* text, Shape& shape) {
    while (*text != '\0') {
      Dimension& dimension = shape.dimensions[shape.count];
      if (*text >= '0' && *text <= '9') dimension.factor = *text++ - '0';
      while (*text >= 'A' && *text <= 'Z') {
        shape.has_adjacent_channels = *text == 'C' || *text == 'D';
        dimension.letters[dimension.letter_count++] = place_of_letter(text);
        text += length_of_letter(text);
      }
      if (dimension.factor > 1 && dimension.letter_count == 1) shape.split = shape.count;
      ++shape.count;
      while (*text == '.' || *text == ' ') ++text;
    }
  }
};

}  // namespace osc::cpu
