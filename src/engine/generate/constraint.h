// SPDX-License-Identifier: Apache-2.0
//
// Holds an answer to a schema: which tokens may come next, so that the text is always the beginning of one that the schema accepts,
// and an end token only where it is one.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/generate/sampler.h"
#include "engine/tokenizer/tokenizer.h"
#include "json_schema/machine.h"

namespace redoubt::engine::generate {

// Where in a text a token stands: a decoder may strip the first one of its space, or write none before it.
enum class Place { at_start, in_text };

// A vocabulary's tokens as a tree of the bytes that they write in that place, laid out so that one pass from left to right visits it.
// Tokens without text and control tokens are not in it. Shared by all constraints, immutable.
class TokenTree {
 public:
  TokenTree(const tokenizer::Tokenizer& tokenizer, Place place, std::vector<std::int32_t> end_tokens, std::int64_t vocabulary);

  struct Node {
    std::uint8_t byte;
    std::uint32_t depth;         // bytes before this one
    std::uint32_t after;         // the first node that does not begin with these bytes
    std::uint32_t token, tokens; // those that end here: where in `ids`, and how many
  };
  const std::vector<Node>& nodes() const { return nodes_; }
  std::int32_t id(std::uint32_t at) const { return ids_[at]; }
  // Tokens that write something elsewhere and nothing here.
  const std::vector<std::int32_t>& silent() const { return silent_; }
  const std::vector<std::int32_t>& end_tokens() const { return end_tokens_; }
  std::size_t depth_max() const { return depth_max_; }
  std::size_t words() const { return words_; }  // of 64 bits, for a bit a token

 private:
  std::vector<Node> nodes_;
  std::vector<std::int32_t> ids_, end_tokens_, silent_;
  std::size_t depth_max_ = 0, words_;
};

struct TokenTrees {
  std::shared_ptr<const TokenTree> first, rest;  // the same one where the start is like any other place
  std::vector<std::int32_t> last_bytes;          // tokens of the last byte of what tokens of single bytes must not write together
};
// unsupported where the tokenizer's decoder makes the text of several tokens at once.
Result<TokenTrees> make_token_trees(const tokenizer::Tokenizer& tokenizer, const std::vector<std::int32_t>& end_tokens, std::int64_t vocabulary);

// For one answer, from its first token on.
class Constraint {
 public:
  // `trees` are that tokenizer's.
  Constraint(TokenTrees trees, const tokenizer::Tokenizer& tokenizer, std::shared_ptr<const json_schema::Grammar> grammar);

  // The tokens that may come next, until the next call. limit_exceeded when the schema lets the text be read in too many ways;
  // unsupported when the vocabulary has no token for what has to come.
  Result<AllowedTokens> allowed();
  // Takes a token that was allowed and is no end token.
  void accept(std::int32_t token);
  // Nothing may follow but the end.
  bool finished() const { return machine_.finished(at_); }

 private:
  std::vector<std::uint64_t> walk(const TokenTree& tree);
  // The mask that is kept for this situation.
  Result<AllowedTokens> allowed_here();
  Result<AllowedTokens> without_last_bytes(AllowedTokens mask);

  TokenTrees trees_;
  const tokenizer::Tokenizer& tokenizer_;
  json_schema::Machine machine_;
  json_schema::Machine::Situation at_;
  std::unordered_map<json_schema::Machine::Situation, std::vector<std::uint64_t>> masks_;
  std::vector<std::uint64_t> own_mask_;  // of a place that is like no other
  bool at_start_ = true;
  std::string run_;  // what tokens of single bytes wrote last
};

}  // namespace redoubt::engine::generate
