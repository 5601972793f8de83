// SPDX-License-Identifier: Apache-2.0
#include "engine/generate/constraint.h"

#include <algorithm>

namespace redoubt::engine::generate {
namespace {

using json_schema::Machine;

// What one request may keep: about a kilobyte a situation, and a bit a token for each mask.
constexpr std::size_t kSituationsMax = 8192, kMasksMax = 256;

void set_bit(std::vector<std::uint64_t>& bits, std::int32_t id) { bits[static_cast<std::size_t>(id) / 64] |= std::uint64_t{1} << (id % 64); }

}  // namespace

TokenTree::TokenTree(const tokenizer::Tokenizer& tokenizer, Place place, std::vector<std::int32_t> end_tokens, std::int64_t vocabulary)
    : end_tokens_(std::move(end_tokens)), words_(static_cast<std::size_t>(vocabulary + 63) / 64) {
  std::vector<std::pair<std::string, std::int32_t>> words;
  for (std::int32_t id = 0; id < tokenizer.vocabulary_size(); ++id) {
    const auto in_text = tokenizer.token_bytes(id);
    if (in_text.empty() || tokenizer.is_special(id) || std::ranges::find(end_tokens_, id) != end_tokens_.end()) continue;
    auto bytes = place == Place::at_start ? tokenizer.bytes_at_start(id) : std::string(in_text);
    if (!bytes) continue;
    if (bytes->empty()) {
      silent_.push_back(id);
    } else {
      words.emplace_back(std::move(*bytes), id);
    }
  }
  std::ranges::sort(words);
  std::erase_if(end_tokens_, [&](std::int32_t id) { return id < 0 || id >= vocabulary; });
  std::vector<std::uint32_t> path;  // the nodes of the word before
  const auto leave = [&](std::size_t depth) {
    for (; path.size() > depth; path.pop_back()) nodes_[path.back()].after = static_cast<std::uint32_t>(nodes_.size());
  };
  std::string_view before;
  for (const auto& [word, id] : words) {
    const auto shared = static_cast<std::size_t>(std::ranges::mismatch(word, before).in1 - word.begin());
    if (word != before) leave(shared);
    for (auto depth = path.size(); depth < word.size(); ++depth) {
      path.push_back(static_cast<std::uint32_t>(nodes_.size()));
      nodes_.push_back({static_cast<std::uint8_t>(word[depth]), static_cast<std::uint32_t>(depth), 0, 0, 0});
    }
    auto& node = nodes_[path.back()];
    if (node.tokens++ == 0) node.token = static_cast<std::uint32_t>(ids_.size());
    ids_.push_back(id);
    depth_max_ = std::max(depth_max_, word.size());
    before = word;
  }
  leave(0);
}

Result<TokenTrees> make_token_trees(const tokenizer::Tokenizer& tokenizer, const std::vector<std::int32_t>& end_tokens, std::int64_t vocabulary) {
  if (!tokenizer.writes_by_token())
    return fail(ErrorCode::unsupported, "the model's tokenizer makes its text of several tokens at once, so an answer cannot be held to a schema", "response_format");
  TokenTrees trees;
  trees.first = trees.rest = std::make_shared<TokenTree>(tokenizer, Place::in_text, end_tokens, vocabulary);
  if (tokenizer.start_differs()) trees.first = std::make_shared<TokenTree>(tokenizer, Place::at_start, end_tokens, vocabulary);
  const auto& refused = tokenizer.not_from_bytes();
  for (std::int32_t id = 0; !refused.empty() && id < std::min<std::int64_t>(vocabulary, tokenizer.vocabulary_size()); ++id)
    if (tokenizer.is_byte(id) && tokenizer.token_bytes(id).front() == refused.back()) trees.last_bytes.push_back(id);
  return trees;
}

Constraint::Constraint(TokenTrees trees, const tokenizer::Tokenizer& tokenizer, std::shared_ptr<const json_schema::Grammar> grammar)
    : trees_(std::move(trees)), tokenizer_(tokenizer), machine_(std::move(grammar)), at_(machine_.start()) {}

// One pass over the tree; what can't begin a token's byte is skipped with all that begins with it.
std::vector<std::uint64_t> Constraint::walk(const TokenTree& tree) {
  std::vector<std::uint64_t> mask(tree.words());
  std::vector<Machine::Situation> path(tree.depth_max() + 1, at_);
  const auto& nodes = tree.nodes();
  for (std::uint32_t i = 0; i < nodes.size();) {
    const auto& node = nodes[i];
    const auto next = machine_.next(path[node.depth], node.byte);
    if (next == Machine::kDead) {
      i = node.after;
      continue;
    }
    path[node.depth + 1] = next;
    for (std::uint32_t j = 0; j < node.tokens; ++j) set_bit(mask, tree.id(node.token + j));
    ++i;
  }
  if (machine_.accepts(at_))
    for (const auto id : tree.end_tokens()) set_bit(mask, id);
  for (const auto id : tree.silent()) set_bit(mask, id);
  return mask;
}

Result<AllowedTokens> Constraint::allowed_here() {
  const bool is_own = at_start_ && trees_.first != trees_.rest;
  if (const auto found = masks_.find(at_); !is_own && found != masks_.end()) return AllowedTokens(found->second);
  if (machine_.size() > kSituationsMax || masks_.size() >= kMasksMax) {
    at_ = machine_.forget_all_but(at_);
    masks_.clear();
  }
  machine_.renew();
  auto mask = walk(is_own ? *trees_.first : *trees_.rest);
  if (machine_.exhausted()) return fail(ErrorCode::limit_exceeded, "the schema lets the text be read in too many ways", "response_format");
  return AllowedTokens((is_own ? own_mask_ : masks_[at_]) = std::move(mask));
}

Result<AllowedTokens> Constraint::without_last_bytes(AllowedTokens mask) {
  const auto& refused = tokenizer_.not_from_bytes();
  if (refused.empty() || !run_.ends_with(std::string_view(refused).substr(0, refused.size() - 1))) return mask;
  std::vector<std::uint64_t> less(mask.begin(), mask.end());
  for (const auto id : trees_.last_bytes) less[static_cast<std::size_t>(id) / 64] &= ~(std::uint64_t{1} << (id % 64));
  return AllowedTokens(own_mask_ = std::move(less));
}

Result<AllowedTokens> Constraint::allowed() {
  const auto mask = TRY(without_last_bytes(TRY(allowed_here())));
  if (std::ranges::any_of(mask, [](std::uint64_t word) { return word != 0; })) return mask;
  return fail(ErrorCode::unsupported, "the model's vocabulary has no token for what the schema asks for", "response_format");
}

void Constraint::accept(std::int32_t token) {
  const auto bytes = at_start_ ? tokenizer_.bytes_at_start(token).value_or("") : std::string(tokenizer_.token_bytes(token));
  at_start_ = false;
  run_ = tokenizer_.is_byte(token) ? run_ + bytes : std::string();
  for (const char byte : bytes) at_ = machine_.next(at_, static_cast<std::uint8_t>(byte));
}

}  // namespace redoubt::engine::generate
