// SPDX-License-Identifier: Apache-2.0
//
// Holds an answer to a schema: which tokens may come next, so that the text is always the beginning of one that the schema accepts,
// and an end token only where it is one.
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "engine/generate/sampler.h"
#include "engine/tokenizer/tokenizer.h"
#include "json_schema/machine.h"

namespace redoubt::engine::generate {

// A vocabulary's tokens as a tree of their bytes, laid out so that one pass from left to right visits it. Tokens without text and
// control tokens are not in it. Shared by all constraints, immutable.
class TokenTree {
 public:
  TokenTree(const tokenizer::Tokenizer& tokenizer, std::vector<std::int32_t> end_tokens, std::int64_t vocabulary);

  struct Node {
    std::uint8_t byte;
    std::uint32_t depth;         // bytes before this one
    std::uint32_t after;         // the first node that does not begin with these bytes
    std::uint32_t token, tokens; // those that end here: where in `ids`, and how many
  };
  const std::vector<Node>& nodes() const { return nodes_; }
  std::int32_t id(std::uint32_t at) const { return ids_[at]; }
  const std::vector<std::int32_t>& end_tokens() const { return end_tokens_; }
  std::size_t depth_max() const { return depth_max_; }
  std::size_t words() const { return words_; }  // of 64 bits, for a bit a token

 private:
  std::vector<Node> nodes_;
  std::vector<std::int32_t> ids_, end_tokens_;
  std::size_t depth_max_ = 0, words_;
};

class Constraint {
 public:
  Constraint(std::shared_ptr<const TokenTree> tree, const tokenizer::Tokenizer& tokenizer, std::shared_ptr<const json_schema::Grammar> grammar);

  // The tokens that may come next, until the next call. limit_exceeded when the schema lets the text be read in too many ways;
  // unsupported when the vocabulary has no token for what has to come.
  Result<AllowedTokens> allowed();
  // Takes a token that was allowed and is no end token.
  void accept(std::int32_t token);
  // Nothing may follow but the end.
  bool finished() const { return machine_.finished(at_); }

 private:
  std::vector<std::uint64_t> walk();

  std::shared_ptr<const TokenTree> tree_;
  const tokenizer::Tokenizer& tokenizer_;
  json_schema::Machine machine_;
  json_schema::Machine::Situation at_;
  std::unordered_map<json_schema::Machine::Situation, std::vector<std::uint64_t>> masks_;
};

}  // namespace redoubt::engine::generate
