// SPDX-License-Identifier: Apache-2.0
//
// Progress on stderr: a bar where stderr is a terminal, else a plain line at the start, every ten seconds and at the end.
#pragma once

#include <chrono>
#include <string>

#include "base/progress.h"

namespace redoubt::cli {

class ProgressBar final : public Progress {
 public:
  ProgressBar();
  void begin(std::string_view label, std::uint64_t total, std::string_view unit) override;
  void update(std::uint64_t done, std::string_view remark) override;
  void end() override;

 private:
  using Instant = std::chrono::steady_clock::time_point;
  std::string amount() const;
  void draw_bar() const;
  void draw_line() const;

  bool terminal_;
  std::string label_, unit_, remark_;
  std::uint64_t total_ = 0, done_ = 0;
  Instant started_{}, drawn_{};
};

}  // namespace redoubt::cli
