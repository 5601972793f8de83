// SPDX-License-Identifier: Apache-2.0
#include "engine/chat_template/text_operations.h"

#include <unicode/locid.h>
#include <unicode/unistr.h>

#include "engine/tokenizer/utf8.h"

namespace redoubt::engine::chat_template {
namespace {

bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

// str.isspace of Python: Unicode's white space and the four separators of ASCII.
bool is_space(std::string_view point) {
  const auto c = tokenizer::utf8_step(point).code_point;
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

std::vector<std::string> split_at_space(std::string_view text, std::int64_t count) {
  std::vector<std::string> parts;
  text = strip(text, Sides::left);
  while (!text.empty()) {
    if (count >= 0 && static_cast<std::int64_t>(parts.size()) == count) {
      parts.emplace_back(strip(text, Sides::right));
      break;
    }
    std::size_t end = 0;
    while (end < text.size() && !is_space(first_point(text.substr(end)))) end += first_point(text.substr(end)).size();
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
    if (!characters) return is_space(point);
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
  return upper(first) + lower(text.substr(first.size()));
}

// Jinja's: every word's first letter is raised, words begin after white space and -([{<.
std::string title(std::string_view text) {
  std::string out, word;
  const auto flush = [&] {
    out += capitalize(word);
    word.clear();
  };
  for (const auto point : code_points(text)) {
    if (is_space(point) || std::string_view("-([{<").find(point[0]) != std::string_view::npos) {
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

std::vector<std::string> split_lines(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const auto end = text.find_first_of("\r\n");
    lines.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) break;
    const bool pair = text[end] == '\r' && end + 1 < text.size() && text[end + 1] == '\n';
    text.remove_prefix(end + (pair ? 2 : 1));
  }
  return lines;
}

}  // namespace redoubt::engine::chat_template
