// SPDX-License-Identifier: Apache-2.0
#include "governance/recorder.h"

#include <fmt/format.h>

#include "crypto/hash.h"

namespace redoubt::governance {
namespace {

// Bumped when a step's meaning changes, so that what an older program recorded is done again.
constexpr int kStepsVersion = 1;

}  // namespace

Digest StepRecorder::input_key(std::string_view step, const StepPlan& plan) {
  Json inputs = Json::object();
  for (const auto& [name, digest] : plan.inputs) inputs[name] = digest.hex();
  return crypto::sha256(dump_json({{"version", kStepsVersion}, {"step", step}, {"inputs", inputs}, {"parameters", plan.parameters}}));
}

Result<std::optional<StepRecorder::Found>> StepRecorder::find(const char* step, const StepPlan& plan) {
  const auto evidence = TRY(evidence_.latest(step, input_key(step, plan)));
  if (!evidence) return std::optional<Found>();
  auto record = TRY(attest::to_step_record(evidence->statement));
  for (const auto& [name, digest] : record.outputs) {
    if (!TRY(still_there_(name, digest))) return std::optional<Found>();
  }
  return std::optional<Found>({std::move(record), evidence->digest});
}

Result<StepRecorder::Found> StepRecorder::perform(const char* step, const StepPlan& plan,
                                                  const std::function<Result<StepProduct>()>& body) {
  attest::StepRecord record;
  record.step = step;
  record.input_key = input_key(step, plan);
  record.inputs = plan.inputs;
  record.parameters = plan.parameters;
  record.identity = options_.identity;
  record.started = clock_.now();
  if (options_.on_step) options_.on_step(step);
  auto made = body();
  if (options_.on_step) options_.on_step("");
  StepProduct product = TRY(std::move(made));
  record.finished = clock_.now();
  if (record.finished < record.started) {
    return fail(ErrorCode::unavailable, fmt::format("the clock ran backwards during the step '{}'", step), {}, "set the clock, then run again");
  }
  // Outputs that had gone missing and came out the same: the statement that was made then is still true, and what other
  // statements built on it keeps standing after it.
  if (const auto earlier = TRY(evidence_.latest(step, record.input_key))) {
    auto known = TRY(attest::to_step_record(earlier->statement));
    if (known.outputs == product.outputs && !known.outputs.empty()) {
      if (options_.on_remade) TRY(options_.on_remade(known.outputs));
      return Found{std::move(known), earlier->digest};
    }
  }
  record.outputs = std::move(product.outputs);
  record.result = std::move(product.result);
  const auto evidence = TRY(evidence_.append(record, key_));
  return Found{std::move(record), evidence.digest};
}

Result<attest::StepRecord> StepRecorder::read(const char* step, const Digest& statement) {
  const auto evidence = TRY(evidence_.find(statement));
  auto record = TRY(attest::to_step_record(evidence.statement));
  if (record.step != step) {
    return fail(ErrorCode::tampered, fmt::format("a statement of the step '{}' stands where one of '{}' belongs", record.step, step), statement.tagged());
  }
  return record;
}

Result<std::set<std::string>> StepRecorder::who_ran(const Digest& statement) {
  std::set<std::string> identities;
  std::set<Digest> seen;
  std::vector<Digest> left = {statement};
  while (!left.empty()) {
    const Digest next = left.back();
    left.pop_back();
    if (!seen.insert(next).second) continue;
    const auto record = TRY(attest::to_step_record(TRY(evidence_.find(next)).statement));
    identities.insert(record.identity);
    for (const auto& [name, input] : record.inputs) {
      if (name.starts_with("statement:")) left.push_back(input);
    }
  }
  return identities;
}

}  // namespace redoubt::governance
