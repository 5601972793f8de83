// SPDX-License-Identifier: Apache-2.0
#include "engine/tokenizer/decoder_steps.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/utf8.h"
#include "engine/tokenizer/byte_level.h"
#include "engine/tokenizer/pre_tokenizer_steps.h"

namespace redoubt::engine::tokenizer {
namespace {


std::string replaced(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  for (auto at = text.find(from); at != std::string_view::npos; at = text.find(from)) {
    out += text.substr(0, at);
    out += to;
    text.remove_prefix(at + from.size());
  }
  return out += text;
}

// What a rule makes of one token, which is the first of its row or not.
using PlacedRule = std::function<std::string(std::string token, bool first)>;

// A rule that looks at every token by itself.
class EachToken final : public DecoderStage {
 public:
  explicit EachToken(PlacedRule rule) : rule_(std::move(rule)) {}
  void take(std::string token, const Next& next) override {
    next(rule_(std::move(token), first_));
    first_ = false;
  }
  void end(const Next&) override {}

 private:
  PlacedRule rule_;
  bool first_ = true;
};

// A rule for whole tokens that gets one in fragments.
class Gathered final : public DecoderStage {
 public:
  explicit Gathered(DecoderStagePtr stage) : stage_(std::move(stage)) {}
  void take(std::string fragment, const Next&) override { all_ += fragment; }
  void end(const Next& next) override {
    stage_->take(std::move(all_), next);
    stage_->end(next);
  }

 private:
  DecoderStagePtr stage_;
  std::string all_;
};

// Hands on what it gets: all tokens are one from here.
class Fuse final : public DecoderStage {
  void take(std::string token, const Next& next) override { next(std::move(token)); }
  void end(const Next&) override {}
};

class ByteLevelStage final : public DecoderStage {
  void take(std::string token, const Next& next) override { next(utf8_.push(bytes_of_token(token))); }
  void end(const Next& next) override { next(utf8_.finish()); }
  Utf8Stream utf8_;
};

// "<0x41>" as Rust reads it, which allows a plus sign for the first digit.
std::optional<std::uint8_t> byte_of_fallback(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || !token.ends_with('>')) return std::nullopt;
  auto digits = token.substr(3, 2);
  if (digits.starts_with('+')) digits.remove_prefix(1);
  std::uint8_t byte = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), byte, 16);
  if (error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
  return byte;
}

// A run of bytes is UTF-8 as a whole, or a replacement character for each.
class ByteFallback final : public DecoderStage {
 public:
  void take(std::string token, const Next& next) override {
    if (const auto byte = byte_of_fallback(token)) {
      run_ += static_cast<char>(*byte);
      return;
    }
    end(next);
    next(std::move(token));
  }
  void end(const Next& next) override {
    if (run_.empty()) return;
    const auto run = std::exchange(run_, {});
    if (find_invalid_utf8(run) == std::string::npos) return next(run);
    for (std::size_t i = 0; i < run.size(); ++i) next(std::string(kReplacement));
  }

 private:
  std::string run_;
};

// A word's end is a space, but for the last token.
class WordEnds final : public DecoderStage {
 public:
  explicit WordEnds(std::string suffix) : suffix_(std::move(suffix)) {}
  void take(std::string token, const Next& next) override {
    if (held_) next(replaced(*held_, suffix_, " "));
    held_ = std::move(token);
  }
  void end(const Next& next) override {
    if (held_) next(replaced(*held_, suffix_, ""));
  }

 private:
  std::string suffix_;
  std::optional<std::string> held_;
};

struct StripRule {
  std::string character;
  std::int64_t start = 0, stop = 0;

  std::string operator()(std::string_view text) const {
    auto from_end = text;
    std::int64_t cut = 0;
    while (cut < stop && from_end.ends_with(character)) from_end.remove_suffix(character.size()), ++cut;
    std::size_t begin = 0;
    for (std::int64_t i = 0; i < start && text.substr(begin).starts_with(character); ++i) begin += character.size();
    return std::string(from_end.substr(std::min(begin, from_end.size())));
  }
};

// The same for a token in fragments.
class StripStage final : public DecoderStage {
 public:
  explicit StripStage(StripRule rule) : rule_(std::move(rule)), left_(rule_.start) {}
  void take(std::string fragment, const Next& next) override {
    std::string_view text = fragment;
    const auto& character = rule_.character;
    for (; left_ > 0 && text.starts_with(character); --left_) text.remove_prefix(character.size());
    if (text.empty()) return;
    left_ = 0;
    held_ += text;
    // What may yet be the end stays here.
    std::size_t kept = 0;
    std::int64_t count = 0;
    while (count < rule_.stop && std::string_view(held_).substr(0, held_.size() - kept).ends_with(character)) kept += character.size(), ++count;
    next(held_.substr(0, held_.size() - kept));
    held_.erase(0, held_.size() - kept);
  }
  void end(const Next&) override {}

 private:
  StripRule rule_;
  std::int64_t left_;
  std::string held_;
};

// Takes back the spaces that cutting put before punctuation and short forms.
std::string cleaned(std::string text) {
  static constexpr std::pair<const char*, const char*> kPairs[] = {
      {" .", "."},     {" ?", "?"},     {" !", "!"},        {" ,", ","},   {" ' ", "'"},   {" n't", "n't"},
      {" 'm", "'m"},   {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  for (const auto& [from, to] : kPairs) text = replaced(text, from, to);
  return text;
}

std::string same(std::string token) { return token; }

enum class Start { same, differs };  // whether a rule makes something else of the first token

DecoderStep each_token(PlacedRule rule, bool fused, Start start = Start::same) {
  const auto make = [rule, fused]() -> DecoderStagePtr {
    auto stage = std::make_unique<EachToken>(rule);
    if (!fused) return stage;
    return std::make_unique<Gathered>(std::move(stage));
  };
  if (fused) return {.make = make, .in_text = same, .by_token = false};
  DecoderStep step{.make = make, .in_text = [rule](std::string token) { return rule(std::move(token), false); }};
  if (start == Start::differs) step.at_start = [rule](std::string token) { return rule(std::move(token), true); };
  return step;
}

Result<ParsedDecoderStep> parse_replacement(const Json& step, bool fused, const std::string& where) {
  const auto pattern = TRY(json_object(step, "pattern", where));
  if (!pattern.contains("String")) return fail(ErrorCode::unsupported, "the decoder Replace has a pattern that is no String", where);
  const auto from = TRY(json_string(pattern, "String", where)), to = TRY(json_string(step, "content", where));
  if (from.empty()) return fail(ErrorCode::unsupported, "the decoder Replace has an empty pattern", where);
  auto made = each_token([from, to](const std::string& token, bool) { return replaced(token, from, to); }, fused);
  made.rewrites = from;
  return ParsedDecoderStep{std::move(made)};
}

Result<ParsedDecoderStep> parse_mark(const Json& step, bool fused, const std::string& where) {
  const auto mark = TRY(parse_character(step, "replacement", where));
  const bool drops = TRY(parse_prepend_scheme(step, where)) != PrependScheme::never;
  const PlacedRule rule = [mark, drops](const std::string& token, bool first) { return replaced(token, mark, first && drops ? "" : " "); };
  if (!fused) {
    auto made = each_token(rule, false, drops ? Start::differs : Start::same);
    made.rewrites = mark;
    return ParsedDecoderStep{std::move(made)};
  }
  // All of a fused token is the first one.
  const auto whole = [rule](const std::string& token) { return rule(token, true); };
  const auto make = [whole]() -> DecoderStagePtr { return std::make_unique<EachToken>([whole](const std::string& token, bool) { return whole(token); }); };
  return ParsedDecoderStep{{.make = make, .in_text = whole}};
}

Result<ParsedDecoderStep> parse_word_piece(const Json& step, bool fused, const std::string& where) {
  const auto prefix = TRY(json_string(step, "prefix", where));
  const bool cleans = TRY(json_bool(step, "cleanup", where));
  return ParsedDecoderStep{each_token(
      [prefix, cleans](std::string token, bool first) {
        if (!first) token = token.starts_with(prefix) ? token.substr(prefix.size()) : " " + token;
        return cleans ? cleaned(std::move(token)) : token;
      },
      fused, Start::differs)};
}

Result<ParsedDecoderStep> parse_strip(const Json& step, bool fused, const std::string& where) {
  const StripRule rule{TRY(parse_character(step, "content", where)), TRY(json_integer(step, "start", where)), TRY(json_integer(step, "stop", where))};
  if (rule.start < 0 || rule.stop < 0) return fail(ErrorCode::invalid_argument, "the decoder Strip counts below 0", where);
  if (!fused) return ParsedDecoderStep{each_token([rule](const std::string& token, bool) { return rule(token); }, false)};
  StripRule first = rule;
  first.stop = 0;
  DecoderStep made{.make = [rule]() -> DecoderStagePtr { return std::make_unique<StripStage>(rule); }, .in_text = same, .takes_more = rule.start > 1};
  if (rule.start > 0) made.at_start = first;
  made.by_token = rule.stop == 0 || rule.character == " ";  // a JSON text has no end that a space would change
  return ParsedDecoderStep{std::move(made)};
}

template <class Stage, class... Arguments>
std::function<DecoderStagePtr()> maker_of(bool fused, Arguments... arguments) {
  return [fused, arguments...]() -> DecoderStagePtr {
    auto stage = std::make_unique<Stage>(arguments...);
    if (!fused) return stage;
    return std::make_unique<Gathered>(std::move(stage));
  };
}

}  // namespace

DecoderStep make_spacing() {
  return each_token([](const std::string& token, bool first) { return first ? token : " " + token; }, false, Start::differs);
}

Result<ParsedDecoderStep> parse_decoder_step(const Json& step, const std::string& type, bool fused, const std::string& where) {
  if (type == "Replace") return parse_replacement(step, fused, where);
  if (type == "Metaspace") return parse_mark(step, fused, where);
  if (type == "WordPiece") return parse_word_piece(step, fused, where);
  if (type == "Strip") return parse_strip(step, fused, where);
  if (type == "Fuse") return ParsedDecoderStep{{.make = []() -> DecoderStagePtr { return std::make_unique<Fuse>(); }, .in_text = same}, true};
  if (type == "ByteLevel")
    return ParsedDecoderStep{{.make = maker_of<ByteLevelStage>(fused), .in_text = [](const std::string& token) { return bytes_of_token(token); }, .by_token = !fused}, true};
  if (type == "ByteFallback") {
    const auto in_text = [](const std::string& token) {
      const auto byte = byte_of_fallback(token);
      return byte ? std::string(1, static_cast<char>(*byte)) : token;
    };
    return ParsedDecoderStep{{.make = maker_of<ByteFallback>(fused), .in_text = in_text, .by_token = !fused, .joins_bytes = !fused}};
  }
  if (type == "BPEDecoder") {
    const auto suffix = TRY(json_string(step, "suffix", where));
    if (suffix.empty()) return fail(ErrorCode::unsupported, "the decoder BPEDecoder has an empty suffix", where);
    return ParsedDecoderStep{{.make = maker_of<WordEnds>(fused, suffix), .in_text = [suffix](const std::string& token) { return replaced(token, suffix, " "); }, .by_token = !fused}};
  }
  return fail(ErrorCode::unsupported, "the decoder " + type.substr(0, 64) + " is not supported", where);
}

}  // namespace redoubt::engine::tokenizer
