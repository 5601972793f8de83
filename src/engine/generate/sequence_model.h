// SPDX-License-Identifier: Apache-2.0
//
// A model that continues several sequences at once, as the scheduler sees it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/generate/prefix_cache.h"

namespace redoubt::engine::generate {

// The newest token of a slot's sequence.
struct NextToken {
  std::size_t slot = 0;
  std::int32_t token = 0;
};

// A slot's sequence goes on with these.
struct PromptPiece {
  std::size_t slot = 0;
  std::span<const std::int32_t> tokens = {};
};

class SequenceModel {
 public:
  virtual ~SequenceModel() = default;
  virtual std::int64_t context_length() const = 0;
  virtual std::size_t slots() const = 0;
  virtual std::int64_t vocabulary() const = 0;  // logits of a row
  virtual std::size_t adapters() const = 0;     // a sequence's adapter is 0, none, to this
  // Makes room for a sequence of up to `capacity` tokens; what the slot held is gone. Answers how many of the prompt's tokens are
  // there already, from an earlier sequence of the same owner; never all.
  virtual Result<std::size_t> open(std::size_t slot, std::int64_t capacity, std::span<const std::int32_t> prompt, const PrefixOwner& owner) = 0;
  // Ends a sequence; the owner's later ones may begin with what it was.
  virtual void close(std::size_t slot) = 0;
  // Appends tokens to each of several sequences; the logits after each piece lie row after row and stay good until the next call.
  virtual Result<std::span<const float>> extend(std::span<const PromptPiece> pieces) = 0;
  // Appends one token to each of several sequences, whatever their adapters; the logits lie row after row, as long.
  virtual Result<std::span<const float>> step(std::span<const NextToken> tokens) = 0;
};

}  // namespace redoubt::engine::generate
