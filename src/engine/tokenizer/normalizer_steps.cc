// SPDX-License-Identifier: Apache-2.0
#include "engine/tokenizer/normalizer_steps.h"

#include <algorithm>

#include "base/utf8.h"
#include "engine/tokenizer/byte_level.h"
#include "engine/tokenizer/pattern.h"
#include "engine/tokenizer/unicode_sets.h"

namespace redoubt::engine::tokenizer {
namespace {

bool is_ascii(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

// Calls `take` with every character of a text.
template <class Take>
void each_character(std::string_view text, Take take) {
  for (std::size_t at = 0; at < text.size();) {
    const auto step = utf8_step(text.substr(at));
    take(step.code_point, text.substr(at, step.size));
    at += step.size;
  }
}

class NormalFormStep final : public NormalizerStep {
 public:
  explicit NormalFormStep(NormalForm form) : form_(form) {}

  Result<Piece> run(const Piece& piece, Arena& arena) const override {
    if (is_ascii(piece.text)) return piece;
    const auto text = arena.keep(to_normal_form(form_, std::string(piece.text)));
    if (piece.from_start == 0 || text.empty()) return Piece{text, 0};
    // What the first character alone becomes, as far as the text keeps it, or what it became together with those after it.
    const auto alone = to_normal_form(form_, std::string(piece.text.substr(0, piece.from_start)));
    const auto kept = std::ranges::mismatch(alone, text).in1 - alone.begin();
    return Piece{text, std::max(utf8_step(text).size, static_cast<std::size_t>(kept))};
  }

 private:
  NormalForm form_;
};

class Lowercase final : public NormalizerStep {
 public:
  Result<Piece> run(const Piece& piece, Arena& arena) const override {
    std::string text;
    std::size_t read = 0, from_start = 0;
    each_character(piece.text, [&](std::uint32_t c, std::string_view bytes) {
      append_lower(text, c);
      if (read < piece.from_start) from_start = text.size();
      read += bytes.size();
    });
    return Piece{arena.keep(std::move(text)), from_start};
  }
};

class Strip final : public NormalizerStep {
 public:
  Strip(bool left, bool right) : left_(left), right_(right) {}

  Result<Piece> run(const Piece& piece, Arena&) const override {
    std::size_t begin = 0, end = 0, at = 0;
    bool seen = false;
    each_character(piece.text, [&](std::uint32_t c, std::string_view bytes) {
      at += bytes.size();
      if (is_white_space(c)) return;
      if (!seen) begin = at - bytes.size();
      seen = true;
      end = at;
    });
    return piece.part(left_ ? (seen ? begin : at) : 0, right_ ? std::max(end, left_ ? begin : 0) : at);
  }

 private:
  bool left_, right_;
};

// Leaves characters out and maps others: what several types share.
class Filter : public NormalizerStep {
 public:
  Result<Piece> run(const Piece& piece, Arena& arena) const override {
    std::string text;
    text.reserve(piece.text.size());
    std::size_t read = 0, from_start = 0;
    each_character(piece.text, [&](std::uint32_t c, std::string_view bytes) {
      const auto before = text.size();
      map(c, bytes, text);
      if (read < piece.from_start && text.size() > before) from_start = text.size();
      read += bytes.size();
    });
    return Piece{arena.keep(std::move(text)), from_start};
  }

 private:
  // Appends what stands for the character.
  virtual void map(std::uint32_t c, std::string_view bytes, std::string& to) const = 0;
};

class StripAccents final : public Filter {
  void map(std::uint32_t c, std::string_view bytes, std::string& to) const override {
    if (!is_combining_mark(c)) to += bytes;
  }
};

// SentencePiece's rule for machine translation: controls go, odd spaces become spaces.
class Nmt final : public Filter {
  void map(std::uint32_t c, std::string_view bytes, std::string& to) const override {
    if ((c >= 1 && c <= 8) || c == 0x0B || (c >= 0x0E && c <= 0x1F) || c == 0x7F || c == 0x8F || c == 0x9F) return;
    const bool space = c == 9 || c == 0x0A || c == 0x0C || c == 0x0D || c == 0x1680 || (c >= 0x200B && c <= 0x200F) || c == 0x2028 ||
                       c == 0x2029 || c == 0x2581 || c == 0xFEFF || c == 0xFFFD;
    to += space ? std::string_view(" ") : bytes;
  }
};

class ByteLevelStep final : public Filter {
  void map(std::uint32_t, std::string_view bytes, std::string& to) const override { append_byte_level(to, bytes); }
};

class Cleaned final : public Filter {
  void map(std::uint32_t c, std::string_view bytes, std::string& to) const override {
    if (c != 0 && !is_control(c)) to += is_white_space(c) ? std::string_view(" ") : bytes;
  }
};

class SpacedChinese final : public Filter {
  void map(std::uint32_t c, std::string_view bytes, std::string& to) const override {
    static constexpr std::pair<std::uint32_t, std::uint32_t> kBlocks[] = {{0x4E00, 0x9FFF},   {0x3400, 0x4DBF},   {0x20000, 0x2A6DF}, {0x2A700, 0x2B73F},
                                                                          {0x2B740, 0x2B81F}, {0x2B920, 0x2CEAF}, {0xF900, 0xFAFF},   {0x2F800, 0x2FA1F}};
    const bool chinese = c >= 0x3400 && std::ranges::any_of(kBlocks, [&](const auto& block) { return c >= block.first && c <= block.second; });
    if (chinese) to += ' ';
    to += bytes;
    if (chinese) to += ' ';
  }
};

class NoMarks final : public Filter {
  void map(std::uint32_t c, std::string_view bytes, std::string& to) const override {
    if (!is_nonspacing_mark(c)) to += bytes;
  }
};

class BertNormalizer final : public NormalizerStep {
 public:
  void add(NormalizerStepPtr step) { steps_.push_back(std::move(step)); }
  Result<Piece> run(const Piece& piece, Arena& arena) const override {
    auto out = piece;
    for (const auto& step : steps_) out = TRY(step->run(out, arena));
    return out;
  }

 private:
  std::vector<NormalizerStepPtr> steps_;
};

class Prepend final : public NormalizerStep {
 public:
  explicit Prepend(std::string prefix) : prefix_(std::move(prefix)) {}
  Result<Piece> run(const Piece& piece, Arena& arena) const override { return prepend(piece, prefix_, arena); }

 private:
  std::string prefix_;
};

class Replace final : public NormalizerStep {
 public:
  Replace(Pattern pattern, std::string content) : pattern_(std::move(pattern)), content_(std::move(content)) {}

  Result<Piece> run(const Piece& piece, Arena& arena) const override {
    std::vector<Range> matches;
    TRY(pattern_.find_all(piece.text, matches));
    if (matches.empty()) return piece;
    std::string text;
    std::size_t from = 0, from_start = 0;
    const auto copy = [&](std::size_t to) {
      text += piece.text.substr(from, to - from);
      if (from < piece.from_start && to > from) from_start = text.size() - (to - std::min(to, piece.from_start));
    };
    for (const auto& match : matches) {
      copy(match.begin);
      text += content_;
      // What is put in belongs to the last byte of what goes away.
      if (!content_.empty() && (match.end == 0 ? 0 : match.end - 1) < piece.from_start) from_start = text.size();
      from = match.end;
      if (text.size() > piece.text.size() + kGrowthMax) return fail(ErrorCode::limit_exceeded, "the normalizer makes too long a text");
    }
    copy(piece.text.size());
    return Piece{arena.keep(std::move(text)), from_start};
  }

 private:
  static constexpr std::size_t kGrowthMax = 256 << 20;
  Pattern pattern_;
  std::string content_;
};

Result<NormalizerStepPtr> parse_bert(const Json& step, const std::string& where) {
  const bool lowers = TRY(json_bool(step, "lowercase", where));
  const bool unset = !step.contains("strip_accents") || step["strip_accents"].is_null();
  const bool strips = unset ? lowers : TRY(json_bool(step, "strip_accents", where));
  return make_bert_normalizer(TRY(json_bool(step, "clean_text", where)), TRY(json_bool(step, "handle_chinese_chars", where)), strips, lowers);
}

Result<NormalizerStepPtr> parse_replace(const Json& step, const std::string& where) {
  auto content = TRY(json_string(step, "content", where));
  auto pattern = TRY(Pattern::parse(TRY(json_object(step, "pattern", where)), where));
  return NormalizerStepPtr(std::make_unique<Replace>(std::move(pattern), std::move(content)));
}

}  // namespace

NormalizerStepPtr make_bert_normalizer(bool cleans, bool spaces_chinese, bool strips_accents, bool lowers) {
  auto made = std::make_unique<BertNormalizer>();
  if (cleans) made->add(std::make_unique<Cleaned>());
  if (spaces_chinese) made->add(std::make_unique<SpacedChinese>());
  if (strips_accents) {
    made->add(std::make_unique<NormalFormStep>(NormalForm::nfd));
    made->add(std::make_unique<NoMarks>());
  }
  if (lowers) made->add(std::make_unique<Lowercase>());
  return made;
}

Result<NormalizerStepPtr> parse_normalizer_step(const Json& step, const std::string& type, const std::string& where) {
  if (type == "NFC") return std::make_unique<NormalFormStep>(NormalForm::nfc);
  if (type == "NFD") return std::make_unique<NormalFormStep>(NormalForm::nfd);
  if (type == "NFKC") return std::make_unique<NormalFormStep>(NormalForm::nfkc);
  if (type == "NFKD") return std::make_unique<NormalFormStep>(NormalForm::nfkd);
  if (type == "Lowercase") return std::make_unique<Lowercase>();
  if (type == "StripAccents") return std::make_unique<StripAccents>();
  if (type == "Nmt") return std::make_unique<Nmt>();
  if (type == "ByteLevel") return std::make_unique<ByteLevelStep>();
  if (type == "BertNormalizer") return parse_bert(step, where);
  if (type == "Replace") return parse_replace(step, where);
  if (type == "Precompiled") return make_precompiled(step, where);
  if (type == "Prepend") return std::make_unique<Prepend>(TRY(json_string(step, "prepend", where)));
  if (type == "Strip") {
    const bool left = TRY(json_bool(step, "strip_left", where)), right = TRY(json_bool(step, "strip_right", where));
    return std::make_unique<Strip>(left, right);
  }
  return fail(ErrorCode::unsupported, "the normalizer " + type.substr(0, 64) + " is not supported", where);
}

}  // namespace redoubt::engine::tokenizer
