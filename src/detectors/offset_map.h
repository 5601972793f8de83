// SPDX-License-Identifier: Apache-2.0
//
// The way back from a byte of a decoded text to where it stands in what it was decoded from. Texts decode in long plain runs, so a
// map holds one step where a run begins.
#pragma once

#include <cstddef>
#include <vector>

namespace redoubt::detectors {

class OffsetMap {
 public:
  // From `decoded` on, each byte stands one after the other from `raw` on. Calls come in the order of `decoded`; a run at the
  // text's end says what follows it.
  void run(std::size_t decoded, std::size_t raw) { add({decoded, raw, false}); }
  // From `decoded` on, all bytes come from what begins at `raw` (an escape).
  void fixed(std::size_t decoded, std::size_t raw) { add({decoded, raw, true}); }

  void clear() { steps_.clear(); }

  // A decoded byte's place; of the text's size the place of what follows it. Without a step the text was not decoded at all.
  std::size_t raw(std::size_t decoded) const;
  // The way back through this map and then through that of what it was decoded from.
  OffsetMap through(const OffsetMap& outer) const;

 private:
  struct Step {
    std::size_t decoded, raw;
    bool is_fixed;
    std::size_t raw_of(std::size_t at) const { return is_fixed ? raw : raw + (at - decoded); }
  };
  void add(Step step) {
    if (!steps_.empty() && steps_.back().decoded == step.decoded) steps_.pop_back();  // a run of no byte
    steps_.push_back(step);
  }
  // The step that a byte belongs to; there is at least one, and the first begins at 0.
  std::size_t step_of(std::size_t decoded) const;

  std::vector<Step> steps_;
};

}  // namespace redoubt::detectors
