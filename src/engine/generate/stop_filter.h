// SPDX-License-Identifier: Apache-2.0
//
// Ends a stream of text before the first stop string, and never hands out what may still become one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace redoubt::engine::generate {

class StopFilter {
 public:
  // No stop string may be empty.
  explicit StopFilter(std::vector<std::string> stops) : stops_(std::move(stops)) {}

  // The text that is safe to hand out now. Nothing more comes once `stopped`.
  std::string push(std::string_view text);
  // What was held back, at the end of a stream that was not stopped.
  std::string finish();
  bool stopped() const { return stopped_; }

 private:
  std::vector<std::string> stops_;
  std::string held_;
  bool stopped_ = false;
};

}  // namespace redoubt::engine::generate
