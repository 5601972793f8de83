// SPDX-License-Identifier: Apache-2.0
#include "stages/data/leakage.h"

#include <fmt/format.h>

#include "stages/data/fold.h"
#include "stages/data/row_text.h"

namespace redoubt::stages::data {
namespace {

std::uint64_t word_hash(std::string_view word) {
  std::uint64_t hash = 0xcbf29ce484222325ull;
  for (const char c : word) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ull;
  return hash;
}

// Calls `each` with the hash of every run of `count` words.
template <typename Each>
void for_each_run(const rows::Row& row, std::size_t count, const Each& each) {
  const auto folded_text = folded(text_of(row));
  if (!folded_text) return;
  std::vector<std::uint64_t> hashes;
  for (const auto word : words_of(*folded_text)) hashes.push_back(word_hash(word));
  for (std::size_t i = 0; i + count <= hashes.size(); ++i) {
    std::uint64_t run = 0;
    for (std::size_t k = 0; k < count; ++k) run = (run ^ hashes[i + k]) * 0x9e3779b97f4a7c15ull + (run >> 29);
    if (!each(run)) return;
  }
}

}  // namespace

void HeldOut::add(const ExaminedRow& row, std::uint64_t line) {
  if (!row.keys) return;
  rows_.try_emplace(row.keys->row, line);
  questions_.try_emplace(row.keys->question, Question{line, static_cast<std::uint32_t>(questions_.size())});
  const auto number = static_cast<std::uint32_t>(lines_.size() + 1);
  for_each_run(*row.row, policy_.ngram_words, [&](std::uint64_t hash) {
    Run& run = runs_[hash];
    if (run.rows == 0) run.line = line;
    run.rows += run.last_row != number;
    run.last_row = number;
    return true;
  });
  lines_.push_back(line);
  near_.add(row.keys->sketch);
}

void HeldOut::build() { near_.build(); }

std::optional<std::uint32_t> HeldOut::question_of(const ExaminedRow& row) const {
  if (!row.keys) return std::nullopt;
  const auto found = questions_.find(row.keys->question);
  return found == questions_.end() ? std::nullopt : std::optional(found->second.number);
}

void HeldOut::tell(std::vector<Finding>& findings, const char* kind, std::uint64_t line, std::uint64_t theirs, const std::string& how) const {
  const Action action = policy_.action_of(kind);
  if (action != Action::ignore) findings.push_back({kind, action, {}, line, 0, fmt::format("{} line {} of {}", how, theirs, name)});
}

std::uint64_t HeldOut::run_line(const rows::Row& row) const {
  std::uint64_t line = 0;
  for_each_run(row, policy_.ngram_words, [&](std::uint64_t hash) {
    const auto found = runs_.find(hash);
    if (found != runs_.end() && found->second.rows <= policy_.ngram_rows_max) line = found->second.line;
    return line == 0;
  });
  return line;
}

std::vector<Finding> HeldOut::leaks(const ExaminedRow& row, std::uint64_t line) const {
  std::vector<Finding> findings;
  if (!row.keys) return findings;
  const auto same = rows_.find(row.keys->row);
  if (same != rows_.end()) tell(findings, "LEAKED_ROW", line, same->second, "the same row as");
  const auto question = questions_.find(row.keys->question);
  if (question != questions_.end()) tell(findings, "LEAKED_QUESTION", line, question->second.line, "asks the same as");
  if (const auto run = run_line(*row.row); run > 0) tell(findings, "LEAKED_NGRAM", line, run, fmt::format("{} words in a row that stand in", policy_.ngram_words));
  const auto near = near_.nearest(row.keys->sketch, policy_.near_threshold);
  if (near && same == rows_.end()) tell(findings, "LEAKED_NEAR_DUPLICATE", line, lines_[near->earlier], fmt::format("similarity {:.2f} to", near->similarity));
  return findings;
}

}  // namespace redoubt::stages::data
