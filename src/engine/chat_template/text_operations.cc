// SPDX-License-Identifier: Apache-2.0
#include "engine/chat_template/text_operations.h"

#include <unicode/locid.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>

#include <algorithm>

#include "base/utf8.h"

namespace redoubt::engine::chat_template {
namespace {

bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

// str.isspace of Python: Unicode's white space and the four separators of ASCII.
bool is_python_space(std::string_view point) {
  const auto c = utf8_step(point).code_point;
  return (c >= 9 && c <= 13) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) ||
         c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

std::string_view first_point(std::string_view text) {
  std::size_t size = 1;
  while (size < text.size() && is_continuation(text[size])) ++size;
  return text.substr(0, size);
}

std::string_view last_point(std::string_view text) {
  std::size_t size = 1;
  while (size < text.size() && is_continuation(text[text.size() - size])) ++size;
  return text.substr(text.size() - size);
}

template <class Change>
std::string with_icu(std::string_view text, Change change) {
  auto wide = icu::UnicodeString::fromUTF8(icu::StringPiece(text.data(), static_cast<std::int32_t>(text.size())));
  change(wide);
  std::string out;
  wide.toUTF8String(out);
  return out;
}

// A character as a word begins with it: "ﬁ" is "Fi".
std::string raised(std::string_view point) {
  return with_icu(point, [](icu::UnicodeString& wide) { wide.toTitle(nullptr, icu::Locale::getRoot(), U_TITLECASE_NO_BREAK_ADJUSTMENT); });
}

std::vector<std::string> split_at_space(std::string_view text, std::int64_t count) {
  std::vector<std::string> parts;
  text = strip(text, Sides::left);
  while (!text.empty()) {
    if (count >= 0 && static_cast<std::int64_t>(parts.size()) == count) {
      parts.emplace_back(text);
      break;
    }
    std::size_t end = 0;
    while (end < text.size() && !is_python_space(first_point(text.substr(end)))) end += first_point(text.substr(end)).size();
    parts.emplace_back(text.substr(0, end));
    text = strip(text.substr(end), Sides::left);
  }
  return parts;
}

}  // namespace

std::size_t length_of(std::string_view text) {
  std::size_t count = 0;
  for (const char c : text) count += !is_continuation(c);
  return count;
}

std::string_view substring(std::string_view text, std::size_t begin, std::size_t end) {
  std::size_t from = text.size(), to = text.size(), point = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (is_continuation(text[i])) continue;
    if (point == begin) from = i;
    if (point == end) {
      to = i;
      break;
    }
    ++point;
  }
  return text.substr(from, to - from);
}

std::vector<std::string_view> code_points(std::string_view text) {
  std::vector<std::string_view> points;
  while (!text.empty()) {
    points.push_back(first_point(text));
    text.remove_prefix(points.back().size());
  }
  return points;
}

std::string_view strip(std::string_view text, Sides sides, std::optional<std::string_view> characters) {
  const auto goes = [&](std::string_view point) {
    if (!characters) return is_python_space(point);
    for (const auto other : code_points(*characters))
      if (other == point) return true;
    return false;
  };
  if (sides != Sides::right)
    while (!text.empty() && goes(first_point(text))) text.remove_prefix(first_point(text).size());
  if (sides != Sides::left)
    while (!text.empty() && goes(last_point(text))) text.remove_suffix(last_point(text).size());
  return text;
}

std::string upper(std::string_view text) {
  return with_icu(text, [](icu::UnicodeString& wide) { wide.toUpper(icu::Locale::getRoot()); });
}

std::string lower(std::string_view text) {
  return with_icu(text, [](icu::UnicodeString& wide) { wide.toLower(icu::Locale::getRoot()); });
}

std::string capitalize(std::string_view text) {
  if (text.empty()) return {};
  const auto first = first_point(text);
  return raised(first) + lower(text.substr(first.size()));
}

// Jinja's: every word's first letter is raised, words begin after white space and -([{<.
std::string title(std::string_view text) {
  std::string out, word;
  const auto flush = [&] {
    if (!word.empty()) out += upper(first_point(word)) + lower(std::string_view(word).substr(first_point(word).size()));
    word.clear();
  };
  for (const auto point : code_points(text)) {
    if (is_python_space(point) || std::string_view("-([{<").find(point[0]) != std::string_view::npos) {
      flush();
      out += point;
    } else {
      word += point;
    }
  }
  flush();
  return out;
}

std::string replace(std::string_view text, std::string_view from, std::string_view to, std::int64_t count) {
  std::string out;
  if (from.empty()) {
    for (const auto point : code_points(text)) {
      if (count != 0) out += to, --count;
      out += point;
    }
    if (count != 0) out += to;
    return out;
  }
  for (; count != 0; --count) {
    const auto at = text.find(from);
    if (at == std::string_view::npos) break;
    out += text.substr(0, at);
    out += to;
    text.remove_prefix(at + from.size());
  }
  return out += text;
}

std::vector<std::string> split(std::string_view text, std::optional<std::string_view> separator, std::int64_t count) {
  if (!separator) return split_at_space(text, count);
  std::vector<std::string> parts;
  for (; count != 0; --count) {
    const auto at = text.find(*separator);
    if (at == std::string_view::npos) break;
    parts.emplace_back(text.substr(0, at));
    text.remove_prefix(at + separator->size());
  }
  parts.emplace_back(text);
  return parts;
}

std::vector<std::string> split_right(std::string_view text, std::optional<std::string_view> separator, std::int64_t count) {
  std::vector<std::string> parts;
  if (!separator) {
    text = strip(text, Sides::right);
    while (!text.empty() && count-- != 0) {
      auto begin = text.size();
      while (begin > 0 && !is_python_space(last_point(text.substr(0, begin)))) begin -= last_point(text.substr(0, begin)).size();
      parts.emplace_back(text.substr(begin));
      text = strip(text.substr(0, begin), Sides::right);
    }
    if (!text.empty()) parts.emplace_back(text);
  } else {
    for (; count != 0; --count) {
      const auto at = text.rfind(*separator);
      if (at == std::string_view::npos) break;
      parts.emplace_back(text.substr(at + separator->size()));
      text = text.substr(0, at);
    }
    parts.emplace_back(text);
  }
  std::ranges::reverse(parts);
  return parts;
}

std::vector<std::string> split_lines(std::string_view text) {
  std::vector<std::string> lines;
  std::size_t begin = 0;
  for (std::size_t at = 0; at < text.size();) {
    const auto step = utf8_step(text.substr(at));
    const auto c = step.code_point;
    const bool ends = (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
    auto next = at + step.size;
    if (c == '\r' && next < text.size() && text[next] == '\n') ++next;
    if (ends) {
      lines.emplace_back(text.substr(begin, at - begin));
      begin = next;
    }
    at = next;
  }
  if (begin < text.size()) lines.emplace_back(text.substr(begin));
  return lines;
}

bool is_word(std::string_view point) {
  const auto c = static_cast<UChar32>(utf8_step(point).code_point);
  return c == '_' || is_all(point, Kind::alnum);
}

bool is_cased(std::string_view text, bool upper_case) {
  bool seen = false;
  for (const auto point : code_points(text)) {
    const auto c = static_cast<UChar32>(utf8_step(point).code_point);
    const bool up = u_hasBinaryProperty(c, UCHAR_UPPERCASE), low = u_hasBinaryProperty(c, UCHAR_LOWERCASE);
    if ((upper_case ? low : up) || u_charType(c) == U_TITLECASE_LETTER) return false;
    seen = seen || (upper_case ? up : low);
  }
  return seen;
}

bool is_all(std::string_view text, Kind kind) {
  const auto belongs = [&](std::string_view point) {
    const auto c = static_cast<UChar32>(utf8_step(point).code_point);
    const auto numeric = static_cast<UNumericType>(u_getIntPropertyValue(c, UCHAR_NUMERIC_TYPE));
    switch (kind) {
      case Kind::space: return is_python_space(point);
      case Kind::alpha: return u_isalpha(c) != 0;
      case Kind::decimal: return numeric == U_NT_DECIMAL;
      case Kind::digit: return numeric == U_NT_DECIMAL || numeric == U_NT_DIGIT;
      case Kind::numeric: return numeric != U_NT_NONE;
      case Kind::alnum: return u_isalpha(c) || numeric != U_NT_NONE;
    }
    return false;
  };
  return !text.empty() && std::ranges::all_of(code_points(text), belongs);
}

std::string title_words(std::string_view text) {
  std::string out;
  bool inside = false;
  for (const auto point : code_points(text)) {
    const auto c = static_cast<UChar32>(utf8_step(point).code_point);
    const bool cased = u_hasBinaryProperty(c, UCHAR_CASED) != 0;
    if (inside) out += lower(point);
    else out += raised(point);
    inside = cased;
  }
  return out;
}

std::string swap_case(std::string_view text) {
  std::string out;
  for (const auto point : code_points(text)) {
    const auto c = static_cast<UChar32>(utf8_step(point).code_point);
    out += u_hasBinaryProperty(c, UCHAR_UPPERCASE) ? lower(point) : u_hasBinaryProperty(c, UCHAR_LOWERCASE) ? upper(point) : std::string(point);
  }
  return out;
}

}  // namespace redoubt::engine::chat_template
