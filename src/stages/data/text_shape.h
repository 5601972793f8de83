// SPDX-License-Identifier: Apache-2.0
//
// What one pass over a text tells about it, so that most rules need not be tried.
#pragma once

#include <string_view>

#include "stages/data/rule.h"

namespace redoubt::stages::data {

struct TextShape {
  unsigned digits = 0;  // most digits with at most two signs of grouping between one and the next
  Shape shape;

  bool fits(const Rule& rule) const {
    return digits >= rule.digits && shape.mixed_run >= rule.shape.mixed_run && shape.hex_colons >= rule.shape.hex_colons &&
           shape.hex_dashes >= rule.shape.hex_dashes && shape.hex_dots >= rule.shape.hex_dots;
  }
};

TextShape shape_of(std::string_view text);

}  // namespace redoubt::stages::data
