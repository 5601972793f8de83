// SPDX-License-Identifier: Apache-2.0
//
// Examples laid end to end for one pass, no padding. What several of them begin with (a system prompt, a template's head) can
// be laid down once: each of those examples then goes on from that segment, as a branch from its stem.
#pragma once

#include <span>
#include <vector>

#include "engine/torch.h"

namespace redoubt::engine::model {

// Neighbouring rows that follow each other in an example.
struct Segment {
  std::int64_t begin = 0, length = 0;
  std::int64_t past = 0;  // tokens of the stem that it goes on from: its first row's position
  std::int64_t stem = 0;  // where there are such tokens, the row that they begin at: a segment of their own
};

// Examples that begin with the same `shared` tokens; none shared for an example alone.
struct Stem {
  std::vector<std::size_t> examples;
  std::int64_t shared = 0;
};

using Tokens = std::span<const std::int32_t>;

// Groups examples so that sharing saves the most rows. `shared_max` says of each example how many of its first tokens may be
// shared, fewer than it has.
std::vector<Stem> find_stems(std::span<const Tokens> examples, std::span<const std::int64_t> shared_max);
// So many examples, each alone.
std::vector<Stem> no_stems(std::size_t examples);

// Rows come in multiples of it, the last of them no example's (token 0, no segment): libraries prepare a product anew for each number
// of rows, and batches have many.
inline constexpr std::int64_t kRowsMultiple = 16;

struct PackedBatch {
  at::Tensor tokens;              // int64 [rows]
  at::Tensor positions;           // int64 [rows], within the example
  std::vector<Segment> segments;  // by example, in the order given: its own rows; then the stems

  // The row of an example's token; not for those that it shares.
  std::int64_t row(std::size_t example, std::int64_t position) const {
    return segments[example].begin + position - segments[example].past;
  }
};
PackedBatch pack(std::span<const Tokens> examples);
// The rows that pack() lays down for them.
std::int64_t packed_rows(std::span<const Tokens> examples, std::span<const Stem> stems);
// `stems` holds each example once.
PackedBatch pack(std::span<const Tokens> examples, std::span<const Stem> stems);

}  // namespace redoubt::engine::model
