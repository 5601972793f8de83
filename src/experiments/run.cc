// SPDX-License-Identifier: Apache-2.0
#include "experiments/run.h"

#include <algorithm>
#include <chrono>

#include "vault/job_files.h"

namespace redoubt::experiments {
namespace {

constexpr std::uint64_t kMetricsBytesMax = 1 << 30;  // some five million steps

void flatten(const Json& value, const std::string& name, std::map<std::string, Json>& out) {
  if (!value.is_object()) {
    out[name] = value;
    return;
  }
  for (const auto& [key, member] : value.items()) flatten(member, name.empty() ? key : name + "." + key, out);
}

}  // namespace

double Run::seconds() const { return std::chrono::duration<double>(record.finished - record.started).count(); }

std::map<std::string, double> Run::metrics() const {
  std::map<std::string, Json> all;
  flatten(record.result, "", all);
  std::map<std::string, double> numbers;
  for (const auto& [name, value] : all) {
    if (value.is_number()) numbers[name.starts_with("metrics.") ? name.substr(8) : name] = value.get<double>();
  }
  return numbers;
}

std::map<std::string, Json> Run::parameters() const {
  std::map<std::string, Json> all;
  flatten(record.parameters, "", all);
  return all;
}

Result<std::vector<Run>> list_runs(ledger::EvidenceLog& evidence) {
  std::vector<ledger::Evidence> found = TRY(evidence.of_step("train"));
  for (auto& evaluation : TRY(evidence.of_step("evaluate"))) found.push_back(std::move(evaluation));
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.index > b.index; });
  std::vector<Run> runs;
  for (const auto& entry : found) runs.push_back({entry.digest, TRY(attest::to_step_record(entry.statement))});
  return runs;
}

Result<Run> find_run(const std::vector<Run>& runs, std::string_view start) {
  const std::string where(start);
  if (start.starts_with("sha256:")) start.remove_prefix(7);
  if (start.empty() || start.find_first_not_of("0123456789abcdef") != std::string_view::npos) {
    return fail(ErrorCode::invalid_argument, "not the start of a run's id", where, "'redoubt runs list' shows them");
  }
  const Run* found = nullptr;
  for (const auto& run : runs) {
    if (!run.id.hex().starts_with(start)) continue;
    if (found != nullptr) return fail(ErrorCode::invalid_argument, "several runs start so: " + found->id.hex() + ", " + run.id.hex(), where, "give more of the id");
    found = &run;
  }
  if (found == nullptr) return fail(ErrorCode::not_found, "no such run", where, "'redoubt runs list' shows them");
  return *found;
}

Result<Curves> parse_curves(std::string_view lines) {
  Curves curves;
  double tokens = 0, seconds = 0, step = 0;
  for (std::size_t number = 1; !lines.empty(); ++number) {
    const auto end = std::min(lines.find('\n'), lines.size());
    const auto line = lines.substr(0, end);
    lines.remove_prefix(std::min(end + 1, lines.size()));
    if (line.empty()) continue;
    const std::string where = "metrics.jsonl:" + std::to_string(number);
    const Json event = TRY(parse_json(line, where));
    const std::string kind = json_or(event, "event", "");
    if (kind == "step") {
      step = TRY(json_number(event, "step", where));
      curves.loss.points.emplace_back(step, TRY(json_number(event, "loss", where)));
      const double count = json_or(event, "tokens", 0.0), rate = json_or(event, "tokens_per_second", 0.0);
      if (rate > 0) tokens += count, seconds += count / rate;
    } else if (kind == "epoch") {
      curves.eval_loss.points.emplace_back(step, TRY(json_number(event, "eval_loss", where)));
    }
  }
  if (seconds > 0) curves.tokens_per_second = tokens / seconds;
  return curves;
}

Result<Curves> read_curves(vault::ArtifactStore& store, const Run& run) {
  const auto artifact = run.record.outputs.find("metrics");
  if (artifact == run.record.outputs.end()) return Curves();
  for (const auto& file : TRY(vault::job_files(store, artifact->second))) {
    if (file.path != "metrics.jsonl") continue;
    const auto reader = TRY(file.open());
    RandomAccessSource source(*reader);
    return parse_curves(to_text(TRY(read_all(source, kMetricsBytesMax))));
  }
  return Curves();
}

}  // namespace redoubt::experiments
