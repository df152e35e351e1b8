// The shapes of the table (osc/osc.h), parsed while it is compiled.
#pragma once

#include <cstdint>

#include "osc/osc.h"

namespace osc {

inline constexpr int kMostDimensions = 5, kMostLetters = 8, kMostArrays = 12;

// The product of a number and letters, which are places in Shapes::letters.
struct Dimension {
  int factor = 1;
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

// Of the arrays of one operator.
struct Shapes {
  const char* letters[kMostLetters] = {};  // where each begins in the text of a shape
  int letter_count = 0;
  Shape arrays[kMostArrays];

  constexpr Shapes(const osc_array_description* described, int count) {
    for (int i = 0; i < count; ++i) parse(described[i].shape, arrays[i]);
    int loss = 0;  // the next one that a grad_output belongs to
    for (int i = 0; i < count; ++i) {
      Shape& shape = arrays[i];
      shape.reduced_count = shape.count;
      if (described[i].role == OSC_ROLE_LOSS) shape.reduced_count = 0;
      if (described[i].role != OSC_ROLE_GRAD_OUTPUT) continue;
      while (described[loss].role != OSC_ROLE_LOSS) ++loss;
      shape.reduced_count -= arrays[loss++].count;
    }
  }

  // Of the letter that `text` begins with, "Al" of "Al L C".
  static constexpr int length_of_letter(const char* text) {
    int length = 1;
    while (text[length] >= 'a' && text[length] <= 'z') ++length;
    return length;
  }

 private:
  constexpr int place_of_letter(const char* text) {
    const int length = length_of_letter(text);
    for (int place = 0; place < letter_count; ++place) {
      bool same = length_of_letter(letters[place]) == length;
      for (int i = 0; i < length && same; ++i) same = letters[place][i] == text[i];
      if (same) return place;
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

}  // namespace osc
