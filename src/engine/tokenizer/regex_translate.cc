// SPDX-License-Identifier: Apache-2.0
#include "engine/tokenizer/regex_translate.h"

#include <unicode/uchar.h>
#include <unicode/unistr.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <optional>
#include <vector>

#include "base/utf8.h"
#include "engine/tokenizer/regex_sets.h"

namespace redoubt::engine::tokenizer {
namespace {

constexpr std::size_t kPatternBytesMax = 16 << 10;
constexpr int kGroupDepthMax = 64;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// A class while it is read: what it holds, and whether its own spelling will do.
struct Class {
  CharacterSet set = {};
  bool plain = true;  // no class within it and nothing left out: `set.members` may stand as it is
};

class Translator {
 public:
  Translator(std::string_view pattern, std::string_view where) : pattern_(pattern), where_(where) {}

  Result<std::string> run() {
    while (at_ < pattern_.size()) TRY(next());
    if (!open_.empty()) return bad("lacks a closing parenthesis");
    return std::move(out_);
  }

 private:
  tl::unexpected<Error> refuse(std::string what) const {
    return fail(ErrorCode::unsupported, "the tokenizer's regular expression uses " + std::move(what), std::string(where_));
  }
  tl::unexpected<Error> bad(std::string what) const {
    return fail(ErrorCode::invalid_argument, "the tokenizer's regular expression " + std::move(what), std::string(where_));
  }
  bool looking_at(std::string_view text) const { return pattern_.substr(at_).starts_with(text); }
  char peek(std::size_t ahead = 0) const { return at_ + ahead < pattern_.size() ? pattern_[at_ + ahead] : '\0'; }

  // Something that two letters under (?i) could fold into together is not compared by PCRE2 as Oniguruma does.
  Status literal(std::uint32_t c) {
    if (!ignores_case_) return {};
    if (c >= 0x80) return refuse("letters beyond ASCII that ignore case");
    const char letter = static_cast<char>(std::tolower(static_cast<int>(c)));
    const std::string pair{previous_, letter};
    for (const char* joined : {"ss", "st", "ff", "fi", "fl"})
      if (pair == joined) return refuse("'" + pair + "' that ignores case");
    previous_ = letter;
    return {};
  }

  Status next() {
    const char c = pattern_[at_];
    const char before = previous_;
    previous_ = '\0';
    switch (c) {
      case '\\': return escape();
      case '[': return bracket();
      case '(': return open_group();
      case ')': return close_group();
      case '{': return interval();
      case '|': case '*': case '+': case '?': case '^': case '$': case '.': break;
      default: {
        previous_ = before;
        const auto step = utf8_step(pattern_.substr(at_));
        TRY(literal(step.code_point));
        out_ += pattern_.substr(at_, step.size);
        at_ += step.size;
        return {};
      }
    }
    out_ += c;
    ++at_;
    return {};
  }

  Status open_group() {
    open_.push_back(ignores_case_);
    if (open_.size() > kGroupDepthMax) return bad("is nested too deeply");
    if (peek(1) != '?') {
      ++at_;
      begin_group("(");
      return {};
    }
    for (const std::string_view kind : {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>"})
      if (looking_at(kind)) {
        at_ += kind.size();
        begin_group(kind);
        return {};
      }
    if (looking_at("(?<")) return named_group();
    return options();
  }

  void begin_group(std::string_view opening) {
    out_ += opening;
    group_begin_ = out_.size();
  }

  Status named_group() {
    const auto close = pattern_.find('>', at_);
    if (close == std::string_view::npos) return bad("has a group without an end to its name");
    begin_group(pattern_.substr(at_, close + 1 - at_));
    at_ = close + 1;
    return {};
  }

  // (?i) (?i:...) (?m-i:...). Ruby's m lets the dot match a line end, which PCRE2 calls s.
  Status options() {
    auto end = at_ + 2;
    bool on = true;
    std::string flags;
    for (; end < pattern_.size() && pattern_[end] != ':' && pattern_[end] != ')'; ++end) {
      const char flag = pattern_[end];
      if (flag == '-') on = false;
      else if (flag == 'i') ignores_case_ = on;
      else if (flag != 'm') return refuse(std::string("the group option (?") + flag + ")");
      flags += flag == 'm' ? 's' : flag;
    }
    if (end >= pattern_.size()) return bad("has a group option without an end");
    // An option without a group of its own holds to the end of the group around it; Oniguruma makes a group of what follows.
    if (pattern_[end] == ')') {
      if (out_.size() != group_begin_) return refuse("a group option in the middle of a group");
      open_.pop_back();
    }
    begin_group("(?" + flags + pattern_[end]);
    at_ = end + 1;
    return {};
  }

  Status close_group() {
    if (open_.empty()) return bad("has a closing parenthesis without an opening one");
    ignores_case_ = open_.back();
    open_.pop_back();
    out_ += ')';
    ++at_;
    return {};
  }

  // {2,3} counts what stands before it; {,3} is {0,3}; anything else is text.
  Status interval() {
    auto end = at_ + 1;
    while (end < pattern_.size() && (is_digit(pattern_[end]) || pattern_[end] == ',')) ++end;
    const auto inner = pattern_.substr(at_ + 1, end - at_ - 1);
    const bool counts = end < pattern_.size() && pattern_[end] == '}' && inner.find_first_of("0123456789") != std::string_view::npos &&
                        std::ranges::count(inner, ',') <= 1;
    if (!counts) {
      out_ += "\\{";
      ++at_;
      return {};
    }
    const char after = end + 1 < pattern_.size() ? pattern_[end + 1] : '\0';
    if (after == '+') return refuse("a '+' after an interval");
    if (after == '?' && inner.find(',') == std::string_view::npos) return refuse("a '?' after an exact count");
    out_ += "{" + std::string(inner.starts_with(',') ? "0" : "") + std::string(inner) + "}";
    at_ = end + 1;
    return {};
  }

  Status escape() {
    const char c = peek(1);
    if (const auto set = TRY(set_escape(Stands::alone))) {
      out_ += "[" + set->members + "]";
      return {};
    }
    if (c == 'b' || c == 'B') {
      const auto inside = "[" + word(Stands::alone).members + "]";
      const auto same = c == 'B';
      out_ += "(?:(?<=" + inside + ")" + (same ? "(?=" : "(?!") + inside + ")|(?<!" + inside + ")" + (same ? "(?!" : "(?=") + inside + "))";
      at_ += 2;
      return {};
    }
    if (c == 'A' || c == 'z' || c == 'Z') {
      out_ += pattern_.substr(at_, 2);
      at_ += 2;
      return {};
    }
    const auto code = TRY(character_escape());
    TRY(literal(code));
    out_ += spelt(code);
    return {};
  }

  // An escape that stands for a set; nothing, and nothing read, when it is another.
  Result<std::optional<CharacterSet>> set_escape(Stands stands) {
    const char c = peek(1);
    if (c == 'p' || c == 'P') return std::optional(TRY(property(stands)));
    std::optional<CharacterSet> set;
    if (c == 's' || c == 'S') set = white_space();
    if (c == 'd' || c == 'D') set = decimal_digits();
    if (c == 'w' || c == 'W') set = word(stands);
    if (c == 'h' || c == 'H') set = hex_digits();
    if (!set) return set;
    at_ += 2;
    if (std::isupper(static_cast<unsigned char>(c))) set = complement_of(*set);
    return set;
  }

  Result<CharacterSet> property(Stands stands) {
    const auto close = pattern_.find('}', at_);
    if (peek(2) != '{' || close == std::string_view::npos) return refuse("a property without braces");
    auto name = pattern_.substr(at_ + 3, close - at_ - 3);
    bool negated = peek(1) == 'P';
    if (name.starts_with('^')) {
      negated = !negated;
      name.remove_prefix(1);
    }
    auto set = property_set(name, stands);
    if (!set) return refuse("the property '" + std::string(name.substr(0, 40)) + "'");
    at_ = close + 1;
    return negated ? complement_of(*set) : std::move(*set);
  }

  // An escape that stands for one character.
  Result<std::uint32_t> character_escape() {
    if (at_ + 1 >= pattern_.size()) return bad("ends with a backslash");
    const char c = peek(1);
    if (c == 'x' || c == 'u') return number_escape(c);
    static constexpr std::string_view kLetters = "nrtfvae", kMeanings = "\n\r\t\f\v\a\x1b";
    if (const auto found = kLetters.find(c); found != std::string_view::npos) {
      at_ += 2;
      return static_cast<std::uint32_t>(kMeanings[found]);
    }
    if (std::isalnum(static_cast<unsigned char>(c))) return refuse(std::string("the escape \\") + c);
    const auto step = utf8_step(pattern_.substr(at_ + 1));
    at_ += 1 + step.size;
    return step.code_point;
  }

  // \xHH \x{H...} \uHHHH
  Result<std::uint32_t> number_escape(char kind) {
    at_ += 2;
    std::size_t size = kind == 'u' ? 4 : 2;
    const bool braced = kind == 'x' && peek() == '{';
    if (braced) {
      ++at_;
      size = std::min(pattern_.find('}', at_), pattern_.size()) - at_;
    }
    std::uint32_t code = 0;
    const auto digits = pattern_.substr(at_, size);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), code, 16);
    if (digits.size() != size || size == 0 || error != std::errc{} || end != digits.data() + size || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000) ||
        (!braced && kind == 'x' && code >= 0x80))
      return bad("has an escape that is no character");
    at_ += size + (braced ? 1 : 0);
    return code;
  }

  static std::string spelt(std::uint32_t code) {
    if (code < 0x80 && std::isalnum(static_cast<int>(code))) return std::string(1, static_cast<char>(code));
    char text[16];
    std::snprintf(text, sizeof text, "\\x{%x}", code);
    return text;
  }

  Status bracket() {
    const auto read = TRY(read_class(0));
    if (ignores_case_ && folds_to_several(read.set.exact)) return refuse("a class that ignores case with letters like 'ß' in it");
    if (read.set.exact.isEmpty()) {
      out_ += "(?!)";
      return {};
    }
    out_ += "[" + (read.plain ? read.set.members : spelt_out(read.set.exact).members) + "]";
    return {};
  }

  static bool folds_to_several(const icu::UnicodeSet& set) {
    static const auto kSeveral = [] {
      icu::UnicodeSet all;
      for (UChar32 c = 0x80; c < 0x20000; ++c)
        if (icu::UnicodeString folded(c); folded.foldCase().countChar32() > 1) all.add(c);
      return all;
    }();
    // What a class leaves out holds almost all of them, and neither engine unfolds it.
    return set.containsSome(kSeveral) && !set.containsAll(kSeveral);
  }

  // [...], with classes inside and && between; at_ is at the opening bracket.
  Result<Class> read_class(int depth) {
    if (depth > kGroupDepthMax) return bad("is nested too deeply");
    ++at_;
    const bool negated = peek() == '^';
    if (negated) ++at_;
    Class out;
    std::optional<icu::UnicodeSet> meets;  // what stood before &&
    for (bool first = true; first || peek() != ']'; first = false) {
      if (at_ >= pattern_.size()) return bad("has a class without an end");
      if (looking_at("&&")) {
        at_ += 2;
        if (meets) out.set.exact.retainAll(*meets);
        meets = out.set.exact;
        out = {.set = {}, .plain = false};
        continue;
      }
      TRY(class_item(out, depth));
    }
    ++at_;
    if (meets) out.set.exact.retainAll(*meets);
    if (!negated) return out;
    if (out.plain && depth == 0) out.set.members = "^" + out.set.members;
    else out.plain = false;
    out.set.exact.complement();
    out.set.exact.remove(0xD800, 0xDFFF);
    return out;
  }

  Status class_item(Class& out, int depth) {
    const auto add = [&](const CharacterSet& set) {
      out.set.members += set.members;
      out.set.exact.addAll(set.exact);
    };
    if (looking_at("[:")) {
      const auto close = pattern_.find(":]", at_);
      if (close == std::string_view::npos) return bad("has a bracket without an end");
      auto name = pattern_.substr(at_ + 2, close - at_ - 2);
      const bool negated = name.starts_with('^');
      if (negated) name.remove_prefix(1);
      const auto set = bracket_set(name);
      if (!set) return refuse("the bracket [:" + std::string(name.substr(0, 40)) + ":]");
      at_ = close + 2;
      add(negated ? complement_of(*set) : *set);
      return {};
    }
    if (peek() == '[') {
      out.plain = false;
      const auto inner = TRY(read_class(depth + 1));
      out.set.exact.addAll(inner.set.exact);
      return {};
    }
    if (peek() == '\\')
      if (const auto set = TRY(set_escape(Stands::in_class))) {
        add(*set);
        return {};
      }
    const auto first = TRY(class_character());
    auto last = first;
    const bool range = peek() == '-' && peek(1) != ']' && peek(1) != '\0' && !(peek(1) == '&' && peek(2) == '&');
    if (range) {
      const auto before = at_++;
      if (peek() == '[') return refuse("a range that ends in a class");
      if (peek() == '\\') {
        if (const auto set = TRY(set_escape(Stands::in_class))) return refuse("a range that ends in a set");
      }
      last = TRY(class_character());
      if (last < first) return bad("has a range that runs backwards at byte " + std::to_string(before));
    }
    out.set.members += spelt(first) + (last > first ? "-" + spelt(last) : "");
    out.set.exact.add(static_cast<UChar32>(first), static_cast<UChar32>(last));
    return {};
  }

  Result<std::uint32_t> class_character() {
    if (at_ >= pattern_.size()) return bad("has a class without an end");
    if (peek() == '\\') {
      if (peek(1) == 'b') {
        at_ += 2;
        return std::uint32_t{8};
      }
      return character_escape();
    }
    const auto step = utf8_step(pattern_.substr(at_));
    at_ += step.size;
    return step.code_point;
  }

  std::string_view pattern_, where_;
  std::size_t at_ = 0, group_begin_ = 0;
  bool ignores_case_ = false;
  std::vector<bool> open_ = {};  // whether case was ignored around each open group
  char previous_ = '\0';         // the letter just written, under (?i)
  std::string out_;
};

}  // namespace

Result<std::string> translate_pattern(std::string_view pattern, std::string_view where) {
  if (pattern.size() > kPatternBytesMax)
    return fail(ErrorCode::limit_exceeded, "the tokenizer's regular expression is longer than 16 KiB", std::string(where));
  if (find_invalid_utf8(pattern) != std::string_view::npos)
    return fail(ErrorCode::invalid_argument, "the tokenizer's regular expression is not UTF-8", std::string(where));
  return Translator(pattern, where).run();
}

}  // namespace redoubt::engine::tokenizer
