// SPDX-License-Identifier: Apache-2.0
#include "stages/image/recipe/glob.h"

#include <algorithm>

#include "stages/image/recipe/words.h"

namespace redoubt::stages::image::recipe {
namespace {

std::vector<std::string_view> parts_of(std::string_view path) {
  std::vector<std::string_view> parts;
  while (!path.empty()) {
    const auto end = std::min(path.find('/'), path.size());
    if (end > 0 && path.substr(0, end) != ".") parts.push_back(path.substr(0, end));
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return parts;
}

// One "[...]" at the start of the pattern: its length, and whether it holds `c`; a length of 0 is no class.
std::size_t match_class(std::string_view pattern, char c, bool& holds) {
  std::size_t at = 1;
  const bool negated = at < pattern.size() && (pattern[at] == '^' || pattern[at] == '!');
  if (negated) ++at;
  bool found = false;
  for (bool first = true; at < pattern.size() && (first || pattern[at] != ']'); first = false) {
    if (pattern[at] == '\\' && at + 1 < pattern.size()) ++at;
    const char low = pattern[at++];
    char high = low;
    if (at + 1 < pattern.size() && pattern[at] == '-' && pattern[at + 1] != ']') {
      high = pattern[at + 1];
      at += 2;
    }
    found = found || (low <= c && c <= high);
  }
  if (at >= pattern.size()) return 0;
  holds = found != negated;
  return at + 1;
}

// Whether the first element of the pattern fits `c`; its length, or 0.
std::size_t match_one(std::string_view pattern, char c) {
  if (pattern[0] == '?') return 1;
  if (pattern[0] == '[') {
    bool holds = false;
    const std::size_t length = match_class(pattern, c, holds);
    return holds ? length : 0;
  }
  if (pattern[0] == '\\' && pattern.size() > 1) return pattern[1] == c ? 2 : 0;
  return pattern[0] == c ? 1 : 0;
}

}  // namespace

bool is_pattern(std::string_view text) { return text.find_first_of("*?[\\") != text.npos; }

bool matches_name(std::string_view pattern, std::string_view name) {
  // After a '*' only the last one need be tried again.
  std::size_t at = 0, read = 0, star = std::string_view::npos, star_read = 0;
  while (read < name.size()) {
    if (at < pattern.size() && pattern[at] == '*') {
      star = at++;
      star_read = read;
      continue;
    }
    if (const std::size_t length = at < pattern.size() ? match_one(pattern.substr(at), name[read]) : 0; length > 0) {
      at += length;
      ++read;
      continue;
    }
    if (star == std::string_view::npos) return false;
    at = star + 1;
    read = ++star_read;
  }
  while (at < pattern.size() && pattern[at] == '*') ++at;
  return at == pattern.size();
}

bool matches_path(std::string_view pattern, std::string_view path) {
  const auto wanted = parts_of(pattern), given = parts_of(path);
  // reached[j]: whether the pattern's parts so far fit the first j parts of the path.
  std::vector<char> reached(given.size() + 1, 0);
  reached[0] = 1;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    std::vector<char> next(given.size() + 1, 0);
    const bool last = i + 1 == wanted.size();
    for (std::size_t j = 0; j <= given.size(); ++j) {
      if (wanted[i] == "**") {
        // At the end it stands for one part at least: "a/**" is what lies below a.
        next[j] = static_cast<char>((j > 0 && (next[j - 1] != 0 || (last && reached[j - 1] != 0))) || (!last && reached[j] != 0));
      } else if (j > 0) {
        next[j] = static_cast<char>(reached[j - 1] != 0 && matches_name(wanted[i], given[j - 1]));
      }
    }
    reached = std::move(next);
  }
  return reached[given.size()] != 0 && !wanted.empty();
}

Result<std::vector<std::string>> paths_that_fit(const std::string& pattern, const std::function<Result<std::vector<std::string>>(const std::string& folder)>& names_in) {
  constexpr std::size_t kPathsMax = 1'000'000;
  std::vector<std::string> open = {""};
  std::string_view rest = pattern;
  while (!rest.empty()) {
    const auto end = std::min(rest.find('/'), rest.size());
    const auto part = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    std::vector<std::string> next;
    for (const auto& folder : open) {
      for (const auto& name : TRY(names_in(folder))) {
        if (matches_name(part, name)) next.push_back(folder.empty() ? name : folder + "/" + name);
      }
      if (next.size() > kPathsMax) return fail(ErrorCode::limit_exceeded, "a pattern that fits too much: " + pattern);
    }
    open = std::move(next);
  }
  return open;
}

IgnoreRules IgnoreRules::parse(std::string_view text) {
  IgnoreRules rules;
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    auto line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.starts_with('#')) continue;
    line = trimmed(line);
    Rule rule;
    if (line.starts_with('!')) {
      rule.takes_in = true;
      line = trimmed(line.substr(1));
    }
    // As the path is cleaned, so is the pattern: no dots, no slash at either end. What leads out of the folder fits nothing in it.
    bool leads_out = false;
    for (auto part : parts_of(line)) {
      if (part == "..") {
        leads_out = leads_out || (rule.pattern.empty() && !line.starts_with('/'));
        const auto slash = rule.pattern.rfind('/');
        rule.pattern.resize(slash == std::string::npos ? 0 : slash);
        continue;
      }
      rule.pattern += (rule.pattern.empty() ? "" : "/") + std::string(part);
    }
    if (rule.pattern.empty() || leads_out) continue;
    rules.has_exceptions_ = rules.has_exceptions_ || rule.takes_in;
    rules.rules_.push_back(std::move(rule));
  }
  return rules;
}

bool IgnoreRules::ignores(std::string_view path) const {
  bool ignored = false;
  for (const auto& rule : rules_) {
    if (rule.takes_in != ignored) continue;  // it would change nothing
    bool fits = matches_path(rule.pattern, path);
    for (auto slash = path.find('/'); !fits && slash != path.npos; slash = path.find('/', slash + 1)) fits = matches_path(rule.pattern, path.substr(0, slash));
    if (fits) ignored = !rule.takes_in;
  }
  return ignored;
}

}  // namespace redoubt::stages::image::recipe
