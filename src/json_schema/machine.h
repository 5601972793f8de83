// SPDX-License-Identifier: Apache-2.0
//
// Runs a grammar over bytes. Every situation it can be in (all ways to read what came so far, each with its open calls) gets a number,
// and what a byte makes of it is kept, so that walking over many words from one situation costs a look-up a byte.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "json_schema/grammar.h"

namespace redoubt::json_schema {

struct MachineLimits {
  std::size_t ways_max = 2048;          // of reading one text
  std::size_t situations_max = 65'536;  // about a kilobyte each
  std::uint64_t work_max = 20'000'000;  // steps until the next `renew`
};

// For one thread and one text at a time.
class Machine {
 public:
  using Situation = std::uint32_t;
  static constexpr Situation kDead = 0;

  explicit Machine(std::shared_ptr<const Grammar> grammar, MachineLimits limits = {});

  Situation start() const { return start_; }
  // kDead when the byte can't come. Also when a limit is exceeded, which `exhausted` tells from then on.
  Situation next(Situation from, std::uint8_t byte) {
    const auto known = tables_[from][byte];
    return known != kUnknown ? known : step(from, byte);
  }
  bool accepts(Situation at) const { return nodes_[at].accepts; }
  // Nothing can follow.
  bool finished(Situation at) const { return nodes_[at].accepts && nodes_[at].ways.empty(); }
  bool exhausted() const { return exhausted_; }

  std::size_t size() const { return nodes_.size(); }
  // Forgets all but one situation and its start, and answers the one's new number.
  Situation forget_all_but(Situation kept);
  void renew() { work_ = 0; }

 private:
  static constexpr Situation kUnknown = 0xFFFFFFFF;
  using FrameId = std::uint32_t;
  // An open call: where its caller goes on, and how often its loop went round.
  struct Frame {
    FrameId caller;
    StateId back;
    std::uint32_t count, depth;
    bool operator==(const Frame&) const = default;
  };
  struct Way {
    StateId state;
    FrameId frame;
    auto operator<=>(const Way&) const = default;
  };
  struct Node {
    std::vector<Way> ways;  // sorted; each at a state with byte edges
    bool accepts = false;
  };
  struct FrameHash {
    std::size_t operator()(const Frame& frame) const;
  };
  struct NodeHash {
    std::size_t operator()(const std::vector<Way>& ways) const;
  };

  void clear();
  Situation step(Situation from, std::uint8_t byte);
  Situation settle(std::vector<Way> ways);
  Situation intern(Node node);
  FrameId frame_of(const Frame& frame);
  bool fits(StateId state, const Frame& frame) const;
  void follow(const Way& way, std::vector<Way>& to);

  std::shared_ptr<const Grammar> grammar_;
  MachineLimits limits_;
  std::vector<Frame> frames_;
  std::unordered_map<Frame, FrameId, FrameHash> frame_ids_;
  std::vector<Node> nodes_;
  std::vector<std::array<Situation, 256>> tables_;
  std::unordered_map<std::vector<Way>, std::array<Situation, 2>, NodeHash> situations_;  // by whether they accept
  Situation start_ = kDead;
  std::uint64_t work_ = 0;
  bool exhausted_ = false;
};

}  // namespace redoubt::json_schema
