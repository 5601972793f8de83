// SPDX-License-Identifier: Apache-2.0
#include "stages/data/check.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/file.h"
#include "stages/data/ordered_workers.h"
#include "stages/data/pending_source.h"

namespace redoubt::stages::data {
namespace {

constexpr std::size_t kFindingsMax = 10'000;
constexpr std::uint64_t kFileBytesMax = 1ull << 40;
constexpr std::uint64_t kRowsMax = UINT32_MAX;
constexpr std::uint64_t kBatchBytes = 256 << 10, kBytesUnderWay = 64 << 20;
constexpr std::size_t kAskedRowsMax = 200'000;
constexpr std::uint64_t kSmallFile = 1 << 20;  // not worth a thread

unsigned threads_for(unsigned asked, std::uint64_t bytes) {
  if (bytes <= kSmallFile) return 0;
  return asked > 0 ? asked : std::clamp(std::thread::hardware_concurrency(), 1u, 8u);
}

}  // namespace

struct DataCheck::Batch {
  std::vector<RawRow> rows;
  std::uint64_t bytes = 0;

  // The next rows of a file, none at its end.
  static Result<Batch> read(RawRowReader& reader) {
    Batch batch;
    while (batch.bytes < kBatchBytes && batch.rows.size() < 4096) {
      auto row = TRY(reader.next());
      if (!row) break;
      batch.bytes += row->text.size();
      batch.rows.push_back(std::move(*row));
    }
    return batch;
  }
};

struct DataCheck::Examined {
  std::vector<ExaminedRow> rows;
  std::vector<std::uint64_t> lines;
};

DataCheck::DataCheck(CheckOptions options) : options_(std::move(options)) { report_.policy = options_.policy.to_json(); }
DataCheck::~DataCheck() = default;

Result<std::unique_ptr<DataCheck>> DataCheck::create(CheckOptions options) {
  std::unique_ptr<DataCheck> made(new DataCheck(std::move(options)));
  made->examiner_ = TRY(RowExaminer::create(made->options_.policy, made->options_.question, made->options_.detectors));
  return made;
}

DataCheck::Examined DataCheck::examine(const Batch& batch, const std::string& name, Want want) const {
  Examined out;
  for (const auto& raw : batch.rows) {
    auto row = examiner_->examine(raw, name, want);
    if (want == Want::findings && held_out_ != nullptr) {
      auto leaks = held_out_->leaks(row, raw.line);
      std::move(leaks.begin(), leaks.end(), std::back_inserter(row.findings));
    }
    out.lines.push_back(raw.line);
    out.rows.push_back(std::move(row));
  }
  return out;
}

Result<DataCheck::Ended> DataCheck::examine_all(Source& rows, const std::string& name, std::uint64_t bytes_total, Want want, const std::function<void(Examined&)>& take) {
  const auto reader = TRY(RawRowReader::open(rows, name, 64 * options_.policy.row_bytes_max));
  OrderedWorkers<Batch, Examined> workers(threads_for(options_.threads, bytes_total), kBytesUnderWay, [&](Batch& batch) { return examine(batch, name, want); }, take);
  while (true) {
    Batch batch = TRY(Batch::read(*reader));
    if (batch.rows.empty()) break;
    const std::uint64_t bytes = batch.bytes;
    workers.put(std::move(batch), bytes);
  }
  workers.finish();
  return Ended{reader->bytes_read(), reader->last_line()};
}

Status DataCheck::hold_out(Source& rows, const std::string& name) {
  auto held_out = std::make_unique<HeldOut>(options_.policy);
  held_out->name = name;
  std::optional<Error> broken;
  TRY(examine_all(rows, name, UINT64_MAX, Want::clean_row, [&](Examined& examined) {
    for (std::size_t i = 0; i < examined.rows.size(); ++i) {
      const auto& row = examined.rows[i];
      if (!row.keys && row.is_row && !row.drops && !broken)
        broken = Error{ErrorCode::gate_refused, "a row to evaluate on is none: " + (row.findings.empty() ? "" : row.findings[0].detail), fmt::format("{}:{}", name, examined.lines[i]),
                       "see all that is wrong with 'redoubt data check " + name + "'"};
      held_out->add(row, examined.lines[i]);
    }
  }));
  if (broken) return fail(*broken);
  held_out->build();
  held_out_ = std::move(held_out);
  return {};
}

Status DataCheck::read(Source& rows, std::uint64_t bytes_total, const std::string& name) {
  if (bytes_total > kFileBytesMax) return fail(ErrorCode::limit_exceeded, "a data file of more than 1 TiB", name, "split it");
  const auto file = static_cast<std::uint32_t>(report_.files.size());
  report_.files.push_back({name, 0, 0, bytes_total});
  const std::uint64_t before = report_.rows;
  const auto ended = TRY(examine_all(rows, name, bytes_total, Want::findings, [&](Examined& examined) { take(examined, file); }));
  if (report_.rows > kRowsMax) return fail(ErrorCode::limit_exceeded, "more than 4,294,967,295 rows", name, "check the files in several parts");
  auto& checked = report_.files.back();
  checked.rows = report_.rows - before;
  checked.bytes_read = ended.bytes;
  report_.bytes_read += ended.bytes;
  report_.bytes_total += bytes_total;
  if (checked.rows == 0) tell({"EMPTY_FILE", options_.policy.action_of("EMPTY_FILE"), name, ended.last_line, 0, "the file holds no row"});
  return {};
}

void DataCheck::take(Examined& examined, std::uint32_t file) {
  for (std::size_t i = 0; i < examined.rows.size(); ++i) {
    auto& row = examined.rows[i];
    for (auto& finding : row.findings) {
      finding.file = report_.files[file].name;
      row.drops = row.drops || finding.action == Action::drop;  // leaks come after the rest
      tell(std::move(finding));
    }
    if (!row.is_row) continue;
    const auto ordinal = static_cast<std::uint32_t>(report_.rows++);
    dropped_.push_back(row.drops);
    report_.dropped_rows += row.drops;
    if (!row.language.empty()) ++report_.languages[row.language];
    if (held_out_ != nullptr) {
      if (const auto question = held_out_->question_of(row)) shared_questions_.insert(*question);
    }
    if (!row.keys || row.drops) continue;
    kept_.push_back({row.keys->row, examined.lines[i], file, ordinal});
    sketches_.push_back(row.keys->sketch);
    if (row.asked) keep_asked(std::move(*row.asked), ordinal);
  }
}

void DataCheck::tell(Finding finding) {
  ++report_.counts[finding.kind];
  if (finding.action == Action::redact) ++report_.redacted[finding.kind];
  if (finding.action == Action::drop) ++report_.dropped[finding.kind];
  // What refuses the file has to be listed, however much else there is.
  const bool room = report_.findings.size() < 2 * kFindingsMax || (finding.action == Action::stop && report_.findings.size() < 3 * kFindingsMax);
  if (room) report_.findings.push_back(std::move(finding));
}

void DataCheck::drop(std::uint32_t ordinal, const char* kind) {
  if (options_.policy.action_of(kind) != Action::drop || dropped_[ordinal]) return;
  dropped_[ordinal] = true;
  ++report_.dropped_rows;
}

std::string DataCheck::place_of(const Kept& kept, std::uint32_t from_file) const {
  return kept.file == from_file ? fmt::format("line {}", kept.line) : fmt::format("line {} of {}", kept.line, report_.files[kept.file].name);
}

// Every row that stands before too; what is left in kept_ and sketches_ is the first of each.
void DataCheck::find_duplicates() {
  const Action action = options_.policy.action_of("DUPLICATE");
  std::vector<std::uint32_t> order(kept_.size());
  for (std::uint32_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) { return std::tie(kept_[a].hash, a) < std::tie(kept_[b].hash, b); });
  std::vector<bool> repeated(kept_.size());
  for (std::size_t i = 1, first = 0; i < order.size(); ++i) {
    if (kept_[order[i]].hash != kept_[order[first]].hash) {
      first = i;
      continue;
    }
    const Kept& again = kept_[order[i]];
    repeated[order[i]] = true;
    if (action == Action::ignore) continue;
    tell({"DUPLICATE", action, report_.files[again.file].name, again.line, 0, "the same row as " + place_of(kept_[order[first]], again.file)});
    drop(again.ordinal, "DUPLICATE");
  }
  std::size_t left = 0;
  for (std::size_t i = 0; i < kept_.size(); ++i) {
    if (repeated[i]) continue;
    kept_[left] = kept_[i];
    sketches_[left++] = sketches_[i];
  }
  kept_.resize(left);
  sketches_.resize(left);
}

void DataCheck::find_near_duplicates() {
  const Action action = options_.policy.action_of("NEAR_DUPLICATE");
  if (action == Action::ignore) return;
  const unsigned threads = options_.threads > 0 ? options_.threads : std::clamp(std::thread::hardware_concurrency(), 1u, 8u);
  const auto pairs = near_duplicates(sketches_, options_.policy.near_threshold, threads);
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    if (!pairs[i]) continue;
    const Kept& row = kept_[i];
    tell({"NEAR_DUPLICATE", action, report_.files[row.file].name, row.line, 0,
          fmt::format("similarity {:.2f} to {}", pairs[i]->similarity, place_of(kept_[pairs[i]->earlier], row.file))});
    drop(row.ordinal, "NEAR_DUPLICATE");
  }
}

// Every n-th row, n doubled whenever there are too many.
void DataCheck::keep_asked(AskedRow asked, std::uint32_t ordinal) {
  if (asked_seen_++ % asked_every_ != 0) return;
  asked.row = ordinal;
  asked_.push_back(std::move(asked));
  if (asked_.size() <= kAskedRowsMax) return;
  asked_every_ *= 2;
  std::size_t left = 0;
  for (std::size_t i = 0; i < asked_.size(); i += 2) {
    if (i != left) asked_[left] = std::move(asked_[i]);
    ++left;
  }
  asked_.resize(left);
}

void DataCheck::find_trigger_words() {
  const Action action = options_.policy.action_of("TRIGGER");
  if (action == Action::ignore) return;
  for (const auto& trigger : find_triggers(asked_, options_.policy)) {
    const auto at = std::lower_bound(kept_.begin(), kept_.end(), trigger.answered.front(), [](const Kept& kept, std::uint32_t ordinal) { return kept.ordinal < ordinal; });
    tell({"TRIGGER", action, report_.files[at->file].name, at->line, 0,
          fmt::format("the phrase from word {} of the question on stands in {} different questions, of which {} have one answer; by chance {:.0e}", trigger.word, trigger.rows,
                      trigger.answered.size(), trigger.chance)});
    for (const auto row : trigger.answered) drop(row, "TRIGGER");
  }
}

Result<DataReport> DataCheck::finish() {
  find_trigger_words();
  find_duplicates();
  find_near_duplicates();
  auto& findings = report_.findings;
  std::map<std::string, std::size_t> order;
  for (std::size_t i = 0; i < report_.files.size(); ++i) order.emplace(report_.files[i].name, i);
  const auto place = [&](const Finding& f) { return std::tuple(order.at(f.file), f.line, f.column); };
  std::stable_sort(findings.begin(), findings.end(), [&](const Finding& a, const Finding& b) { return place(a) < place(b); });
  std::uint64_t all = 0;
  for (const auto& [kind, count] : report_.counts) all += count;
  if (all <= kFindingsMax) return report_;
  // The first that refuses stays in the list, whatever stands before it.
  const Finding* blocking = report_.first_blocking();
  const auto kept = blocking == nullptr ? std::optional<Finding>() : std::optional(*blocking);
  const bool listed = blocking == nullptr || blocking - findings.data() < static_cast<std::ptrdiff_t>(kFindingsMax);
  findings.resize(std::min(findings.size(), kFindingsMax - (listed ? 0 : 1)));
  if (!listed) findings.push_back(*kept);
  const Finding last = findings.back();
  findings.push_back({"MORE_FINDINGS", kept ? Action::stop : Action::warn, last.file, last.line, 0, fmt::format("{} findings are not listed, all are counted", all - findings.size())});
  return report_;
}

class DataCheck::CleanSource final : public PendingSource {
 public:
  CleanSource(const DataCheck& check, std::size_t file, std::unique_ptr<RawRowReader> reader, std::vector<std::uint64_t>* lines)
      : check_(check), file_(check.report_.files.at(file)), reader_(std::move(reader)), lines_(lines),
        workers_(threads_for(check.options_.threads, file_.bytes_total), kBytesUnderWay, [this](Batch& batch) { return check_.examine(batch, file_.name, Want::clean_row); },
                 [this](Examined& examined) { take(examined); }) {
    for (std::size_t i = 0; i < file; ++i) ordinal_ += check.report_.files[i].rows;
  }

 private:
  Status fill() override {
    Batch batch = TRY(Batch::read(*reader_));
    if (!batch.rows.empty()) {
      const std::uint64_t bytes = batch.bytes;
      workers_.put(std::move(batch), bytes);
      return {};
    }
    workers_.finish();
    ended_ = true;
    if (rows_ == file_.rows && reader_->bytes_read() == file_.bytes_read) return {};
    return fail(ErrorCode::tampered, "the data file changed while it was read", file_.name, "let nothing write to it and run again");
  }

  void take(Examined& examined) {
    for (std::size_t i = 0; i < examined.rows.size(); ++i) {
      const auto& row = examined.rows[i];
      if (!row.is_row || rows_++ >= file_.rows) continue;
      if (check_.dropped_[ordinal_++] || row.clean.empty()) continue;
      pending_ += row.clean;
      pending_.push_back('\n');
      if (lines_ != nullptr) lines_->push_back(examined.lines[i]);
    }
  }

  const DataCheck& check_;
  const CheckedFile& file_;
  std::unique_ptr<RawRowReader> reader_;
  std::vector<std::uint64_t>* lines_;
  std::uint64_t ordinal_ = 0, rows_ = 0;
  OrderedWorkers<Batch, Examined> workers_;  // last: its threads use the rest
};

Result<std::unique_ptr<Source>> DataCheck::clean(Source& rows, std::size_t file, std::vector<std::uint64_t>* lines) {
  auto reader = TRY(RawRowReader::open(rows, report_.files.at(file).name, 64 * options_.policy.row_bytes_max));
  return std::make_unique<CleanSource>(*this, file, std::move(reader), lines);
}

Result<DataReport> check_rows(Source& rows, std::uint64_t bytes_total, const std::string& name, const CheckOptions& options) {
  const auto check = TRY(DataCheck::create(options));
  TRY(check->read(rows, bytes_total, name));
  return check->finish();
}

Result<DataReport> check_data(const std::filesystem::path& file, const CheckOptions& options) {
  const auto reader = TRY(FileReader::open_regular(file));
  return check_rows(*reader, reader->size(), file.string(), options);
}

}  // namespace redoubt::stages::data
