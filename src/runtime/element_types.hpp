// The types of elements that the library takes, for the explicit instantiation of its templates.
#pragma once

#include "osc/float16.hpp"

#define OSC_FOR_EACH_ELEMENT_TYPE(instantiate) \
  instantiate(double) instantiate(float) instantiate(float16) instantiate(bfloat16)
