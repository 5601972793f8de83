// SPDX-License-Identifier: Apache-2.0
//
// Whether rows to train on hold what an evaluation will ask: the same row, the same question, a run of words, nearly the same text.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "stages/data/examine.h"

namespace redoubt::stages::data {

// The rows of an evaluation. Memory holds 150 bytes of each and 24 of each different run of words.
class HeldOut {
 public:
  explicit HeldOut(const Policy& policy) : policy_(policy) {}

  void add(const ExaminedRow& row, std::uint64_t line);
  void build();  // after the last `add`
  // What of it stands in a row, each kind once. Safe to use from several threads.
  std::vector<Finding> leaks(const ExaminedRow& row, std::uint64_t line) const;
  // The number of the held-out question that a row asks, or nothing.
  std::optional<std::uint32_t> question_of(const ExaminedRow& row) const;
  std::string name;

 private:
  struct Run {
    std::uint32_t rows = 0, last_row = 0;
    std::uint64_t line = 0;  // where it stands first
  };
  struct Question {
    std::uint64_t line = 0;
    std::uint32_t number = 0;
  };
  void tell(std::vector<Finding>& findings, const char* kind, std::uint64_t line, std::uint64_t theirs, const std::string& how) const;
  std::uint64_t run_line(const rows::Row& row) const;

  const Policy& policy_;
  std::unordered_map<std::uint64_t, std::uint64_t> rows_;
  std::unordered_map<std::uint64_t, Question> questions_;
  std::unordered_map<std::uint64_t, Run> runs_;
  std::vector<std::uint64_t> lines_;  // of the index's texts
  NearIndex near_;
};

}  // namespace redoubt::stages::data
