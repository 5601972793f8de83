// SPDX-License-Identifier: Apache-2.0
#include "detectors/hidden.h"

#include <algorithm>
#include <iterator>
#include <utility>

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

// Letters and digits that Unicode has once more as symbols: of mathematics, in circles, in squares. Those outside of the rows are what the
// rows of mathematics leave out.
std::uint32_t symbol(std::uint32_t c) {
  constexpr std::pair<std::uint32_t, char> kOthers[] = {{0x2102, 'C'}, {0x210A, 'g'}, {0x210B, 'H'}, {0x210C, 'H'}, {0x210D, 'H'}, {0x210E, 'h'}, {0x2110, 'I'}, {0x2111, 'I'}, {0x2112, 'L'}, {0x2115, 'N'},
                                                        {0x2119, 'P'}, {0x211A, 'Q'}, {0x211B, 'R'}, {0x211C, 'R'}, {0x211D, 'R'}, {0x2124, 'Z'}, {0x2128, 'Z'}, {0x212C, 'B'}, {0x212D, 'C'}, {0x212F, 'e'},
                                                        {0x2130, 'E'}, {0x2131, 'F'}, {0x2133, 'M'}, {0x2134, 'o'}};
  if (c < 0x2102) return 0;
  if (within(c, 0x1D400, 0x1D6A3)) {
    const auto letter = (c - 0x1D400) % 52;
    return letter < 26 ? 'A' + letter : 'a' + letter - 26;
  }
  if (within(c, 0x1D7CE, 0x1D7FF)) return '0' + (c - 0x1D7CE) % 10;
  if (within(c, 0x24B6, 0x24CF)) return 'A' + (c - 0x24B6);
  if (within(c, 0x24D0, 0x24E9)) return 'a' + (c - 0x24D0);
  for (const std::uint32_t first : {0x1F130u, 0x1F150u, 0x1F170u})
    if (within(c, first, first + 25)) return 'A' + (c - first);
  if (c > 0x2134) return 0;
  const auto* other = std::find_if(std::begin(kOthers), std::end(kOthers), [c](const auto& one) { return one.first == c; });
  return other == std::end(kOthers) ? 0 : static_cast<std::uint32_t>(other->second);
}

// The letter of ASCII that a Greek or Cyrillic one looks like (Unicode Technical Standard 39, confusables.txt); 0: none.
std::uint32_t lookalike(std::uint32_t c) {
  constexpr std::u32string_view kGreek = U"\u0391\u0392\u0395\u0396\u0397\u0399\u039A\u039C\u039D\u039F\u03A1\u03A4\u03A5\u03A7\u03B1\u03B9\u03BD\u03BF\u03C1\u03C5";
  constexpr std::string_view kOfGreek = "ABEZHIKMNOPTYXaivopu";
  constexpr std::u32string_view kCyrillic = U"\u0410\u0412\u0415\u0405\u0406\u0408\u041A\u041C\u041D\u041E\u0420\u0421\u0422\u0423\u0425\u0430\u0441\u0435\u04BB\u0456\u0458\u043E\u0440\u051B\u0455\u0501\u0443\u0445\u051D\u04CF";
  constexpr std::string_view kOfCyrillic = "ABESIJKMHOPCTYXacehijopqsdyxwl";
  static_assert(kGreek.size() == kOfGreek.size() && kCyrillic.size() == kOfCyrillic.size());
  if (!within(c, 0x391, 0x51D)) return 0;
  if (const auto at = kGreek.find(c); at != kGreek.npos) return static_cast<std::uint32_t>(kOfGreek[at]);
  const auto at = kCyrillic.find(c);
  return at == kCyrillic.npos ? 0 : static_cast<std::uint32_t>(kOfCyrillic[at]);
}

bool is_ascii_letter(std::uint32_t c) { return within(c | 0x20, 'a', 'z'); }

// Such letters mean those of ASCII where they stand beside them in one word; a word of theirs alone is what it is.
class Lookalikes {
 public:
  explicit Lookalikes(std::string_view text) : text_(text) {}

  // The letter that the one at a place stands for, `before` being what is seen before it; 0: it is no such letter, or among its own.
  std::uint32_t letter_at(std::size_t at, std::uint32_t c, std::uint32_t before) {
    const auto letter = lookalike(c);
    if (letter == 0 || at < end_) return letter != 0 && among_ascii_ ? letter : 0;
    end_ = at;
    for (auto next = code_point_at(text_, at); end_ < text_.size() && lookalike(next.value) != 0;) {
      end_ += next.bytes;
      if (end_ < text_.size()) next = code_point_at(text_, end_);
    }
    among_ascii_ = is_ascii_letter(before) || (end_ < text_.size() && is_ascii_letter(static_cast<unsigned char>(text_[end_])));
    return among_ascii_ ? letter : 0;
  }

 private:
  std::string_view text_;
  std::size_t end_ = 0;  // of the run of such letters that was looked at last
  bool among_ascii_ = false;
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
  if (const auto letter = symbol(c); letter != 0) return letter;
  return c;
}

}  // namespace

void find_hidden(std::string_view text, std::vector<Match>& matches) { HiddenReader(text, matches).read(); }

std::optional<JsonText> as_seen(std::string_view text) {
  JsonText out;
  bool changed = false;
  std::size_t run = 0;
  Lookalikes lookalikes(text);
  std::uint32_t before = 0;
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint here = code_point_at(text, at);
    std::uint32_t shown = here.value < 0x80 ? here.value : seen(here.value);
    if (const auto letter = here.value < 0x80 ? 0 : lookalikes.letter_at(at, here.value, before); letter != 0) shown = letter;
    if (shown != 0) before = shown;
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
