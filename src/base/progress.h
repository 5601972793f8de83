// SPDX-License-Identifier: Apache-2.0
//
// How long work tells a person where it is. The command line draws it; tests and daemons use NoProgress.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace redoubt {

class Progress {
 public:
  virtual ~Progress() = default;
  // A new stretch of work. `total` is in `unit`s ("bytes", "steps"); 0 means unknown.
  virtual void begin(std::string_view label, std::uint64_t total, std::string_view unit) = 0;
  // How much of it is done, and a short remark ("loss 1.43").
  virtual void update(std::uint64_t done, std::string_view remark = {}) = 0;
  virtual void end() = 0;
};

class NoProgress final : public Progress {
 public:
  void begin(std::string_view, std::uint64_t, std::string_view) override {}
  void update(std::uint64_t, std::string_view) override {}
  void end() override {}
};

}  // namespace redoubt
