// SPDX-License-Identifier: Apache-2.0
//
// What training and evaluation compute on: one tokenised example, and where its answer starts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace redoubt::engine::data {

struct Example {
  std::vector<std::int32_t> ids;  // the whole example as the chat template writes it
  std::int32_t answer_start = 1;  // ids[answer_start..] are answer tokens; >= 1, since the first token has no prediction
  std::size_t source_line = 0;    // 1-based line of the data file
  std::size_t answer_words = 0;   // words of the answer's text, split at white space
  std::size_t answer_bytes = 0;   // UTF-8 bytes of the answer's text
  bool truncated = false;         // its end was cut off
};

}  // namespace redoubt::engine::data
