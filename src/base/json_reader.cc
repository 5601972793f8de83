// SPDX-License-Identifier: Apache-2.0
#include "base/json_reader.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/utf8.h"

namespace redoubt::detail {
namespace {

constexpr std::size_t kNestedMax = 128;  // the reader calls itself
constexpr std::size_t kDigitsMax = 18;   // of what fits 64 bits for certain

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Bytes that stand in a string for themselves.
constexpr auto kPlainInString = [] {
  std::array<bool, 256> plain{};
  for (std::size_t c = 0x20; c < 0x80; ++c) plain[c] = c != '"' && c != '\\';
  return plain;
}();

class PlainReader {
 public:
  PlainReader(std::string_view text, std::size_t depth_max) : rest_(text), depth_max_(std::min(depth_max, kNestedMax)) {}

  bool whole(Json& into) {
    if (!value(into, 0)) return false;
    skip_space();
    return rest_.empty();
  }

 private:
  void skip_space() {
    while (!rest_.empty() && (rest_.front() == ' ' || rest_.front() == '\n' || rest_.front() == '\t' || rest_.front() == '\r')) rest_.remove_prefix(1);
  }
  bool take(char c) {
    skip_space();
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  bool word(std::string_view name, Json& into, Json meant) {
    if (!rest_.starts_with(name)) return false;
    rest_.remove_prefix(name.size());
    into = std::move(meant);
    return true;
  }

  bool value(Json& into, std::size_t depth) {
    skip_space();
    if (rest_.empty()) return false;
    switch (rest_.front()) {
      case '{': return depth < depth_max_ && object(into, depth + 1);
      case '[': return depth < depth_max_ && array(into, depth + 1);
      case '"': into = Json::value_t::string; return string(into.get_ref<std::string&>());
      case 't': return word("true", into, true);
      case 'f': return word("false", into, false);
      case 'n': return word("null", into, nullptr);
      default: return number(into);
    }
  }

  bool object(Json& into, std::size_t depth) {
    rest_.remove_prefix(1);
    into = Json::value_t::object;
    auto& members = into.get_ref<Json::object_t&>();
    if (take('}')) return true;
    do {
      std::string name;
      skip_space();
      if (!rest_.starts_with('"') || !string(name) || !take(':')) return false;
      const auto [at, is_new] = members.try_emplace(std::move(name));
      if (!is_new || !value(at->second, depth)) return false;
    } while (take(','));
    return take('}');
  }

  bool array(Json& into, std::size_t depth) {
    rest_.remove_prefix(1);
    into = Json::value_t::array;
    auto& elements = into.get_ref<Json::array_t&>();
    if (take(']')) return true;
    do {
      if (!value(elements.emplace_back(), depth)) return false;
    } while (take(','));
    return take(']');
  }

  bool string(std::string& out) {
    rest_.remove_prefix(1);
    for (;;) {
      std::size_t run = 0;
      while (run < rest_.size() && kPlainInString[static_cast<unsigned char>(rest_[run])]) ++run;
      out.append(rest_.substr(0, run));
      rest_.remove_prefix(run);
      if (rest_.empty()) return false;
      const auto c = static_cast<unsigned char>(rest_.front());
      if (c == '"') {
        rest_.remove_prefix(1);
        return true;
      }
      if (c == '\\') {
        if (!escape(out)) return false;
        continue;
      }
      const auto step = utf8_step(rest_);
      if (c < 0x80 || step.kind != Utf8Step::whole) return false;
      out.append(rest_.substr(0, step.size));
      rest_.remove_prefix(step.size);
    }
  }

  bool escape(std::string& out) {
    constexpr std::string_view kNames = "\"\\/bfnrt", kNamed = "\"\\/\b\f\n\r\t";
    if (rest_.size() < 2) return false;
    if (rest_[1] == 'u') return unicode(out);
    const auto at = kNames.find(rest_[1]);
    if (at == kNames.npos) return false;
    out += kNamed[at];
    rest_.remove_prefix(2);
    return true;
  }

  // What \uXXXX at the beginning of the rest names.
  std::optional<std::uint32_t> hexadecimal() {
    std::uint32_t code = 0;
    if (rest_.size() < 6 || !rest_.starts_with("\\u")) return std::nullopt;
    for (const char c : rest_.substr(2, 4)) {
      const auto lower = static_cast<char>(c | 0x20);
      if (!is_digit(c) && (lower < 'a' || lower > 'f')) return std::nullopt;
      code = code << 4 | static_cast<std::uint32_t>(is_digit(c) ? c - '0' : lower - 'a' + 10);
    }
    rest_.remove_prefix(6);
    return code;
  }

  bool unicode(std::string& out) {
    const auto first = hexadecimal();
    if (!first || (*first >= 0xDC00 && *first < 0xE000)) return false;
    if (*first < 0xD800 || *first >= 0xE000) return append_utf8(out, *first), true;
    const auto second = hexadecimal();
    if (!second || *second < 0xDC00 || *second >= 0xE000) return false;
    append_utf8(out, 0x10000 + ((*first - 0xD800) << 10) + (*second - 0xDC00));
    return true;
  }

  // Ends `digits` behind a run of digits; false where there is none.
  bool run_of_digits(std::size_t& end) const {
    const auto begin = end;
    while (end < rest_.size() && is_digit(rest_[end])) ++end;
    return end > begin;
  }

  bool number(Json& into) {
    const bool is_negative = rest_.front() == '-';
    const std::size_t begin = is_negative ? 1 : 0;
    std::size_t end = begin;
    if (!run_of_digits(end) || (rest_[begin] == '0' && end - begin > 1)) return false;
    bool is_whole = true;
    if (end < rest_.size() && rest_[end] == '.') {
      is_whole = false;
      if (!run_of_digits(++end)) return false;
    }
    if (end < rest_.size() && (rest_[end] == 'e' || rest_[end] == 'E')) {
      is_whole = false;
      if (++end < rest_.size() && (rest_[end] == '+' || rest_[end] == '-')) ++end;
      if (!run_of_digits(end)) return false;
    }
    const auto text = rest_.substr(0, end);
    rest_.remove_prefix(end);
    if (is_whole && end - begin <= kDigitsMax) return is_negative ? convert<std::int64_t>(text, into) : convert<std::uint64_t>(text, into);
    return !is_whole && convert<double>(text, into);
  }

  template <typename Number>
  bool convert(std::string_view text, Json& into) {
    Number number = 0;
    const auto [at, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    into = number;
    return error == std::errc{} && at == text.data() + text.size();
  }

  std::string_view rest_;
  const std::size_t depth_max_;
};

}  // namespace

std::optional<Json> read_plain_json(std::string_view text, std::size_t depth_max) {
  Json json;
  if (!PlainReader(text, depth_max).whole(json)) return std::nullopt;
  return json;
}

}  // namespace redoubt::detail
