// SPDX-License-Identifier: Apache-2.0
//
// Looks at training data before anything else does: JSON lines or CSV of rows in the forms of rows/row.h. Names file, line and
// column of what is wrong; never repeats the text. Opens no socket.
#pragma once

#include <filesystem>
#include <memory>
#include <unordered_set>
#include <vector>

#include "base/stream.h"
#include "stages/data/leakage.h"

namespace redoubt::stages::data {

struct CheckOptions {
  Policy policy = {};
  rows::Question question = rows::Question::user;  // what makes two rows ask the same
  unsigned threads = 0;                            // 0: as many as there are processors, at most 8
  std::shared_ptr<const Detectors> detectors = {}; // RowExaminer::detectors_of this policy, for who checks many files one by one; null: made
};

// Files that are looked at as one set of rows. Memory holds rows of at most 64 MiB at a time (one that is longer alone), and 150 bytes
// of each row: its hash, its place and its sketch (near_duplicates.h); of 200,000 rows the hashes of up to 64 words too.
class DataCheck {
 public:
  static Result<std::unique_ptr<DataCheck>> create(CheckOptions options);
  ~DataCheck();

  // The rows of an evaluation, before any other file: what stands in both is a finding of the others. Not looked at themselves;
  // gate_refused with FILE:LINE for a row without a form.
  Status hold_out(Source& rows, const std::string& name);
  // Failures of reading are errors, and so is a file of another kind (Parquet); whatever else is in the file is a finding. `name`
  // stands for the file.
  Status read(Source& rows, std::uint64_t bytes_total, const std::string& name);
  // After the last file: what only shows between rows.
  Result<DataReport> finish();
  // After `finish`: the rows of a file (0: the first that was read) as JSON lines as the policy leaves them, read again from `rows`,
  // which must outlive the answer. Its last read is tampered where the rows are not as many as before. `lines`, where it is given, gets
  // the line that each row stands in, before the row comes out of the answer.
  Result<std::unique_ptr<Source>> clean(Source& rows, std::size_t file, std::vector<std::uint64_t>* lines = nullptr);
  // How many different questions of the held-out rows were asked by the others.
  std::uint64_t shared_questions() const { return shared_questions_.size(); }

 private:
  struct Batch;
  struct Examined;
  class CleanSource;
  struct Kept {
    std::uint64_t hash = 0, line = 0;
    std::uint32_t file = 0, ordinal = 0;
  };
  explicit DataCheck(CheckOptions options);

  using Want = RowExaminer::Want;
  Examined examine(const Batch& batch, const std::string& name, Want want) const;
  struct Ended {
    std::uint64_t bytes = 0, last_line = 0;
  };
  Result<Ended> examine_all(Source& rows, const std::string& name, std::uint64_t bytes_total, Want want, const std::function<void(Examined&)>& take);
  void take(Examined& examined, std::uint32_t file);
  void keep_asked(AskedRow asked, std::uint32_t ordinal);
  void tell(Finding finding);
  void drop(std::uint32_t ordinal, const char* kind);
  void find_duplicates();
  void find_near_duplicates();
  void find_trigger_words();
  std::string place_of(const Kept& kept, std::uint32_t from_file) const;

  CheckOptions options_;
  std::unique_ptr<RowExaminer> examiner_;
  std::unique_ptr<HeldOut> held_out_;
  std::unordered_set<std::uint32_t> shared_questions_;
  DataReport report_;
  std::vector<bool> dropped_;   // by ordinal: of all rows, broken ones too
  std::vector<Kept> kept_;      // rows with a form
  std::vector<Sketch> sketches_;  // of the same
  std::vector<AskedRow> asked_;   // spread over the files
  std::uint64_t asked_seen_ = 0, asked_every_ = 1;
};

// One file by itself. not_found and other failures of reading are errors.
Result<DataReport> check_data(const std::filesystem::path& file, const CheckOptions& options = {});
// The same over rows that were read already, so that what was checked is what is used.
Result<DataReport> check_rows(Source& rows, std::uint64_t bytes_total, const std::string& name, const CheckOptions& options = {});

}  // namespace redoubt::stages::data
