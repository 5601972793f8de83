// SPDX-License-Identifier: Apache-2.0
//
// Who is next among those who wait for a worker's slot: the payer who has the fewest running, and among such who was last served longest
// ago; among one payer's requests the first that came. What it costs depends on how many payers wait, not on how many requests do.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace redoubt::gateway {

class FairQueue {
 public:
  bool empty() const { return size_ == 0; }
  std::size_t size() const { return size_; }
  bool holds_one_of(const std::string& payer) const;
  std::vector<std::uint64_t> waiting() const;

  void add(std::uint64_t id, const std::string& payer);
  // Before all others of its payer: it had a slot, and lost it.
  void add_again(std::uint64_t id, const std::string& payer);
  void remove(std::uint64_t id, const std::string& payer);
  // The next, which counts as running until `end`. Not of an empty queue.
  std::uint64_t take();
  void end(const std::string& payer);
  // The newest of whoever has the most waiting gives way, if `payer` has two fewer.
  std::optional<std::uint64_t> make_room(const std::string& payer);

 private:
  struct Payer {
    std::deque<std::uint64_t> waiting;
    int running = 0;
    std::uint64_t served = 0;  // the turn that was last its own
    bool is_idle() const { return waiting.empty() && running == 0; }
  };
  Payer& payer_of(const std::string& name);
  void forget_idle();
  void left(Payer& payer);

  std::map<std::string, Payer> payers_;  // their places in memory stay
  std::vector<Payer*> in_line_;          // those with something waiting
  std::size_t size_ = 0;
  std::uint64_t turns_ = 0;
};

}  // namespace redoubt::gateway
