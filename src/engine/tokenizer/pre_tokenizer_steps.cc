// SPDX-License-Identifier: Apache-2.0
#include "engine/tokenizer/pre_tokenizer_steps.h"

#include "base/utf8.h"
#include "engine/tokenizer/byte_level.h"
#include "engine/tokenizer/unicode_sets.h"

namespace redoubt::engine::tokenizer {
namespace {

constexpr const char* kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

using CharacterTest = std::function<bool(std::uint32_t)>;

// Room to work in, kept from call to call.
struct SplitRoom {
  std::vector<Range> matches, ranges;
  std::vector<Part> parts;
};
thread_local SplitRoom split_room;

void cut(const Piece& piece, Behavior behavior, Pieces& out) {
  keep_ranges(split_room.parts, behavior, split_room.ranges);
  for (const auto& range : split_room.ranges) out.push_back(piece.part(range.begin, range.end));
}

class PatternSplit final : public PreTokenizerStep {
 public:
  PatternSplit(Pattern pattern, Behavior behavior, bool invert) : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}

  Status run(const Piece& piece, Arena&, Pieces& out) const override {
    TRY(pattern_.find_all(piece.text, split_room.matches));
    if (behavior_ == Behavior::isolated) {
      isolate(piece, out);
      return {};
    }
    parts_of(split_room.matches, piece.text.size(), split_room.parts);
    if (invert_)
      for (auto& part : split_room.parts) part.match = !part.match;
    cut(piece, behavior_, out);
    return {};
  }

 private:
  // What most tokenizers do: every match and all between is a piece.
  static void isolate(const Piece& piece, Pieces& out) {
    std::size_t from = 0;
    const auto add = [&](std::size_t begin, std::size_t end) {
      if (end > begin) out.push_back(piece.part(begin, end));
    };
    for (const auto& match : split_room.matches) {
      add(from, match.begin);
      add(match.begin, match.end);
      from = match.end;
    }
    add(from, piece.text.size());
  }

  Pattern pattern_;
  Behavior behavior_;
  bool invert_;
};

class CharacterSplit final : public PreTokenizerStep {
 public:
  CharacterSplit(CharacterTest test, Behavior behavior) : test_(std::move(test)), behavior_(behavior) {}

  Status run(const Piece& piece, Arena&, Pieces& out) const override {
    parts_by_character(piece.text, test_, split_room.parts);
    cut(piece, behavior_, out);
    return {};
  }

 private:
  CharacterTest test_;
  Behavior behavior_;
};

class Steps final : public PreTokenizerStep {
 public:
  Steps(PreTokenizerStepPtr first, PreTokenizerStepPtr second) : first_(std::move(first)), second_(std::move(second)) {}
  Status run(const Piece& piece, Arena& arena, Pieces& out) const override {
    Pieces between;
    TRY(first_->run(piece, arena, between));
    for (const auto& one : between) TRY(second_->run(one, arena, out));
    return {};
  }

 private:
  PreTokenizerStepPtr first_, second_;
};

// \w+|[^\w\s]+, all else thrown away.
class Whitespace final : public PreTokenizerStep {
  enum class Kind { word, space, other };
  static Kind kind_of(std::uint32_t c) { return is_word(c) ? Kind::word : is_white_space(c) ? Kind::space : Kind::other; }

  Status run(const Piece& piece, Arena&, Pieces& out) const override {
    std::size_t begin = 0;
    auto kind = Kind::space;
    const auto flush = [&](std::size_t end) {
      if (kind != Kind::space && end > begin) out.push_back(piece.part(begin, end));
      begin = end;
    };
    for (std::size_t at = 0; at < piece.text.size();) {
      const auto step = utf8_step(piece.text.substr(at));
      const auto next = kind_of(step.code_point);
      if (next != kind) flush(at);
      kind = next;
      at += step.size;
    }
    flush(piece.text.size());
    return {};
  }
};

class UnicodeScripts final : public PreTokenizerStep {
  Status run(const Piece& piece, Arena&, Pieces& out) const override {
    std::size_t begin = 0;
    bool begun = false;
    std::int32_t last = kNoScript;
    for (std::size_t at = 0; at < piece.text.size();) {
      const auto step = utf8_step(piece.text.substr(at));
      const auto script = script_of(step.code_point);
      if (script != kAnyScript && script != last) {
        // What stands before the first script is thrown away, as in the tokenizers package.
        if (begun && at > begin) out.push_back(piece.part(begin, at));
        begin = at;
        begun = true;
      }
      if (script != kAnyScript) last = script;
      at += step.size;
    }
    if (begun && begin < piece.text.size()) out.push_back(piece.part(begin, piece.text.size()));
    return {};
  }
  static constexpr std::int32_t kNoScript = -2;
};

class FixedLength final : public PreTokenizerStep {
 public:
  explicit FixedLength(std::size_t length) : length_(length) {}
  Status run(const Piece& piece, Arena&, Pieces& out) const override {
    std::size_t begin = 0, count = 0;
    for (std::size_t at = 0; at < piece.text.size();) {
      at += utf8_step(piece.text.substr(at)).size;
      if (++count < length_ && at < piece.text.size()) continue;
      out.push_back(piece.part(begin, at));
      begin = at;
      count = 0;
    }
    return {};
  }

 private:
  std::size_t length_;
};

// A space before the first word, unless there is one.
class PrefixSpace final : public PreTokenizerStep {
  Status run(const Piece& piece, Arena& arena, Pieces& out) const override {
    out.push_back(piece.text.starts_with(' ') ? piece : prepend(piece, " ", arena));
    return {};
  }
};

class ByteWriter final : public PreTokenizerStep {
  Status run(const Piece& piece, Arena& arena, Pieces& out) const override {
    std::string text, start;
    append_byte_level(text, piece.text);
    append_byte_level(start, piece.text.substr(0, piece.from_start));
    out.push_back({arena.keep(std::move(text)), start.size()});
    return {};
  }
};

// SentencePiece's way: a space becomes a mark, and a word begins with one.
class Metaspace final : public PreTokenizerStep {
 public:
  Metaspace(std::string mark, PrependScheme scheme, bool splits) : mark_(std::move(mark)), scheme_(scheme), splits_(splits) {}

  Status run(const Piece& piece, Arena& arena, Pieces& out) const override {
    const auto marked = mark(piece, arena);
    if (!splits_) {
      out.push_back(marked);
      return {};
    }
    const auto text = marked.text;
    std::size_t begin = 0;
    for (auto at = text.find(mark_, 0); at != std::string_view::npos; at = text.find(mark_, at + mark_.size())) {
      if (at > begin) out.push_back(marked.part(begin, at));
      begin = at;
    }
    if (begin < text.size()) out.push_back(marked.part(begin, text.size()));
    return {};
  }

 private:
  Piece mark(const Piece& piece, Arena& arena) const {
    std::string text;
    std::size_t from_start = 0;
    const bool first = scheme_ == PrependScheme::always || (scheme_ == PrependScheme::first && piece.from_start > 0);
    if (first && !piece.text.starts_with(mark_) && !piece.text.starts_with(' ')) text = mark_;
    for (std::size_t at = 0; at < piece.text.size(); ++at) {
      if (piece.text[at] == ' ') text += mark_;
      else text += piece.text[at];
      if (at < piece.from_start) from_start = text.size();
    }
    return {arena.keep(std::move(text)), from_start};
  }

  std::string mark_;
  PrependScheme scheme_;
  bool splits_;
};

PreTokenizerStepPtr split_at(CharacterTest test, Behavior behavior) { return std::make_unique<CharacterSplit>(std::move(test), behavior); }

Result<ParsedStep> parse_split(const Json& step, const std::string& where) {
  const auto behavior = TRY(parse_behavior(step, where));
  const bool invert = TRY(json_bool(step, "invert", where));
  auto pattern = TRY(Pattern::parse(TRY(json_object(step, "pattern", where)), where));
  auto made = std::make_unique<PatternSplit>(std::move(pattern), behavior, invert);
  return ParsedStep{std::move(made), behavior == Behavior::removed};
}

Result<ParsedStep> parse_metaspace(const Json& step, const std::string& where) {
  auto mark = TRY(parse_character(step, "replacement", where));
  const auto scheme = TRY(parse_prepend_scheme(step, where));
  const bool splits = !step.contains("split") || step["split"].is_null() || TRY(json_bool(step, "split", where));
  return ParsedStep{std::make_unique<Metaspace>(std::move(mark), scheme, splits)};
}

Result<ParsedStep> parse_fixed_length(const Json& step, const std::string& where) {
  const auto length = step.contains("length") ? TRY(json_integer(step, "length", where)) : 5;
  if (length < 1) return fail(ErrorCode::invalid_argument, "FixedLength has a length below 1", where);
  return ParsedStep{std::make_unique<FixedLength>(static_cast<std::size_t>(length))};
}

}  // namespace

PreTokenizerStepPtr make_prefix_space() { return std::make_unique<PrefixSpace>(); }
PreTokenizerStepPtr make_byte_writer() { return std::make_unique<ByteWriter>(); }

Result<PreTokenizerStepPtr> make_gpt2_splitter(const std::string& where) {
  auto pattern = TRY(Pattern::of_regex(kGpt2Pattern, where));
  return PreTokenizerStepPtr(std::make_unique<PatternSplit>(std::move(pattern), Behavior::isolated, false));
}

Result<std::string> parse_character(const Json& step, const char* key, const std::string& where) {
  auto text = TRY(json_string(step, key, where));
  if (text.empty() || utf8_step(text).size != text.size())
    return fail(ErrorCode::invalid_argument, std::string("'") + key + "' must be one character", where);
  return text;
}

Result<PrependScheme> parse_prepend_scheme(const Json& step, const std::string& where) {
  const auto name = step.contains("prepend_scheme") ? TRY(json_string(step, "prepend_scheme", where)) : "always";
  const auto scheme = name == "always" ? PrependScheme::always : name == "first" ? PrependScheme::first : PrependScheme::never;
  if (scheme == PrependScheme::never && name != "never")
    return fail(ErrorCode::unsupported, "the tokenizer uses the unknown prepend_scheme '" + name.substr(0, 64) + "'", where);
  const bool forbids = step.contains("add_prefix_space") && step["add_prefix_space"] == false;
  if (forbids && scheme != PrependScheme::never)
    return fail(ErrorCode::invalid_argument, "add_prefix_space does not go with prepend_scheme", where);
  return scheme;
}

Result<ParsedStep> parse_pre_tokenizer_step(const Json& step, const std::string& type, const std::string& where) {
  if (type == "Split") return parse_split(step, where);
  if (type == "Metaspace") return parse_metaspace(step, where);
  if (type == "FixedLength") return parse_fixed_length(step, where);
  if (type == "Whitespace") return ParsedStep{std::make_unique<Whitespace>(), true};
  if (type == "WhitespaceSplit") return ParsedStep{split_at(is_white_space, Behavior::removed), true};
  if (type == "UnicodeScripts") return ParsedStep{std::make_unique<UnicodeScripts>(), true};
  if (type == "BertPreTokenizer")
    return ParsedStep{std::make_unique<Steps>(split_at(is_white_space, Behavior::removed), split_at(is_punctuation, Behavior::isolated)), true};
  if (type == "Digits") {
    const bool each = TRY(json_bool(step, "individual_digits", where));
    return ParsedStep{split_at(is_numeric, each ? Behavior::isolated : Behavior::contiguous)};
  }
  if (type == "Punctuation") {
    const auto behavior = step.contains("behavior") ? TRY(parse_behavior(step, where)) : Behavior::isolated;
    return ParsedStep{split_at(is_punctuation, behavior), behavior == Behavior::removed};
  }
  if (type == "CharDelimiterSplit") {
    const auto delimiter = utf8_step(TRY(parse_character(step, "delimiter", where))).code_point;
    return ParsedStep{split_at([delimiter](std::uint32_t c) { return c == delimiter; }, Behavior::removed), true};
  }
  return fail(ErrorCode::unsupported, "the pre-tokenizer " + type.substr(0, 64) + " is not supported", where);
}

}  // namespace redoubt::engine::tokenizer
