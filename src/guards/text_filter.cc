// SPDX-License-Identifier: Apache-2.0
#include "guards/text_filter.h"

#include <algorithm>

#include "detectors/redact.h"
#include "guards/hold_back.h"
#include "rows/lines.h"

namespace redoubt::guards {
namespace {

constexpr std::size_t kBehind = 320;          // that stays before what is looked at: 100 bytes of words, and the longest words before a secret
constexpr std::size_t kWindowTarget = 1024;   // forgotten down to kBehind beyond it
constexpr std::size_t kWindowMax = 8192;      // of what was let go, in a text of digits alone
constexpr std::size_t kHeldMax = 160 << 10;   // more than the longest private key
constexpr std::size_t kLargeHold = 4096;

// What ends in the middle of a character.
std::size_t incomplete_tail(std::string_view text) {
  for (std::size_t back = 1; back <= std::min<std::size_t>(3, text.size()); ++back) {
    const auto byte = static_cast<unsigned char>(text[text.size() - back]);
    if ((byte & 0xc0) == 0x80) continue;
    const std::size_t needs = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return needs > back ? back : 0;
  }
  return 0;
}

// As JSON would tell it: what is no UTF-8 becomes U+FFFD.
void make_utf8(std::string& text, std::size_t from) {
  for (std::size_t bad; (bad = rows::first_invalid_utf8(std::string_view(text).substr(from))) != text.npos;) {
    text.replace(from + bad, 1, "\xEF\xBF\xBD");
    from += bad + 3;
  }
}

}  // namespace

std::string TextFilter::take(std::string_view piece) {
  if (refused_) return "";
  window_ += piece;
  if (window_.size() < next_look_) return "";
  return advance(Text::may_go_on);
}

std::string TextFilter::end() { return refused_ ? "" : advance(Text::whole); }

std::string TextFilter::advance(Text is) {
  // The half of a character waits outside.
  std::string tail;
  if (is == Text::may_go_on) {
    const auto cut = incomplete_tail(window_);
    tail = window_.substr(window_.size() - cut);
    window_.resize(window_.size() - cut);
  }
  make_utf8(window_, released_);
  std::string out;
  if (is == Text::whole || Scanner::decided_at_most(window_) > released_) {
    auto looked = scanner_->look(window_, released_, is);
    out = release(std::max(looked.decided, released_), looked.findings);
    if (!refused_ && is == Text::may_go_on) forget(looked);
  }
  if (refused_) return out;
  const std::size_t held = window_.size() - released_;
  if (held > kHeldMax) {
    refused_ = true;
    hits_.push_back({scanner_->direction(), "unscannable", std::string(kUnscannable), Action::refuse});
  }
  next_look_ = held > kLargeHold ? window_.size() + held / 8 : 0;
  window_ += tail;
  return out;
}

// Lets go what stands before `cut`, and before whatever goes over it.
std::string TextFilter::release(std::size_t cut, std::vector<Finding>& findings) {
  for (bool moved = true; moved;) {
    moved = false;
    for (const auto& finding : findings) {
      if (finding.begin >= cut || finding.action < Action::redact || (finding.end <= cut && !finding.open)) continue;
      cut = std::max(finding.begin, released_);
      moved = cut > released_;
    }
  }
  std::vector<detectors::Span> spans;
  for (const auto& finding : findings) {
    if (finding.begin >= cut || finding.end <= released_) continue;
    // What was let go before was told then.
    if (finding.begin >= released_) hits_.push_back({scanner_->direction(), finding.group, std::string(finding.kind), finding.action});
    if (finding.action == Action::refuse) {
      refused_ = true;
      cut = std::max(finding.begin, released_);
      break;
    }
    if (finding.action == Action::redact) spans.push_back({finding.kind, std::max(finding.begin, released_) - released_, std::min(finding.end, cut) - released_});
  }
  auto out = detectors::without_spans(std::string_view(window_).substr(released_, cut - released_), std::move(spans));
  released_ = cut;
  return out;
}

// What is far enough behind is needed no more.
void TextFilter::forget(const Looked& looked) {
  if (released_ < kWindowTarget) return;
  const std::string_view seen = looked.seen ? std::string_view(looked.seen->text) : std::string_view(window_);
  const auto raw = [&](std::size_t at) { return looked.raw(at); };
  std::size_t limit = seen.size();  // the last seen byte that was let go, and kBehind before it
  if (!looked.seen) limit = released_;
  else
    while (limit > 0 && raw(limit) > released_) --limit;
  limit -= std::min(limit, kBehind);
  std::size_t start = fresh_start(seen, limit);
  const auto crosses = [&](std::size_t at) {
    return std::any_of(looked.findings.begin(), looked.findings.end(), [&](const Finding& finding) { return finding.begin < at && at < finding.end; });
  };
  if (start > 0 && crosses(raw(start))) start = 0;
  if (start == 0 && released_ > kWindowMax) {
    start = limit - std::min(limit, kWindowMax / 4);
    while (start > 0 && (static_cast<unsigned char>(seen[start]) & 0xc0) == 0x80) --start;
  }
  const std::size_t forgotten = std::min(raw(start), released_);
  window_.erase(0, forgotten);
  released_ -= forgotten;
}

}  // namespace redoubt::guards
