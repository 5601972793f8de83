// SPDX-License-Identifier: Apache-2.0
#include "cli/progress_bar.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace redoubt::cli {
namespace {

using BarClock = std::chrono::steady_clock;
constexpr std::uint64_t kBarCells = 28;
constexpr auto kBarInterval = std::chrono::milliseconds(100);
constexpr auto kLineInterval = std::chrono::seconds(10);

std::string bytes_text(std::uint64_t bytes) {
  if (bytes < 10'000) return fmt::format("{} B", bytes);
  if (bytes < 10'000'000) return fmt::format("{:.1f} kB", static_cast<double>(bytes) / 1e3);
  return fmt::format("{:.1f} MB", static_cast<double>(bytes) / 1e6);
}

std::string time_text(double seconds) {
  const auto whole = static_cast<long>(seconds);
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

}  // namespace

ProgressBar::ProgressBar() : terminal_(::isatty(STDERR_FILENO) == 1) {}

void ProgressBar::begin(std::string_view label, std::uint64_t total, std::string_view unit) {
  label_ = label;
  unit_ = unit;
  total_ = total;
  done_ = 0;
  remark_.clear();
  started_ = drawn_ = BarClock::now();
  terminal_ ? draw_bar() : draw_line();
}

void ProgressBar::update(std::uint64_t done, std::string_view remark) {
  done_ = total_ > 0 ? std::min(done, total_) : done;
  remark_ = remark;
  const auto now = BarClock::now();
  if (now - drawn_ < (terminal_ ? BarClock::duration(kBarInterval) : BarClock::duration(kLineInterval))) return;
  drawn_ = now;
  terminal_ ? draw_bar() : draw_line();
}

void ProgressBar::end() {
  if (label_.empty()) return;
  if (terminal_) {
    draw_bar();
    std::fputc('\n', stderr);
  } else {
    draw_line();
  }
  label_.clear();
}

std::string ProgressBar::amount() const {
  const auto text = [this](std::uint64_t value) { return unit_ == "bytes" ? bytes_text(value) : std::to_string(value); };
  std::string out = total_ > 0 ? text(done_) + "/" + text(total_) : text(done_);
  return unit_ == "bytes" ? out : out + " " + unit_;
}

void ProgressBar::draw_bar() const {
  const double seconds = std::chrono::duration<double>(BarClock::now() - started_).count();
  const std::uint64_t full = total_ > 0 ? done_ * kBarCells / total_ : 0;
  std::string bar(full, '#');
  bar.resize(kBarCells, '.');
  std::string left;
  if (total_ > 0 && done_ > 0 && done_ < total_) {
    left = " left " + time_text(seconds * static_cast<double>(total_ - done_) / static_cast<double>(done_));
  }
  fmt::print(stderr, "\r{:<22} [{}] {} {}{}  {}\x1b[K", label_, bar, amount(), time_text(seconds), left, remark_);
  std::fflush(stderr);
}

void ProgressBar::draw_line() const {
  const double seconds = std::chrono::duration<double>(BarClock::now() - started_).count();
  const std::string share = total_ > 0 ? fmt::format(" {:3}%", done_ * 100 / total_) : "";
  fmt::print(stderr, "{}:{} {} {}{}\n", label_, share, amount(), time_text(seconds), remark_.empty() ? "" : "  " + remark_);
  std::fflush(stderr);
}

}  // namespace redoubt::cli
