// SPDX-License-Identifier: Apache-2.0
#include "engine/tokenizer/byte_tree.h"

#include <algorithm>

namespace redoubt::engine::tokenizer {
namespace {

constexpr auto kByte = &std::pair<std::uint8_t, std::uint32_t>::first;

}  // namespace

std::uint32_t ByteTree::child(std::uint32_t node, std::uint8_t byte) const {
  const auto& next = nodes_[node].next;
  const auto found = std::ranges::lower_bound(next, byte, {}, kByte);
  return found == next.end() || found->first != byte ? 0 : found->second;
}

void ByteTree::insert(std::string_view word, std::int32_t number) {
  std::uint32_t node = 0;
  for (const char c : word) {
    const auto byte = static_cast<std::uint8_t>(c);
    auto next = child(node, byte);
    if (next == 0) {
      next = static_cast<std::uint32_t>(nodes_.size());
      nodes_.emplace_back();
      auto& all = nodes_[node].next;
      all.insert(std::ranges::lower_bound(all, byte, {}, kByte), {byte, next});
    }
    node = next;
  }
  nodes_[node].number = number;
}

}  // namespace redoubt::engine::tokenizer
