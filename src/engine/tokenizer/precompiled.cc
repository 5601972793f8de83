// SPDX-License-Identifier: Apache-2.0
//
// The normalizer Precompiled: SentencePiece's table, looked up by grapheme and, where that finds nothing, by character.
#include <unicode/brkiter.h>
#include <unicode/utext.h>

#include <cstdlib>

#include "base/check.h"
#include "base/utf8.h"
#include "engine/tokenizer/charsmap.h"
#include "engine/tokenizer/normalizer_steps.h"

namespace redoubt::engine::tokenizer {
namespace {

constexpr std::size_t kGraphemeBytesMax = 5;  // longer graphemes are looked up by their characters only

std::int64_t count_characters(std::string_view text) {
  std::int64_t count = 0;
  for (const char c : text) count += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  return count;
}

// The graphemes of a text, in order.
class Graphemes {
 public:
  explicit Graphemes(std::string_view text) : text_(text) {
    UErrorCode error = U_ZERO_ERROR;
    breaks_.reset(icu::BreakIterator::createCharacterInstance(icu::Locale::getRoot(), error));
    source_ = utext_openUTF8(nullptr, text.data(), static_cast<std::int64_t>(text.size()), &error);
    breaks_->setText(source_, error);
    CHECK(U_SUCCESS(error));
  }
  Graphemes(const Graphemes&) = delete;
  ~Graphemes() { utext_close(source_); }

  std::string_view next() {
    const auto begin = at_;
    // Two letters of ASCII are never one grapheme.
    const bool plain = at_ + 1 < text_.size() && is_plain(text_[at_]) && is_plain(text_[at_ + 1]);
    at_ = plain ? at_ + 1 : static_cast<std::size_t>(breaks_->following(static_cast<std::int32_t>(at_)));
    return text_.substr(begin, at_ - begin);
  }
  bool done() const { return at_ >= text_.size(); }

 private:
  static bool is_plain(char c) { return c >= 0x20 && c < 0x7F; }
  std::string_view text_;
  std::unique_ptr<icu::BreakIterator> breaks_;
  UText* source_ = nullptr;
  std::size_t at_ = 0;
};

class Precompiled final : public NormalizerStep {
 public:
  explicit Precompiled(Charsmap charsmap) : charsmap_(std::move(charsmap)) {}

  Result<Piece> run(const Piece& piece, Arena& arena) const override {
    std::vector<Change> changes;
    bool modified = false;
    for (Graphemes graphemes(piece.text); !graphemes.done();) {
      const auto grapheme = graphemes.next();
      if (grapheme.size() <= kGraphemeBytesMax && replace(grapheme, changes)) {
        modified = true;
        continue;
      }
      for (std::size_t at = 0; at < grapheme.size();) {
        const auto step = utf8_step(grapheme.substr(at));
        if (replace(grapheme.substr(at, step.size), changes)) modified = true;
        else changes.push_back({step.code_point, 0});
        at += step.size;
      }
    }
    return modified ? rewrite(piece, changes, 0, arena) : piece;
  }

 private:
  bool replace(std::string_view old, std::vector<Change>& changes) const {
    const auto found = charsmap_.replacement(old);
    if (!found) return false;
    for (std::size_t at = 0; at < found->size();) {
      const auto step = utf8_step(found->substr(at));
      changes.push_back({step.code_point, 0});
      at += step.size;
    }
    const auto more = count_characters(*found) - count_characters(old);
    for (std::int64_t i = 1; i <= more; ++i) changes[changes.size() - static_cast<std::size_t>(i)].change = 1;
    if (more < 0 && !changes.empty()) changes.back().change += static_cast<int>(more);
    return true;
  }

  Charsmap charsmap_;
};

}  // namespace

Result<NormalizerStepPtr> make_precompiled(const Json& step, const std::string& where) {
  auto charsmap = TRY(Charsmap::parse(TRY(json_string(step, "precompiled_charsmap", where)), where));
  return NormalizerStepPtr(std::make_unique<Precompiled>(std::move(charsmap)));
}

}  // namespace redoubt::engine::tokenizer
