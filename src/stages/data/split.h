// SPDX-License-Identifier: Apache-2.0
//
// Divides rows by a seeded hash of what they ask, so that a question never stands on both sides and the same seed always
// gives the same sides, whatever the order of the rows.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/json.h"

namespace redoubt::stages::data {

struct SplitRows {
  std::string held_out, kept;  // JSON lines as they stood in the file
  std::uint64_t held_out_rows = 0, kept_rows = 0;
};

// Holds out about `fraction` (0 to 1, both excluded) of the questions of `rows` (JSON lines; blank ones are left out). At least
// one row stays on either side or it is invalid_argument; a file without rows and a line that is no row are gate_refused. `where`
// names the file in errors.
Result<SplitRows> split_rows(std::string_view rows, double fraction, std::uint64_t seed, std::string_view where);

// How many different questions stand on both sides (JSON lines): what an evaluation would have seen in training. 0 between the
// sides that split_rows makes; for sides that somebody else made, this is the check.
Result<std::uint64_t> shared_questions(std::string_view kept, std::string_view held_out, std::string_view where);

}  // namespace redoubt::stages::data
