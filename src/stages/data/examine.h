// SPDX-License-Identifier: Apache-2.0
//
// One row at a time: what is wrong with it by itself, what the policy makes of it, and what it is compared with others by.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/secret.h"
#include "detectors/detectors.h"
#include "detectors/json_text.h"
#include "stages/data/near_duplicates.h"
#include "stages/data/policy.h"
#include "stages/data/raw_rows.h"
#include "stages/data/report.h"
#include "stages/data/triggers.h"
#include "stages/data/word_lists.h"

namespace redoubt::stages::data {

// What a row that reads as one is compared by. Of the row as the policy leaves it.
struct RowKeys {
  std::uint64_t row = 0;       // the first eight bytes of the hash of all members: enough to tell rows apart
  std::uint64_t question = 0;  // the same of the folded question
  Sketch sketch;
};

struct ExaminedRow {
  std::vector<Finding> findings;  // without the file
  bool is_row = true;             // false for a header
  bool drops = false;
  std::optional<RowKeys> keys;  // where the row has a form and is not dropped
  std::optional<rows::Row> row; // as above
  std::optional<AskedRow> asked;  // of a row with keys that asks and answers, where triggers are looked for
  std::string language;         // where it could be told
  std::string clean;            // the row as a JSON line as the policy leaves it, where it is wanted; empty for a row that is dropped or broken
};

// Safe to use from several threads.
class RowExaminer {
 public:
  // What a policy looks for; compiling it takes longer than looking at a small file.
  static Result<std::shared_ptr<const Detectors>> detectors_of(const Policy& policy);
  // The policy must outlive it. `detectors` as detectors_of made them for the same policy; null: made here.
  static Result<std::unique_ptr<RowExaminer>> create(const Policy& policy, rows::Question question, std::shared_ptr<const Detectors> detectors = nullptr);
  enum class Want { findings, clean_row };
  ExaminedRow examine(const RawRow& row, const std::string& file, Want want) const;

 private:
  class Visit;
  // What the policy does about the names of a table's columns.
  struct NamedColumns {
    std::shared_ptr<const rows::CsvColumns> columns;
    bool redacts = false, drops = false;
  };
  RowExaminer(const Policy& policy, rows::Question question, std::shared_ptr<const Detectors> detectors);

  const Policy& policy_;
  rows::Question question_;
  std::shared_ptr<const Detectors> detectors_;
  WordLists word_lists_;
  MinHasher hasher_;
  Secret hash_key_;  // drawn for this examiner alone, so that a hash in a report can't be tried out with likely texts
  mutable std::mutex mutex_;
  mutable NamedColumns named_;  // of the table that a record came from last
};

}  // namespace redoubt::stages::data
