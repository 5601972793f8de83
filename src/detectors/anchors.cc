// SPDX-License-Identifier: Apache-2.0
#include "detectors/anchors.h"

#include <algorithm>
#include <cctype>

namespace redoubt::detectors {
namespace {

constexpr std::size_t kShortText = 64;  // not worth more than one walk

}  // namespace

void Anchors::add(std::string_view word, std::size_t owner) { words_.emplace_back(word, owner); }

void Anchors::build() {
  for (const auto& [word, owner] : words_) {
    longest_ = std::max(longest_, word.size());
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
  lay_out();
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
}

void Anchors::lay_out() {
  std::vector<std::uint32_t> order;
  for (const bool ends : {false, true}) {
    if (ends) first_end_ = static_cast<std::uint32_t>(order.size() * letters_);
    for (std::uint32_t state = 0; state < owners_.size(); ++state) {
      if (owners_[state].any() == ends) order.push_back(state);  // the start, which ends no word, stays the first
    }
  }
  std::vector<std::uint32_t> place(order.size()), next(next_.size());
  for (std::size_t i = 0; i < order.size(); ++i) place[order[i]] = static_cast<std::uint32_t>(i * letters_);
  std::vector<AnchorOwners> owners;
  for (std::size_t i = 0; i < order.size(); ++i) {
    for (std::size_t letter = 0; letter < letters_; ++letter) next[i * letters_ + letter] = place[next_[order[i] * letters_ + letter]];
    if (i * letters_ >= first_end_) owners.push_back(owners_[order[i]]);
  }
  next_ = std::move(next);
  owners_ = std::move(owners);
}

AnchorOwners Anchors::find(std::string_view text) const {
  AnchorOwners found;
  if (words_.empty()) return found;
  const std::uint32_t* const next = next_.data();
  const std::uint8_t* const letter = letter_.data();
  const auto step = [next, letter](std::uint32_t state, char c) { return next[state + letter[static_cast<unsigned char>(c)]]; };
  const auto take = [&](std::uint32_t state) {
    if (state >= first_end_) found |= owners_[(state - first_end_) / letters_];
  };
  std::uint32_t state = 0;
  std::size_t at = 0;
  const std::size_t overlap = longest_ - 1;
  if (text.size() >= kShortText + 4 * overlap) {
    // Four walks at once, as each step of one waits for the step before; each begins early enough for a word that goes over the border.
    const std::size_t part = (text.size() - overlap) / 4;
    const char *const first = text.data(), *const second = first + part, *const third = second + part, *const fourth = third + part;
    std::uint32_t a = 0, b = 0, c = 0;
    for (; at < part + overlap; ++at) {
      a = step(a, first[at]);
      b = step(b, second[at]);
      c = step(c, third[at]);
      state = step(state, fourth[at]);
      if (std::max(std::max(a, b), std::max(c, state)) < first_end_) continue;
      for (const std::uint32_t walk : {a, b, c, state}) take(walk);
    }
    at += 3 * part;
  }
  for (; at < text.size(); ++at) {
    state = step(state, text[at]);
    take(state);
  }
  return found;
}

}  // namespace redoubt::detectors
