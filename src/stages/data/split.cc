// SPDX-License-Identifier: Apache-2.0
#include "stages/data/split.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>

#include "crypto/hash.h"
#include "stages/data/check.h"
#include "stages/data/json_text.h"

namespace redoubt::stages::data {
namespace {

// Uniform in [0, 1): the first 53 bits of SHA-256("<seed>:<question>").
double place_of(const std::string& question, std::uint64_t seed) {
  const Digest digest = crypto::sha256(fmt::format("{}:{}", seed, question));
  std::uint64_t bits = 0;
  for (int i = 0; i < 8; ++i) bits = bits << 8 | digest.value[static_cast<std::size_t>(i)];
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

tl::unexpected<Error> fail_row(std::string message, const std::string& place) {
  return fail(ErrorCode::gate_refused, std::move(message), place, "see all that is wrong with 'redoubt data check FILE'");
}

// Calls `take(line, question)` for each row.
template <class Take>
Status for_each_row(std::string_view rows, std::string_view where, Take take) {
  for (std::uint64_t number = 1; !rows.empty(); ++number) {
    const auto end = std::min(rows.find('\n'), rows.size());
    const auto line = rows.substr(0, end);
    rows.remove_prefix(std::min(end + 1, rows.size()));
    if (line.find_first_not_of(" \t\r") == line.npos) continue;
    const std::string place = fmt::format("{}:{}", where, number);
    if (first_invalid_utf8(line) != line.npos) return fail_row("not UTF-8", place);
    if (line.starts_with(kByteOrderMark)) return fail_row("a byte order mark; save the file as UTF-8 without one", place);
    const auto row = parse_json(line, place);
    if (!row) return fail_row(row.error().message, place);
    auto question = question_of(*row);
    if (!question) return fail_row(question.error().message, place);
    take(line, std::move(*question));
  }
  return {};
}

}  // namespace

Result<SplitRows> split_rows(std::string_view rows, double fraction, std::uint64_t seed, std::string_view where) {
  if (!(fraction > 0 && fraction < 1)) return fail(ErrorCode::invalid_argument, "the share to hold out is more than 0 and less than 1", "--eval");
  SplitRows split;
  TRY(for_each_row(rows, where, [&](std::string_view line, const std::string& question) {
    const bool held_out = place_of(question, seed) < fraction;
    (held_out ? split.held_out : split.kept).append(line).push_back('\n');
    ++(held_out ? split.held_out_rows : split.kept_rows);
  }));
  if (split.held_out_rows + split.kept_rows == 0) return fail_row("the file holds no row", std::string(where));
  if (split.held_out_rows == 0 || split.kept_rows == 0) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("{} rows with few different questions can't be divided: {} held out, {} kept", split.held_out_rows + split.kept_rows,
                            split.held_out_rows, split.kept_rows),
                std::string(where), "give more different rows, or another fraction or seed");
  }
  return split;
}

Result<std::uint64_t> shared_questions(std::string_view kept, std::string_view held_out, std::string_view where) {
  std::unordered_set<std::string> questions;
  TRY(for_each_row(held_out, where, [&](std::string_view, std::string question) { questions.insert(std::move(question)); }));
  std::uint64_t shared = 0;
  TRY(for_each_row(kept, where, [&](std::string_view, const std::string& question) { shared += questions.erase(question); }));
  return shared;
}

}  // namespace redoubt::stages::data
