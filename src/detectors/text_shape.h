// SPDX-License-Identifier: Apache-2.0
//
// What one pass over a text tells about it, so that most rules need not be tried.
#pragma once

#include <string_view>

#include "detectors/rule.h"

namespace redoubt::detectors {

struct TextShape {
  unsigned digits = 0;  // most digits with at most two signs of grouping between one and the next
  Shape shape;

  bool fits(const Rule& rule) const {
    const Shape& asked = rule.shape;
    return digits >= rule.digits && shape.mixed_run >= asked.mixed_run && shape.value_run >= asked.value_run && shape.random_run >= asked.random_run && shape.hex_colons >= asked.hex_colons &&
           shape.hex_dashes >= asked.hex_dashes && shape.hex_dots >= asked.hex_dots && shape.digits_colon >= asked.digits_colon &&
           shape.token_dots >= asked.token_dots && shape.capitals_digits >= asked.capitals_digits && shape.addresses >= asked.addresses;
  }
};

TextShape shape_of(std::string_view text);

}  // namespace redoubt::detectors
