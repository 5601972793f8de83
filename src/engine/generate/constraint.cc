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

TokenTree::TokenTree(const tokenizer::Tokenizer& tokenizer, std::vector<std::int32_t> end_tokens, std::int64_t vocabulary)
    : end_tokens_(std::move(end_tokens)), words_(static_cast<std::size_t>(vocabulary + 63) / 64) {
  std::vector<std::pair<std::string_view, std::int32_t>> words;
  for (std::int32_t id = 0; id < tokenizer.vocabulary_size(); ++id) {
    const auto bytes = tokenizer.token_bytes(id);
    if (!bytes.empty() && !tokenizer.is_special(id) && std::ranges::find(end_tokens_, id) == end_tokens_.end()) words.emplace_back(bytes, id);
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

Constraint::Constraint(std::shared_ptr<const TokenTree> tree, const tokenizer::Tokenizer& tokenizer, std::shared_ptr<const json_schema::Grammar> grammar)
    : tree_(std::move(tree)), tokenizer_(tokenizer), machine_(std::move(grammar)), at_(machine_.start()) {}

// One pass over the tree; what can't begin a token's byte is skipped with all that begins with it.
std::vector<std::uint64_t> Constraint::walk() {
  std::vector<std::uint64_t> mask(tree_->words());
  std::vector<Machine::Situation> path(tree_->depth_max() + 1, at_);
  const auto& nodes = tree_->nodes();
  for (std::uint32_t i = 0; i < nodes.size();) {
    const auto& node = nodes[i];
    const auto next = machine_.next(path[node.depth], node.byte);
    if (next == Machine::kDead) {
      i = node.after;
      continue;
    }
    path[node.depth + 1] = next;
    for (std::uint32_t j = 0; j < node.tokens; ++j) set_bit(mask, tree_->id(node.token + j));
    ++i;
  }
  if (machine_.accepts(at_))
    for (const auto id : tree_->end_tokens()) set_bit(mask, id);
  return mask;
}

Result<AllowedTokens> Constraint::allowed() {
  if (const auto found = masks_.find(at_); found != masks_.end()) return AllowedTokens(found->second);
  if (machine_.size() > kSituationsMax || masks_.size() >= kMasksMax) {
    at_ = machine_.forget_all_but(at_);
    masks_.clear();
  }
  machine_.renew();
  auto mask = walk();
  if (machine_.exhausted()) return fail(ErrorCode::limit_exceeded, "the schema lets the text be read in too many ways", "response_format");
  if (std::ranges::all_of(mask, [](std::uint64_t word) { return word == 0; }))
    return fail(ErrorCode::unsupported, "the model's vocabulary has no token for what the schema asks for", "response_format");
  return AllowedTokens(masks_[at_] = std::move(mask));
}

void Constraint::accept(std::int32_t token) {
  for (const char byte : tokenizer_.token_bytes(token)) at_ = machine_.next(at_, static_cast<std::uint8_t>(byte));
}

}  // namespace redoubt::engine::generate
