// SPDX-License-Identifier: Apache-2.0
//
// Byte-pair merging over raw bytes: of all neighbouring pairs the one with the lowest rank is merged first, the leftmost of
// equals. A heap keeps long words at n log n.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/json.h"

namespace redoubt::engine::tokenizer {

class Bpe {
 public:
  // Reads tokenizer.json's "model". Anything but a plain byte-level BPE is unsupported by its name.
  static Result<Bpe> parse(const Json& model, const std::string& where);

  // Appends the ids of one word. Bytes that the vocabulary lacks are left out, as the tokenizers package does.
  void encode(std::string_view word, std::vector<std::int32_t>& ids) const;

  // The vocabulary as written in the file, by id; an id that it skips is empty.
  const std::vector<std::string>& tokens() const { return tokens_; }

 private:
  struct Merge {
    std::int32_t rank, id;
  };
  Status read_vocabulary(const Json& model, const std::string& where);
  Status read_merges(const Json& model, const std::string& where);
  const Merge* find_merge(std::int32_t left, std::int32_t right) const;
  void merge_word(std::string_view word, std::vector<std::int32_t>& ids) const;

  std::vector<std::string> tokens_;
  std::unordered_map<std::string, std::int32_t> words_;  // whole words, only when ignore_merges
  std::array<std::int32_t, 256> byte_ids_{};
  std::unordered_map<std::uint64_t, Merge> merges_;
};

}  // namespace redoubt::engine::tokenizer
