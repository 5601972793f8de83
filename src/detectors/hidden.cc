// SPDX-License-Identifier: Apache-2.0
#include "detectors/hidden.h"

#include <algorithm>

#include "base/utf8.h"
#include "detectors/byte_scan.h"
#include "detectors/utf8.h"

namespace redoubt::detectors {
namespace {

bool within(std::uint32_t c, std::uint32_t first, std::uint32_t last) { return c >= first && c <= last; }
bool is_tag(std::uint32_t c) { return within(c, 0xE0000, 0xE007F); }
bool is_selector(std::uint32_t c) { return within(c, 0xFE00, 0xFE0F) || within(c, 0xE0100, 0xE01EF); }
bool is_joiner(std::uint32_t c) { return c == 0x200C || c == 0x200D; }
bool is_bidi(std::uint32_t c) { return within(c, 0x202A, 0x202E) || within(c, 0x2066, 0x2069); }
bool is_invisible(std::uint32_t c) {
  return c == 0xAD || c == 0x180E || c == 0x200B || within(c, 0x2060, 0x2064) || c == 0xFEFF || within(c, 0xFFF9, 0xFFFB) || c == 0x034F || c == 0x115F || c == 0x1160 || c == 0x3164 || c == 0xFFA0;
}
bool is_control(std::uint32_t c) { return (c < 0x20 && c != '\t' && c != '\n' && c != '\r') || within(c, 0x7F, 0x9F); }
bool is_latin(std::uint32_t c) { return within(c, '0', '9') || within(c, 'A', 'Z') || within(c, 'a', 'z') || within(c, 0xC0, 0x24F); }

// The bytes of a flag's tags after U+1F3F4, or 0 where they are no flag.
std::size_t flag_tags(std::string_view text, std::size_t at) {
  for (const std::string_view name : {"gbeng", "gbsct", "gbwls"}) {
    std::string tags;
    for (const char c : name) append_utf8(tags, 0xE0000 + static_cast<std::uint32_t>(c));
    append_utf8(tags, 0xE007F);
    if (text.substr(at).starts_with(tags)) return tags.size();
  }
  return 0;
}

// Text in UTF-8 that somebody read as Latin-1 or Windows-1252 and wrote as UTF-8: a lead byte's letter and what a following byte
// became.
bool is_mojibake(std::uint32_t c, std::uint32_t next) {
  constexpr std::uint32_t kWindows[] = {0x20AC, 0x201A, 0x192, 0x201E, 0x2026, 0x2020, 0x2021, 0x2C6, 0x2030, 0x160, 0x2039, 0x152, 0x17D, 0x2018, 0x2019,
                                        0x201C, 0x201D, 0x2022, 0x2013, 0x2014, 0x2DC, 0x2122, 0x161, 0x203A, 0x153, 0x17E, 0x178};
  const bool follows = within(next, 0xA0, 0xBF) || std::find(std::begin(kWindows), std::end(kWindows), next) != std::end(kWindows);
  if (c == 0xFFFD) return true;  // a character that a decoder gave up on
  if (c == 0xC3 || c == 0xC2) return follows && next != 0x2019 && next != 0x201D && next != 0xBB;  // "Ã" at a word's end before a quote
  return c == 0xE2 && (next == 0x20AC || next == 0x201A);
}

class HiddenReader {
 public:
  HiddenReader(std::string_view text, std::vector<Match>& matches) : text_(text), matches_(matches) {}

  void read() {
    while (at_ < text_.size()) {
      const std::size_t end = printable_run_end(text_, at_);
      if (end > at_) before_ = static_cast<unsigned char>(text_[end - 1]);
      at_ = end;
      if (at_ < text_.size()) step();
    }
  }

 private:
  CodePoint at(std::size_t place) const { return place < text_.size() ? code_point_at(text_, place) : CodePoint{0, 0}; }

  void step() {
    const CodePoint here = at(at_);
    if (here.value == 0x1F3F4) at_ += flag_tags(text_, at_ + here.bytes);  // passes over the flag's tags
    else if (const char* kind = kind_of(here); kind != nullptr) add(kind, here.bytes);
    before_ = here.value;
    at_ += here.bytes;
  }

  const char* kind_of(const CodePoint& here) const {
    const std::uint32_t c = here.value, next = at(at_ + here.bytes).value;
    if (is_control(c)) return "CONTROL_CHARACTER";
    if (c < 0x80) return nullptr;
    if (is_tag(c)) return "HIDDEN_TAG";
    // Bytes are hidden in selectors that follow each other, or in those that only ideographs take.
    if (is_selector(c) && (is_selector(next) || is_selector(before_) || (c >= 0xE0100 && before_ < 0x2E80))) return "HIDDEN_TAG";
    if (is_bidi(c)) return "BIDI_CONTROL";
    if (is_invisible(c) || (is_joiner(c) && is_latin(before_) && is_latin(next))) return "ZERO_WIDTH";
    return is_mojibake(c, next) ? "MOJIBAKE" : nullptr;
  }

  void add(const char* kind, std::size_t bytes) {
    if (!matches_.empty() && matches_.back().kind == kind && matches_.back().offset + matches_.back().length == at_) {
      matches_.back().length += bytes;
    } else {
      matches_.push_back({kind, at_, bytes});
    }
  }

  std::string_view text_;
  std::vector<Match>& matches_;
  std::size_t at_ = 0;
  std::uint32_t before_ = 0;
};

// What stands for a character in the text as it is seen; 0: nothing does.
std::uint32_t seen(std::uint32_t c) {
  if (is_tag(c) || is_selector(c) || is_joiner(c) || is_bidi(c) || is_invisible(c) || c == 0x200E || c == 0x200F) return 0;
  if (c == 0xA0 || within(c, 0x2000, 0x200A) || c == 0x202F || c == 0x205F || c == 0x3000) return ' ';
  if (within(c, 0x2010, 0x2015) || c == 0x2212 || c == 0xFE63) return '-';
  if (within(c, 0xFF01, 0xFF5E)) return c - 0xFEE0;
  for (const std::uint32_t zero : {0x660u, 0x6F0u, 0x966u, 0x9E6u, 0xE50u}) {
    if (within(c, zero, zero + 9)) return '0' + (c - zero);
  }
  return c;
}

}  // namespace

void find_hidden(std::string_view text, std::vector<Match>& matches) { HiddenReader(text, matches).read(); }

std::optional<JsonText> as_seen(std::string_view text) {
  JsonText out;
  bool changed = false;
  std::size_t run = 0;
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint here = code_point_at(text, at);
    const std::uint32_t shown = here.value < 0x80 ? here.value : seen(here.value);
    if (shown != here.value) {
      out.places.run(out.text.size(), run);
      out.text.append(text.substr(run, at - run));
      out.places.fixed(out.text.size(), at);
      if (shown != 0) append_utf8(out.text, shown);
      run = at + here.bytes;
      changed = true;
    }
    at += here.bytes;
  }
  if (!changed) return std::nullopt;
  out.places.run(out.text.size(), run);
  out.text.append(text.substr(run));
  out.places.run(out.text.size(), text.size());
  return out;
}

}  // namespace redoubt::detectors
