// SPDX-License-Identifier: Apache-2.0
//
// The processes of one training job, its ranks, and what they do together. Each rank has a link to each other one, so that
// the end of any of them is seen by all. Frames: docs/formats/rank-protocol.md.
//
// Every rank calls the same functions in the same order; a rank elsewhere in the program, one that ended, and one that
// lets the others wait longer than the limit are errors (unavailable) that name it. After an error the group is of no use.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/distributed/exchange.h"

namespace redoubt::engine::distributed {

struct Peer {
  std::string name;  // for people: "rank 2 (algo-3)"
  std::unique_ptr<Link> link;
  bool takes_frames = true;  // false once a frame to it was cut off
};

class Group {
 public:
  // One process alone, rank 0 of 1: all functions do nothing and succeed.
  Group() = default;
  // `peers` by rank; the own place has a name and no link. A peer that makes no progress for `answer_max` is given up.
  Group(std::size_t rank, std::vector<Peer> peers, std::chrono::milliseconds answer_max);

  std::size_t rank() const { return rank_; }
  std::size_t ranks() const { return std::max<std::size_t>(1, peers_.size()); }
  // The leader writes what the job leaves: events, checkpoints, the adapter.
  bool leads() const { return rank_ == 0; }
  const std::string& name_of(std::size_t rank) const { return peers_[rank].name; }

  // Everybody's text, by rank.
  Result<std::vector<std::string>> gather(std::string_view mine);
  // The sum over all ranks in everybody's `values`, bit for bit the same. The ranks' values are added in the order of
  // sum_halves below.
  Status sum(std::span<float> values);
  // The leader's bytes in everybody's.
  Status take_from_leader(MutableByteView bytes);
  // Answers when everybody has called it.
  Status wait_for_all();

  // Tells the others why this rank gives up, as far as they take it at once, so that they end with the cause and not with a
  // broken connection.
  void leave(const Error& error);

 private:
  struct Lane {
    ByteView out;
    MutableByteView in;
  };
  Status exchange(const std::vector<Lane>& lanes);  // by rank; the own lane is not looked at
  Status run(std::vector<Transfer>& transfers, const std::vector<std::size_t>& to);
  Status wait(const std::vector<Transfer>& transfers, const std::vector<std::size_t>& to) const;

  std::size_t rank_ = 0;
  std::vector<Peer> peers_;
  std::chrono::milliseconds answer_max_{};
  std::uint64_t sequence_ = 0;
  std::string reason_;  // what ended the group, once told
};

// Sums [begin, end) in a fixed order: the first half's sum plus the second half's, each summed the same way. `sum(a, b)` adds
// b's to a's. So a power of two of ranks that have summed their own parts this way get what one process gets for all.
template <class Add>
void sum_halves(std::size_t begin, std::size_t end, const Add& add) {
  if (end - begin < 2) return;
  const std::size_t middle = begin + (end - begin) / 2;
  sum_halves(begin, middle, add);
  sum_halves(middle, end, add);
  add(begin, middle);
}

}  // namespace redoubt::engine::distributed
