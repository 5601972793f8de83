// SPDX-License-Identifier: Apache-2.0
#include "stages/data/split.h"

#include <fmt/format.h>

#include "crypto/hash.h"
#include "stages/data/check.h"

namespace redoubt::stages::data {
namespace {

// Uniform in [0, 1): the first 53 bits of SHA-256("<seed>:<question>").
double place_of(const std::string& question, std::uint64_t seed) {
  const Digest digest = crypto::sha256(fmt::format("{}:{}", seed, question));
  std::uint64_t bits = 0;
  for (int i = 0; i < 8; ++i) bits = bits << 8 | digest.value[static_cast<std::size_t>(i)];
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

}  // namespace

Result<SplitRows> split_rows(std::string_view rows, double fraction, std::uint64_t seed, std::string_view where) {
  SplitRows split;
  std::uint64_t number = 0;
  while (!rows.empty()) {
    const auto end = std::min(rows.find('\n'), rows.size());
    const auto line = rows.substr(0, end);
    rows.remove_prefix(std::min(end + 1, rows.size()));
    ++number;
    if (line.find_first_not_of(" \t\r") == line.npos) continue;
    const std::string place = fmt::format("{}:{}", where, number);
    auto question = question_of(TRY(parse_json(line, place)));
    if (!question) {
      question.error().where = place;
      return fail(question.error());
    }
    const bool held_out = place_of(*question, seed) < fraction;
    (held_out ? split.held_out : split.kept).append(line).push_back('\n');
    ++(held_out ? split.held_out_rows : split.kept_rows);
  }
  if (split.held_out_rows == 0 || split.kept_rows == 0) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("{} rows with few different questions can't be divided: {} held out, {} kept", split.held_out_rows + split.kept_rows,
                            split.held_out_rows, split.kept_rows),
                std::string(where), "give more different rows, or another fraction or seed");
  }
  return split;
}

}  // namespace redoubt::stages::data
