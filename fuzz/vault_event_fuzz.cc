// SPDX-License-Identifier: Apache-2.0
//
// Events of the vault, one a line, as the ledger would give them; and the rules of a policy over what they made.
#include "base/check.h"
#include "custody/rules.h"
#include "fuzz_input.h"

using namespace redoubt;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text = fuzz_text(data, size);
  custody::View view;
  std::uint64_t entry = 0;
  Json last = Json::object();
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    const auto json = parse_json(text.substr(0, end), "fuzz");
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!json || !json->is_object()) continue;
    last = *json;
    attest::StepRecord record;
    record.step = entry % 7 == 6 ? custody::kErasureStep : custody::kVaultStep;
    record.identity = entry % 2 == 0 ? "operator" : "reviewer";
    record.finished = TimePoint{std::chrono::seconds(entry)};
    record.result = *json;
    const auto applied = view.apply(entry++, record);
    if (!applied) CHECK(applied.error().code == ErrorCode::tampered || applied.error().code == ErrorCode::unsupported);
  }
  for (const auto& [name, versions] : view.names()) {
    for (std::size_t i = 0; i < versions.size(); ++i) CHECK(versions[i].number == i + 1 && versions[i].name == name);
  }
  if (const auto rules = custody::Rules::from_json(last)) {
    const auto nobody = [](const custody::NamedVersion&) { return std::string(); };
    (void)custody::plan_lifecycle(view, {}, *rules, TimePoint{std::chrono::hours(24 * 400)}, nobody);
  }
  return 0;
}
