// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as data under a policy that redacts or drops whatever it can: what is left are rows, and they pass the same check.
#include "base/check.h"
#include "fuzz_input.h"
#include "stages/data/check.h"

using namespace redoubt;
using namespace redoubt::stages::data;

namespace {

CheckOptions all_redacted() {
  CheckOptions options;
  for (const auto& kind : all_kinds()) {
    const auto allowed = allowed_actions(kind);
    const auto can = [&](Action action) { return std::find(allowed.begin(), allowed.end(), action) != allowed.end(); };
    if (kind.group == Group::duplicates || kind.group == Group::triggers) continue;
    options.policy.actions[kind.name] = can(Action::redact) ? Action::redact : can(Action::drop) ? Action::drop : Action::warn;
  }
  options.policy.row_bytes_max = 65536;
  options.detectors = *RowExaminer::detectors_of(options.policy);  // once: compiling them takes longer than any input
  return options;
}

void try_as(const char* name, const std::uint8_t* data, std::size_t size) {
  static const CheckOptions options = all_redacted();
  const auto check = *DataCheck::create(options);
  MemorySource source({data, size});
  if (!check->read(source, size, name)) return;
  const auto report = *check->finish();
  CHECK(report.first_blocking() == nullptr || report.first_blocking()->kind == "SCHEMA");  // a table's header alone has no row to drop
  MemorySource again({data, size});
  const auto rows = check->clean(again, 0);
  CHECK(rows);
  const auto clean = read_all(**rows, 1 << 30);
  CHECK(clean);
  MemorySource left(*clean);
  const auto second = check_rows(left, clean->size(), "clean.jsonl", options);
  CHECK(second && second->redacted.empty() && second->dropped_rows == 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try_as("fuzz.jsonl", data, size);
  try_as("fuzz.csv", data, size);
  return 0;
}
