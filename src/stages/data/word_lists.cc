// SPDX-License-Identifier: Apache-2.0
#include "stages/data/word_lists.h"

#include <unicode/uchar.h>

#include <algorithm>

#include "base/utf8.h"
#include "detectors/utf8.h"
#include "stages/data/fold.h"

namespace redoubt::stages::data {
namespace {

struct Word {
  std::string folded;
  std::size_t begin = 0, end = 0;
};

bool is_word(std::uint32_t c) {
  if (c < 0x80) return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
  const auto category = U_GET_GC_MASK(static_cast<UChar32>(c));
  return (category & (U_GC_L_MASK | U_GC_M_MASK | U_GC_N_MASK)) != 0;
}

// What nobody sees stands within a word; a space without a width does in scripts that have others.
bool is_within_word(std::uint32_t c, std::uint32_t before) {
  constexpr std::uint32_t kZeroWidthSpace = 0x200B, kLatinEnd = 0x250;
  return c >= 0x80 && u_hasBinaryProperty(static_cast<UChar32>(c), UCHAR_DEFAULT_IGNORABLE_CODE_POINT) && (c != kZeroWidthSpace || before < kLatinEnd);
}

// However it is composed, wide or narrow.
std::string folded_word(std::string word, bool is_ascii) {
  if (is_ascii) return word;
  auto fold = folded(word);
  return fold ? std::move(*fold) : word;
}

std::vector<Word> words_in(std::string_view text) {
  std::vector<Word> words;
  bool open = false, is_ascii = true;
  std::uint32_t before = 0;
  const auto end_word = [&] {
    if (open) words.back().folded = folded_word(std::move(words.back().folded), is_ascii);
    open = false;
    is_ascii = true;
  };
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint here = code_point_at(text, at);
    if (is_word(here.value)) {
      if (!open) words.push_back({{}, at, at});
      open = true;
      is_ascii = is_ascii && here.value < 0x80;
      append_utf8(words.back().folded, static_cast<std::uint32_t>(here.value | (here.value >= 'A' && here.value <= 'Z' ? 0x20 : 0)));
      words.back().end = at + here.bytes;
      before = here.value;
    } else if (!open || !is_within_word(here.value, before)) {
      end_word();
    }
    at += here.bytes;
  }
  end_word();
  return words;
}

}  // namespace

WordLists::WordLists(const std::vector<WordList>& lists) : count_(lists.size()) {
  for (std::size_t i = 0; i < lists.size(); ++i) {
    for (const auto& phrase : lists[i].phrases) {
      Phrase made{lists[i].kind, {}, i};
      for (auto& word : words_in(phrase)) made.words.push_back(std::move(word.folded));
      if (!made.words.empty()) phrases_[made.words[0]].push_back(std::move(made));
    }
  }
  const auto longer = [](const Phrase& a, const Phrase& b) { return a.words.size() > b.words.size(); };
  for (auto& [word, phrases] : phrases_) std::stable_sort(phrases.begin(), phrases.end(), longer);
}

void WordLists::find(std::string_view text, std::vector<Match>& matches) const {
  if (phrases_.empty()) return;
  const auto words = words_in(text);
  std::vector<std::size_t> taken(count_);  // words that a list has in a phrase already
  for (std::size_t i = 0; i < words.size(); ++i) {
    const auto phrases = phrases_.find(words[i].folded);
    for (std::size_t p = 0; phrases != phrases_.end() && p < phrases->second.size(); ++p) {
      const Phrase& phrase = phrases->second[p];
      const bool fits = i >= taken[phrase.list] && i + phrase.words.size() <= words.size() &&
                        std::equal(phrase.words.begin(), phrase.words.end(), words.begin() + static_cast<std::ptrdiff_t>(i), [](const std::string& a, const Word& b) { return a == b.folded; });
      if (!fits) continue;
      taken[phrase.list] = i + phrase.words.size();
      matches.push_back({phrase.kind, words[i].begin, words[taken[phrase.list] - 1].end - words[i].begin});
    }
  }
}

}  // namespace redoubt::stages::data
