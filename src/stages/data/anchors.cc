// SPDX-License-Identifier: Apache-2.0
#include "stages/data/anchors.h"

#include <cctype>

namespace redoubt::stages::data {
namespace {

constexpr std::uint32_t kEnds = 1u << 31;

}  // namespace

void Anchors::add(std::string_view word, std::size_t owner) { words_.emplace_back(word, owner); }

void Anchors::build() {
  for (const auto& [word, owner] : words_) {
    for (const char c : word) {
      auto& letter = letter_[static_cast<unsigned char>(c)];
      if (letter == 0) letter = static_cast<std::uint8_t>(letters_++);
    }
  }
  for (int c = 'A'; c <= 'Z'; ++c) letter_[static_cast<std::size_t>(c)] = letter_[static_cast<std::size_t>(std::tolower(c))];
  next_.assign(letters_, 0);
  owners_.assign(1, {});
  for (const auto& [word, owner] : words_) {
    std::uint32_t state = 0;
    for (const char c : word) {
      const std::size_t at = state * letters_ + letter_[static_cast<unsigned char>(c)];
      if (next_[at] == 0) {
        next_[at] = static_cast<std::uint32_t>(owners_.size());
        owners_.emplace_back();
        next_.resize(owners_.size() * letters_, 0);
      }
      state = next_[at];
    }
    owners_[state].set(owner);
  }
  follow_failures();
}

// Breadth first, so that the state that a state falls back to is done before it.
void Anchors::follow_failures() {
  std::vector<std::uint32_t> queue, failure(owners_.size(), 0);
  for (std::size_t letter = 1; letter < letters_; ++letter) {
    if (next_[letter] != 0) queue.push_back(next_[letter]);
  }
  for (std::size_t at = 0; at < queue.size(); ++at) {
    const std::uint32_t state = queue[at];
    owners_[state] |= owners_[failure[state]];
    for (std::size_t letter = 0; letter < letters_; ++letter) {
      auto& to = next_[state * letters_ + letter];
      const std::uint32_t fallback = next_[failure[state] * letters_ + letter];
      if (to == 0) {
        to = fallback;
      } else {
        failure[to] = fallback;
        queue.push_back(to);
      }
    }
  }
  for (auto& to : next_) to = owners_[to].any() ? to | kEnds : to;
}

AnchorOwners Anchors::find(std::string_view text) const {
  AnchorOwners found;
  std::uint32_t state = 0, last = 0;
  for (const char c : text) {
    const std::uint32_t to = next_[state * letters_ + letter_[static_cast<unsigned char>(c)]];
    state = to & ~kEnds;
    if (to < kEnds || state == last) continue;
    found |= owners_[state];
    last = state;
  }
  return found;
}

}  // namespace redoubt::stages::data
