// SPDX-License-Identifier: Apache-2.0
#include "stages/data/split.h"

#include <fmt/format.h>

#include <unordered_set>

#include "crypto/hash.h"
#include "stages/data/fold.h"

namespace redoubt::stages::data {
namespace {

constexpr std::uint64_t kRowBytesMax = 64 << 20;

// Uniform in [0, 1): the first 53 bits of SHA-256("<seed>:<question>").
double place_of(const std::string& question, std::uint64_t seed) {
  const Digest digest = crypto::sha256(fmt::format("{}:{}", seed, question));
  std::uint64_t bits = 0;
  for (int i = 0; i < 8; ++i) bits = bits << 8 | digest.value[static_cast<std::size_t>(i)];
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

constexpr const char* kSeeAll = "see all that is wrong with 'redoubt data check FILE'";

// A row that is wrong is the data's fault: the gate's answer, with the place as findings have it.
tl::unexpected<Error> refuse(const Error& error) {
  if (error.code != ErrorCode::invalid_argument && error.code != ErrorCode::limit_exceeded) return fail(error);
  std::string place = error.where;
  if (const auto at = place.rfind(": line "); at != place.npos) place.replace(at, 7, ":");
  return fail(ErrorCode::gate_refused, error.message, place, kSeeAll);
}

}  // namespace

Result<Division> Division::create(const SplitOptions& options) {
  if (!(options.fraction > 0 && options.fraction < 1))
    return fail(ErrorCode::invalid_argument, "the share to hold out is more than 0 and less than 1", "--eval");
  return Division(options);
}

Result<bool> Division::holds_out(const rows::Row& row) const {
  return place_of(TRY(folded(rows::question_of(row, options_.question))), options_.seed) < options_.fraction;
}

Result<std::unique_ptr<CheckedRows>> CheckedRows::open(Source& source, const std::string& name) {
  auto reader = rows::RowReader::open(source, name, kRowBytesMax);
  if (!reader) return refuse(reader.error());
  return std::unique_ptr<CheckedRows>(new CheckedRows(std::move(*reader)));
}

Result<std::optional<CheckedRows::Next>> CheckedRows::next() {
  auto read = reader_->next();
  if (!read) return refuse(read.error());
  if (!*read) return std::nullopt;
  auto row = rows::row_of((*read)->value, (*read)->where);
  if (!row) return refuse(row.error());
  return Next{std::move((*read)->text), std::move(*row), std::move((*read)->where), (*read)->line};
}

Result<SplitCounts> split_rows(Source& source, const std::string& name, const SplitOptions& options, Sink& kept, Sink& held_out) {
  const auto division = TRY(Division::create(options));
  const auto rows = TRY(CheckedRows::open(source, name));
  SplitCounts counts;
  while (auto next = TRY(rows->next())) {
    const bool holds_out = TRY(division.holds_out(next->row));
    next->text.push_back('\n');
    TRY((holds_out ? held_out : kept).write(view_of(next->text)));
    ++(holds_out ? counts.held_out : counts.kept);
  }
  TRY(check_sides(counts, name));
  return counts;
}

Status check_sides(const SplitCounts& counts, const std::string& name) {
  if (counts.held_out + counts.kept == 0) return fail(ErrorCode::gate_refused, "the file holds no row", name, kSeeAll);
  if (counts.held_out > 0 && counts.kept > 0) return {};
  return fail(ErrorCode::invalid_argument,
              fmt::format("{} rows with few different questions can't be divided: {} held out, {} kept", counts.held_out + counts.kept, counts.held_out, counts.kept),
              name, "give more different rows, or another fraction or seed; where all rows ask the same of different texts, compare all that stands before the answer (--question prompt, data.question)");
}

Result<std::uint64_t> shared_questions(Source& kept, const std::string& kept_name, Source& held_out, const std::string& held_out_name,
                                       rows::Question question) {
  std::unordered_set<std::string> questions;
  const auto hash_of = [&](const rows::Row& row) -> Result<std::string> { return crypto::sha256(TRY(folded(rows::question_of(row, question)))).hex().substr(0, 32); };
  const auto ours = TRY(CheckedRows::open(held_out, held_out_name));
  while (const auto next = TRY(ours->next())) questions.insert(TRY(hash_of(next->row)));
  std::uint64_t shared = 0;
  const auto theirs = TRY(CheckedRows::open(kept, kept_name));
  while (const auto next = TRY(theirs->next())) shared += questions.erase(TRY(hash_of(next->row)));
  return shared;
}

}  // namespace redoubt::stages::data
