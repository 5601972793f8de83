// SPDX-License-Identifier: Apache-2.0
//
// Tokens and their numbers, both ways.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/json.h"

namespace redoubt::engine::tokenizer {

inline constexpr std::size_t kVocabularyMax = 2'000'000;

// Looks strings up without making one.
struct TextHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};
using IdsByText = std::unordered_map<std::string, std::int32_t, TextHash, std::equal_to<>>;

class Vocabulary {
 public:
  // {"token": id, ...}: ids below kVocabularyMax, each once.
  static Result<Vocabulary> parse(const Json& model, const std::string& where);

  std::optional<std::int32_t> find(std::string_view token) const {
    const auto found = ids_.find(token);
    return found == ids_.end() ? std::nullopt : std::optional(found->second);
  }
  // By id; one that is skipped is empty.
  const std::vector<std::string>& tokens() const { return tokens_; }
  std::size_t count() const { return ids_.size(); }

 private:
  std::vector<std::string> tokens_;
  IdsByText ids_;
};

}  // namespace redoubt::engine::tokenizer
