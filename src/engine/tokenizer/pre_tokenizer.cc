// SPDX-License-Identifier: Apache-2.0
#include "engine/tokenizer/pre_tokenizer.h"

namespace redoubt::engine::tokenizer {
namespace {

constexpr std::size_t kStepsMax = 16;
constexpr const char* kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
// Rust's is_numeric, which knows more scripts than Oniguruma.
constexpr const char* kNumeric = R"([\p{N}\x{11de0}-\x{11de9}\x{16ff4}-\x{16ff6}])";

enum class Behavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

struct Part {
  Range range;
  bool match;
};

// The text as matches and what lies between them, nothing left out.
std::vector<Part> parts_of(const std::vector<Range>& matches, std::size_t size) {
  std::vector<Part> parts;
  std::size_t from = 0;
  for (const auto& match : matches) {
    if (match.begin > from) parts.push_back({{from, match.begin}, false});
    parts.push_back({match, true});
    from = match.end;
  }
  if (from < size) parts.push_back({{from, size}, false});
  return parts;
}

std::vector<Range> merge_with_previous(const std::vector<Part>& parts) {
  std::vector<Range> out;
  bool previous_match = false;
  for (const auto& part : parts) {
    if (part.match && !previous_match && !out.empty())
      out.back().end = part.range.end;
    else
      out.push_back(part.range);
    previous_match = part.match;
  }
  return out;
}

std::vector<Range> merge_with_next(const std::vector<Part>& parts) {
  std::vector<Range> out;
  bool next_match = false;
  for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
    if (part->match && !next_match && !out.empty())
      out.back().begin = part->range.begin;
    else
      out.push_back(part->range);
    next_match = part->match;
  }
  return {out.rbegin(), out.rend()};
}

std::vector<Range> merge_contiguous(const std::vector<Part>& parts) {
  std::vector<Range> out;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (i > 0 && parts[i].match == parts[i - 1].match)
      out.back().end = parts[i].range.end;
    else
      out.push_back(parts[i].range);
  }
  return out;
}

std::vector<Range> keep(const std::vector<Part>& parts, Behavior behavior) {
  switch (behavior) {
    case Behavior::merged_with_previous: return merge_with_previous(parts);
    case Behavior::merged_with_next: return merge_with_next(parts);
    case Behavior::contiguous: return merge_contiguous(parts);
    default: break;
  }
  std::vector<Range> out;
  for (const auto& part : parts)
    if (behavior == Behavior::isolated || !part.match) out.push_back(part.range);
  return out;
}

class RegexSplitter final : public Splitter {
 public:
  RegexSplitter(Regex regex, Behavior behavior, bool invert)
      : regex_(std::move(regex)), behavior_(behavior), invert_(invert) {}

  Status split(std::string text, std::vector<std::string>& pieces) const override {
    auto parts = parts_of(TRY(regex_.find_all(text)), text.size());
    if (invert_)
      for (auto& part : parts) part.match = !part.match;
    for (const auto& range : keep(parts, behavior_)) pieces.push_back(text.substr(range.begin, range.end - range.begin));
    return {};
  }

 private:
  Regex regex_;
  Behavior behavior_;
  bool invert_;
};

// ByteLevel's optional space before the first word.
class PrefixSpace final : public Splitter {
 public:
  Status split(std::string text, std::vector<std::string>& pieces) const override {
    pieces.push_back(text.starts_with(' ') ? std::move(text) : " " + text);
    return {};
  }
};

Result<std::unique_ptr<Splitter>> regex_splitter(std::string_view pattern, Behavior behavior, bool invert,
                                                 const std::string& where) {
  return std::make_unique<RegexSplitter>(TRY(Regex::compile(pattern, where)), behavior, invert);
}

Result<Behavior> behavior_of(const std::string& name, const std::string& where) {
  if (name == "Removed") return Behavior::removed;
  if (name == "Isolated") return Behavior::isolated;
  if (name == "MergedWithPrevious") return Behavior::merged_with_previous;
  if (name == "MergedWithNext") return Behavior::merged_with_next;
  if (name == "Contiguous") return Behavior::contiguous;
  return fail(ErrorCode::unsupported, "unknown split behaviour '" + name + "'", where);
}

std::string quote_pattern(const std::string& literal) {
  std::string out;
  for (const char c : literal) {
    if (static_cast<unsigned char>(c) < 0x80 && std::ispunct(static_cast<unsigned char>(c))) out += '\\';
    out += c;
  }
  return out;
}

Result<std::unique_ptr<Splitter>> parse_split(const Json& step, const std::string& where) {
  const auto pattern = TRY(json_object(step, "pattern", where));
  const auto behavior = TRY(behavior_of(TRY(json_string(step, "behavior", where)), where));
  const bool invert = TRY(json_bool(step, "invert", where));
  if (pattern.size() != 1 || !pattern.begin()->is_string())
    return fail(ErrorCode::invalid_argument, "a Split pattern must be one Regex or one String", where);
  const auto text = pattern.begin()->get<std::string>();
  if (pattern.begin().key() == "Regex") return regex_splitter(text, behavior, invert, where);
  if (pattern.begin().key() == "String") return regex_splitter(quote_pattern(text), behavior, invert, where);
  return fail(ErrorCode::unsupported, "unknown Split pattern '" + pattern.begin().key() + "'", where);
}

using Steps = std::vector<std::unique_ptr<Splitter>>;

Status add_byte_level(const Json& step, const std::string& where, Steps& steps) {
  if (TRY(json_bool(step, "add_prefix_space", where))) steps.push_back(std::make_unique<PrefixSpace>());
  if (!step.contains("use_regex") || TRY(json_bool(step, "use_regex", where)))
    steps.push_back(TRY(regex_splitter(kGpt2Pattern, Behavior::isolated, false, where)));
  return {};
}

Status add_step(const Json& step, const std::string& where, bool last, Steps& steps) {
  const auto type = TRY(json_string(step, "type", where));
  if (type == "ByteLevel" && last) return add_byte_level(step, where, steps);
  if (type == "ByteLevel" || last)
    return fail(ErrorCode::unsupported, "the pre-tokenizer ends with " + type + ", not with ByteLevel", where,
                "only byte-level vocabularies are read");
  if (type == "Digits") {
    const auto behavior = TRY(json_bool(step, "individual_digits", where)) ? Behavior::isolated : Behavior::contiguous;
    steps.push_back(TRY(regex_splitter(kNumeric, behavior, false, where)));
    return {};
  }
  if (type != "Split") return fail(ErrorCode::unsupported, "the pre-tokenizer " + type + " is not supported", where);
  steps.push_back(TRY(parse_split(step, where)));
  return {};
}

}  // namespace

Result<PreTokenizer> PreTokenizer::parse(const Json& description, const std::string& where) {
  if (!description.is_object())
    return fail(ErrorCode::unsupported, "there is no pre-tokenizer; only byte-level vocabularies are read", where);
  Json steps = Json::array({description});
  if (TRY(json_string(description, "type", where)) == "Sequence") steps = TRY(json_array(description, "pretokenizers", where));
  if (steps.empty() || steps.size() > kStepsMax)
    return fail(ErrorCode::invalid_argument, "a pre-tokenizer sequence has 1 to 16 steps", where);
  PreTokenizer made;
  for (std::size_t i = 0; i < steps.size(); ++i) TRY(add_step(steps[i], where, i + 1 == steps.size(), made.steps_));
  return made;
}

Result<std::vector<std::string>> PreTokenizer::split(std::string_view text) const {
  std::vector<std::string> pieces{std::string(text)};
  for (const auto& step : steps_) {
    std::vector<std::string> next;
    for (auto& piece : pieces) TRY(step->split(std::move(piece), next));
    pieces = std::move(next);
  }
  return pieces;
}

}  // namespace redoubt::engine::tokenizer
