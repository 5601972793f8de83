// SPDX-License-Identifier: Apache-2.0
#include "engine/tokenizer/pattern.h"

#include <algorithm>

#include "base/utf8.h"


namespace redoubt::engine::tokenizer {
namespace {

using Ranges = std::vector<Range>;

void merge_with_previous(const std::vector<Part>& parts, Ranges& out) {
  bool previous_match = false;
  for (const auto& part : parts) {
    if (part.match && !previous_match && !out.empty())
      out.back().end = part.range.end;
    else
      out.push_back(part.range);
    previous_match = part.match;
  }
}

void merge_with_next(const std::vector<Part>& parts, Ranges& out) {
  bool next_match = false;
  for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
    if (part->match && !next_match && !out.empty())
      out.back().begin = part->range.begin;
    else
      out.push_back(part->range);
    next_match = part->match;
  }
  std::ranges::reverse(out);
}

void merge_contiguous(const std::vector<Part>& parts, Ranges& out) {
  bool previous_match = false;
  for (const auto& part : parts) {
    if (part.match == previous_match && !out.empty())
      out.back().end = part.range.end;
    else
      out.push_back(part.range);
    previous_match = part.match;
  }
}

}  // namespace

Result<Pattern> Pattern::parse(const Json& description, const std::string& where) {
  if (!description.is_object() || description.size() != 1 || !description.begin()->is_string())
    return fail(ErrorCode::invalid_argument, "a pattern must be one Regex or one String", where);
  const auto text = description.begin()->get<std::string>();
  const auto& kind = description.begin().key();
  if (kind == "Regex") return of_regex(text, where);
  if (kind != "String") return fail(ErrorCode::unsupported, "the tokenizer uses the unknown pattern '" + kind + "'", where);
  if (text.empty()) return of_regex("", where);
  Pattern made;
  made.literal_ = text;
  return made;
}

Result<Pattern> Pattern::of_regex(std::string_view pattern, const std::string& where) {
  Pattern made;
  made.regex_ = TRY(Regex::compile(pattern, where));
  return made;
}

Status Pattern::find_all(std::string_view text, std::vector<Range>& matches) const {
  matches.clear();
  if (text.empty()) return {};
  if (regex_) return regex_->find_all(text, matches);
  for (auto at = text.find(literal_); at != std::string_view::npos; at = text.find(literal_, at + literal_.size()))
    matches.push_back({at, at + literal_.size()});
  return {};
}

void parts_of(const std::vector<Range>& matches, std::size_t size, std::vector<Part>& parts) {
  parts.clear();
  std::size_t from = 0;
  for (const auto& match : matches) {
    if (match.begin != from) parts.push_back({{from, match.begin}, false});
    parts.push_back({match, true});
    from = match.end;
  }
  if (from != size) parts.push_back({{from, size}, false});
}

void parts_by_character(std::string_view text, const std::function<bool(std::uint32_t)>& matches, std::vector<Part>& parts) {
  parts.clear();
  std::size_t from = 0;
  for (std::size_t at = 0; at < text.size();) {
    const auto step = utf8_step(text.substr(at));
    const auto end = at + step.size;
    if (matches(step.code_point)) {
      if (from < at) parts.push_back({{from, at}, false});
      parts.push_back({{at, end}, true});
      from = end;
    }
    at = end;
  }
  if (from < text.size()) parts.push_back({{from, text.size()}, false});
}

Result<Behavior> parse_behavior(const Json& step, const std::string& where) {
  const auto name = TRY(json_string(step, "behavior", where));
  if (name == "Removed") return Behavior::removed;
  if (name == "Isolated") return Behavior::isolated;
  if (name == "MergedWithPrevious") return Behavior::merged_with_previous;
  if (name == "MergedWithNext") return Behavior::merged_with_next;
  if (name == "Contiguous") return Behavior::contiguous;
  return fail(ErrorCode::unsupported, "the tokenizer uses the unknown split behaviour '" + name + "'", where);
}

void keep_ranges(const std::vector<Part>& parts, Behavior behavior, std::vector<Range>& ranges) {
  ranges.clear();
  switch (behavior) {
    case Behavior::merged_with_previous: merge_with_previous(parts, ranges); break;
    case Behavior::merged_with_next: merge_with_next(parts, ranges); break;
    case Behavior::contiguous: merge_contiguous(parts, ranges); break;
    default:
      for (const auto& part : parts)
        if (behavior == Behavior::isolated || !part.match) ranges.push_back(part.range);
  }
  std::erase_if(ranges, [](const Range& range) { return range.begin == range.end; });
}

}  // namespace redoubt::engine::tokenizer
