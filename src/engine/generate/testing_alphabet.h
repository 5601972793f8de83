// SPDX-License-Identifier: Apache-2.0
//
// For tests only: a model whose answers can be told in advance.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "engine/generate/sequence_model.h"
#include "engine/tokenizer/tokenizer.h"

namespace redoubt::engine::generate::testing_model {

inline constexpr std::int32_t kEnd = 26;

// A vocabulary of the letters a to z, a byte that is half a character (27) and its other half (28), and an end token (26).
inline std::unique_ptr<tokenizer::Tokenizer> letters() {
  Json vocabulary = Json::object();
  for (int i = 0; i < 26; ++i) vocabulary[std::string(1, static_cast<char>('a' + i))] = i;
  vocabulary["<end>"] = kEnd;
  vocabulary["Ã"] = 27;
  vocabulary["©"] = 28;
  const Json description = {{"added_tokens", Json::array({{{"id", kEnd}, {"content", "<end>"}, {"single_word", false}, {"lstrip", false},
                                                           {"rstrip", false}, {"normalized", false}, {"special", true}}})},
                            {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}},
                            {"decoder", {{"type", "ByteLevel"}}},
                            {"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", Json::array()}}}};
  return tokenizer::Tokenizer::parse(description.dump(), "letters").value();
}

// Answers with the token after the last one (c after b); after z comes the end. It keeps its slots' sequences, so a test sees
// which were computed together.
class Alphabet final : public SequenceModel {
 public:
  std::int64_t context_length() const override { return 64; }
  std::size_t slots() const override { return 2; }
  std::int64_t vocabulary() const override { return 29; }
  std::size_t adapters() const override { return 1; }
  Result<std::size_t> open(std::size_t slot, std::int64_t, std::span<const std::int32_t> prompt, const PrefixOwner& owner) override {
    sequences[slot].clear();
    owners[slot] = owner;
    const auto reused = std::min(reusable, prompt.size() - 1);
    sequences[slot].assign(prompt.begin(), prompt.begin() + static_cast<std::ptrdiff_t>(reused));
    return reused;
  }
  void close(std::size_t slot) override { sequences.erase(slot); }
  Result<std::span<const float>> extend(std::span<const PromptPiece> pieces) override {
    if (failing) return fail(ErrorCode::internal, "broken");
    logits_.assign(29 * pieces.size(), 0);
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      const auto& [slot, tokens] = pieces[i];
      longest_piece = std::max(longest_piece, tokens.size());
      sequences[slot].insert(sequences[slot].end(), tokens.begin(), tokens.end());
      point_after(tokens.back(), i);
    }
    return std::span<const float>(logits_);
  }
  Result<std::span<const float>> step(std::span<const NextToken> tokens) override {
    widest = std::max(widest, tokens.size());
    logits_.assign(29 * tokens.size(), 0);
    for (std::size_t i = 0; i < tokens.size(); ++i) point_after(tokens[i].token, i);
    return std::span<const float>(logits_);
  }
  std::map<std::size_t, std::vector<std::int32_t>> sequences;
  std::map<std::size_t, PrefixOwner> owners;
  std::size_t reusable = 0;  // tokens of a prompt that are said to be there already
  std::size_t widest = 0, longest_piece = 0;
  bool failing = false;

 private:
  void point_after(std::int32_t token, std::size_t row) { logits_[row * 29 + static_cast<std::size_t>(token + 1) % 29] = 9; }
  std::vector<float> logits_;
};

}  // namespace redoubt::engine::generate::testing_model
