// SPDX-License-Identifier: Apache-2.0
#include "engine/metrics/text.h"

#include <utility>

#include "base/utf8.h"

namespace redoubt::engine::metrics {
namespace {

void replace_all(std::u32string& text, std::u32string_view what, std::u32string_view with) {
  for (std::size_t at = 0; (at = text.find(what, at)) != text.npos; at += with.size()) text.replace(at, what.size(), with);
}

bool is_digit(char32_t c) { return c >= '0' && c <= '9'; }
bool is_stop(char32_t c) { return c == '.' || c == ','; }
// ASCII's punctuation and the space, but for ' , - . which have rules of their own.
bool is_symbol(char32_t c) {
  return (c >= '{' && c <= '~') || (c >= '[' && c <= '`') || (c >= ' ' && c <= '&') || (c >= '(' && c <= '+') || (c >= ':' && c <= '@') || c == '/';
}

std::u32string symbols_apart(std::u32string_view text) {
  std::u32string out;
  for (const char32_t c : text) {
    if (is_symbol(c)) out += {U' ', c, U' '};
    else out += c;
  }
  return out;
}

// Rewrites each pair of neighbours that `matches`, from left to right; a pair's second is not the next pair's first.
template <class Matches>
std::u32string rewrite_pairs(std::u32string_view text, Matches matches, bool space_before, bool space_between, bool space_after) {
  std::u32string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (i + 1 == text.size() || !matches(text[i], text[i + 1])) {
      out += text[i];
      continue;
    }
    if (space_before) out += U' ';
    out += text[i];
    if (space_between) out += U' ';
    out += text[++i];
    if (space_after) out += U' ';
  }
  return out;
}

}  // namespace

std::u32string code_points(std::string_view text) {
  std::u32string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const auto step = utf8_step(text);
    out.push_back(step.kind == Utf8Step::whole ? step.code_point : 0xfffd);
    text.remove_prefix(step.kind == Utf8Step::unfinished ? text.size() : step.size);
  }
  return out;
}

bool is_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) ||
         c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

std::vector<std::u32string> split(std::u32string_view text) {
  std::vector<std::u32string> words;
  bool inside = false;
  for (const char32_t c : text) {
    if (is_space(c)) {
      inside = false;
      continue;
    }
    if (!std::exchange(inside, true)) words.emplace_back();
    words.back() += c;
  }
  return words;
}

std::size_t count_split(std::string_view text) {
  std::size_t runs = 0;
  bool inside = false;
  for (const char32_t c : code_points(text)) {
    runs += is_space(c) && !inside ? 1 : 0;
    inside = is_space(c);
  }
  return runs + 1;
}

std::size_t trimmed_end(std::string_view text) {
  std::size_t kept = 0;
  for (std::size_t at = 0; at < text.size();) {
    const auto step = utf8_step(text.substr(at));
    at += step.kind == Utf8Step::unfinished ? text.size() - at : step.size;
    if (step.kind != Utf8Step::whole || !is_space(step.code_point)) kept = at;
  }
  return kept;
}

std::vector<std::u32string> words_13a(std::string_view utf8) {
  auto text = code_points(utf8);
  while (!text.empty() && is_space(text.back())) text.pop_back();
  replace_all(text, U"<skipped>", U"");
  replace_all(text, U"-\n", U"");
  replace_all(text, U"\n", U" ");
  replace_all(text, U"&quot;", U"\"");
  replace_all(text, U"&amp;", U"&");
  replace_all(text, U"&lt;", U"<");
  replace_all(text, U"&gt;", U">");
  text = symbols_apart(U" " + text + U" ");
  text = rewrite_pairs(text, [](char32_t a, char32_t b) { return !is_digit(a) && is_stop(b); }, false, true, true);
  text = rewrite_pairs(text, [](char32_t a, char32_t b) { return is_stop(a) && !is_digit(b); }, true, true, false);
  text = rewrite_pairs(text, [](char32_t a, char32_t b) { return is_digit(a) && b == '-'; }, false, true, true);
  return split(text);
}

std::vector<std::string> words_rouge(std::string_view text) {
  std::vector<std::string> words;
  bool inside = false;
  for (char32_t c : code_points(text)) {
    const bool dotted = c == 0x130;  // its lower case is an i and a combining dot
    if (c >= 'A' && c <= 'Z') c += 'a' - 'A';
    if (c == 0x212a) c = 'k';
    if (dotted) c = 'i';
    const bool kept = (c >= 'a' && c <= 'z') || is_digit(c);
    if (kept && !inside) words.emplace_back();
    if (kept) words.back() += static_cast<char>(c);
    inside = kept && !dotted;
  }
  return words;
}

}  // namespace redoubt::engine::metrics
