// SPDX-License-Identifier: Apache-2.0
//
// The arguments of a call as the one text that a reader sees, with the way back into the JSON: the name of a member stands beside its value
// and may say what it is, and numbers stand in no string.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "detectors/offset_map.h"

namespace redoubt::guards {

class CallText {
 public:
  // What a string holds between its quotes, or a number, in bytes of the JSON.
  struct Part {
    std::size_t begin = 0, end = 0;
    bool is_number = false;
  };

  // `json` has parsed.
  explicit CallText(std::string_view json);
  // The JSON without the escapes of its strings.
  const std::string& text() const { return text_; }
  // Where a byte of the text stands in the JSON; of the text's size the JSON's.
  std::size_t raw(std::size_t at) const;
  // In the order of their places.
  const std::vector<Part>& parts() const { return parts_; }

 private:
  struct Stretch {
    std::size_t at, raw;          // its first byte here, and in the JSON
    detectors::OffsetMap places;  // of a string
    bool is_string;
  };
  void add_between(std::string_view json, std::size_t from, std::size_t to);

  std::string text_;
  std::vector<Stretch> stretches_;
  std::vector<Part> parts_;
};

}  // namespace redoubt::guards
