// SPDX-License-Identifier: Apache-2.0
//
// What was computed of earlier sequences, for later ones that begin with the same tokens. Entries belong to a scope and an adapter:
// nothing of one scope is found from another, and without a scope nothing is kept. Tokens are compared, not their hashes. Bounded in
// bytes; what was not used for longest goes first.
#pragma once

#include <algorithm>
#include <cstdint>
#include <list>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace redoubt::engine::generate {

// Who may use an entry, and what it was computed with.
struct PrefixOwner {
  std::string scope = {};  // empty: nobody
  std::size_t adapter = 0;
  bool operator==(const PrefixOwner&) const = default;
};

struct PrefixCounts {
  std::uint64_t asked_tokens = 0, reused_tokens = 0, evictions = 0;
};

template <class Value>
class PrefixCache {
 public:
  // bytes_max 0: nothing is kept.
  explicit PrefixCache(std::size_t bytes_max) : bytes_max_(bytes_max) {}

  struct Found {
    const Value* value = nullptr;
    std::size_t tokens = 0;  // that it has in common with what was asked for
  };
  // The entry with the longest beginning in common, of at least `least` tokens; valid until the next call.
  Found find(const PrefixOwner& owner, std::span<const std::int32_t> tokens, std::size_t least) {
    if (owner.scope.empty()) return {};
    counts_.asked_tokens += tokens.size();
    auto best = entries_.end();
    std::size_t most = 0;
    for (auto at = entries_.begin(); at != entries_.end(); ++at) {
      if (at->owner != owner) continue;
      const auto shared = shared_tokens(at->tokens, tokens);
      if (shared >= std::max(least, most + 1)) best = at, most = shared;
    }
    if (best == entries_.end()) return {};
    counts_.reused_tokens += most;
    entries_.splice(entries_.begin(), entries_, best);
    return {best->value.get(), most};
  }

  // Whether keeping these tokens would add anything.
  bool wants(const PrefixOwner& owner, std::span<const std::int32_t> tokens, std::size_t bytes) const {
    return !owner.scope.empty() && bytes <= bytes_max_ && std::ranges::none_of(entries_, [&](const Entry& entry) {
      return entry.owner == owner && shared_tokens(entry.tokens, tokens) == tokens.size();
    });
  }

  // Keeps a value; entries that are only its beginning go.
  void put(PrefixOwner owner, std::vector<std::int32_t> tokens, std::unique_ptr<Value> value, std::size_t bytes) {
    if (!wants(owner, tokens, bytes)) return;
    for (auto at = entries_.begin(); at != entries_.end();)
      at = at->owner == owner && shared_tokens(at->tokens, tokens) == at->tokens.size() ? drop(at) : std::next(at);
    while (bytes_ + bytes > bytes_max_) {
      drop(std::prev(entries_.end()));
      ++counts_.evictions;
    }
    bytes_ += bytes;
    entries_.push_front({std::move(owner), std::move(tokens), std::move(value), bytes});
  }

  std::size_t bytes() const { return bytes_; }
  std::size_t size() const { return entries_.size(); }
  const PrefixCounts& counts() const { return counts_; }

 private:
  struct Entry {
    PrefixOwner owner;
    std::vector<std::int32_t> tokens;
    std::unique_ptr<Value> value;
    std::size_t bytes;
  };
  using Entries = std::list<Entry>;

  static std::size_t shared_tokens(std::span<const std::int32_t> a, std::span<const std::int32_t> b) {
    return static_cast<std::size_t>(std::ranges::mismatch(a, b).in1 - a.begin());
  }
  typename Entries::iterator drop(typename Entries::iterator at) {
    bytes_ -= at->bytes;
    return entries_.erase(at);
  }

  const std::size_t bytes_max_;
  Entries entries_ = {};  // the latest used first
  std::size_t bytes_ = 0;
  PrefixCounts counts_ = {};
};

}  // namespace redoubt::engine::generate
