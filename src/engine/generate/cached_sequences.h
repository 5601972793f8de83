// SPDX-License-Identifier: Apache-2.0
//
// A loaded model as sequences over key-value caches: one slot each, with prefixes of earlier sequences reused.
#pragma once

#include <memory>

#include "engine/generate/loaded_model.h"
#include "engine/generate/sequence_model.h"

namespace redoubt::engine::generate {

struct SequenceOptions {
  std::size_t slots = 1;
  std::int64_t context = 0;           // tokens of a sequence at most; 0: what the model has
  std::size_t prefix_bytes_max = 0;   // kept of earlier sequences
  bool leaves_room_to_read = false;   // for one sequence more: a text that is read beside the slots (reader.h)
};

// What all slots full, a text beside them and the kept prefixes take, beside the weights.
std::uint64_t sequence_bytes(const LoadedModel& model, const SequenceOptions& options);

// limit_exceeded when that does not fit the memory this process may still take: it says how much is needed and how to need less.
// `model` must outlive the answer.
Result<std::unique_ptr<SequenceModel>> make_sequence_model(const LoadedModel& model, const SequenceOptions& options);

// Memory that this process may still take: the least of what the machine has free and what its limits leave.
std::uint64_t available_bytes();

}  // namespace redoubt::engine::generate
