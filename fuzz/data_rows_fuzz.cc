// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as training data: every byte is read, every place lies in its line, and a row that passes can be divided.
#include <algorithm>
#include <vector>

#include "base/check.h"
#include "fuzz_input.h"
#include "stages/data/check.h"
#include "stages/data/split.h"

using namespace redoubt;

void try_as(const char* name, const std::uint8_t* data, std::size_t size) {
  MemorySource source({data, size});
  stages::data::CheckOptions options;
  options.policy.row_bytes_max = 4096;
  const auto report = stages::data::check_rows(source, size, name, options);
  if (!report) return;
  CHECK(report->bytes_read == size);
  const auto text = fuzz_text(data, size);
  std::vector<std::size_t> lengths;
  for (std::size_t at = 0; at <= text.size();) {
    const auto end = std::min(text.find('\n', at), text.size());
    lengths.push_back(end - at);
    at = end + 1;
  }
  bool usable = true;
  for (const auto& finding : report->findings) {
    CHECK(finding.line <= lengths.size());
    CHECK(finding.line == 0 || finding.column <= lengths[finding.line - 1] + 1);
    usable = usable && finding.kind != "SCHEMA" && finding.kind != "MALFORMED_JSON" && finding.kind != "MALFORMED_CSV" && finding.kind != "INVALID_UTF8";
  }
  MemorySource again(view_of(text));
  MemorySink kept, held_out;
  const auto split = stages::data::split_rows(again, name, {.fraction = 0.5, .seed = 1}, kept, held_out);
  if (!split) return;
  const Bytes ours = kept.take(), theirs = held_out.take();
  MemorySource kept_rows(ours), held_out_rows(theirs);
  CHECK(*stages::data::shared_questions(kept_rows, name, held_out_rows, name, rows::Question::user) == 0);
  if (usable) CHECK(split->kept + split->held_out == report->rows);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try_as("fuzz.jsonl", data, size);
  try_as("fuzz.csv", data, size);
  return 0;
}
