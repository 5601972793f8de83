// SPDX-License-Identifier: Apache-2.0
#include "pipeline/run.h"

#include <fmt/format.h>

#include <chrono>

namespace redoubt::pipeline {
namespace {

using namespace governance;

std::string number_text(const Json& object, const char* key) {
  const auto value = json_number(object, key, "result");
  return value ? fmt::format("{:.3f}", *value) : "?";
}

// "; 3 rows leak between them, 2 left out", where any do.
std::string leaks_text(const Json& result) {
  std::int64_t rows = 0;
  const Json leaks = json_or(result, "leaks", Json::object());
  for (const auto& [kind, sides] : leaks.items()) {
    if (!sides.is_object()) continue;
    for (const auto& [side, count] : sides.items()) rows += count.is_number_integer() ? count.get<std::int64_t>() : 0;
  }
  return rows == 0 ? "" : fmt::format("; {} leak between them, {} left out", rows, json_or(leaks, "dropped_rows", std::int64_t{0}));
}

std::string outcome_of(const attest::StepRecord& record) {
  const Json& result = record.result;
  if (record.step == AcquireStep::kName) {
    return fmt::format("{} at {}", json_or(result, "repository", ""), json_or(result, "commit", "").substr(0, 12));
  }
  if (record.step == DataStep::kName) {
    return fmt::format("{} train, {} validation, {} eval rows{}", json_or(result, "train", std::int64_t{0}), json_or(result, "validation", std::int64_t{0}), json_or(result, "eval", std::int64_t{0}), leaks_text(result));
  }
  if (record.step == ImageStep::kName) {
    const Json found = json_or(result, "vulnerabilities", Json::object());
    return fmt::format("{} packages, {} critical, {} high", json_or(result, "packages", std::int64_t{0}), json_or(found, "critical", std::int64_t{0}), json_or(found, "high", std::int64_t{0}));
  }
  if (record.step == TrainStep::kName) return fmt::format("validation loss {}", number_text(result, "eval_loss"));
  if (record.step == EvaluateStep::kName) {
    const Json metrics = json_or(result, "metrics", Json::object()), base = json_or(result, "base_metrics", Json::object());
    return fmt::format("gate {}: loss {}, perplexity {} (base {})", json_or(result, "gate", ""), number_text(metrics, "eval_loss"),
                       number_text(metrics, "perplexity"), number_text(base, "eval_loss"));
  }
  if (record.step == RegisterStep::kName) return fmt::format("{}/{} {}", json_or(result, "name", ""), json_or(result, "version", ""), json_or(result, "state", ""));
  if (record.step == DeployStep::kName) return fmt::format("{} in {}", json_or(result, "version", ""), json_or(result, "environment", ""));
  return "";
}

// Runs the steps while none has failed, timing each.
class Runner {
 public:
  explicit Runner(const std::function<void(int, std::string_view)>& started) : started_(started) {}

  template <class Step>
  std::optional<Recorded<Step>> step(const std::function<Result<Recorded<Step>>()>& body, const std::string& main_output) {
    const auto begin = std::chrono::steady_clock::now();
    started_(++number_, Step::kName);
    auto done = body();
    StepRow row;
    row.step = Step::kName;
    row.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    if (!done) {
      row.outcome = to_string(done.error().code);
      report.rows.push_back(std::move(row));
      report.stopped = std::move(done.error());
      return std::nullopt;
    }
    row.outcome = outcome_of(done->record());
    row.reused = done->reused();
    const auto output = done->record().outputs.find(main_output);
    row.digest = (output == done->record().outputs.end() ? done->statement() : output->second).hex();
    report.rows.push_back(std::move(row));
    return std::move(*done);
  }

  void review(const provider::ModelVersion& version) {
    started_(++number_, ReviewStep::kName);
    StepRow row;
    row.step = ReviewStep::kName;
    row.outcome = fmt::format("{}{}", provider::to_string(version.state), version.reason.empty() ? "" : ": " + version.reason);
    report.rows.push_back(std::move(row));
  }

  RunReport report;

 private:
  const std::function<void(int, std::string_view)>& started_;
  int number_ = 0;
};

// What a version's state says about going on; nothing when it may be deployed.
std::optional<Error> stop_at_review(const provider::ModelVersion& version) {
  using provider::VersionState;
  const std::string name = version.name + "/" + version.version;
  switch (version.state) {
    case VersionState::pending_manual_approval:
      return Error{ErrorCode::waiting, "the version waits for a person's approval", name,
                   fmt::format("redoubt --as reviewer registry approve {} --reason \"...\", then run again", name)};
    case VersionState::rejected:
      return Error{ErrorCode::gate_refused, "the version is Rejected: " + version.reason, name, "change the training or the data, then run again"};
    case VersionState::revoked:
      return Error{ErrorCode::gate_refused, "the version's approval was withdrawn: " + version.reason, name, "train a new version"};
    case VersionState::approved:
    case VersionState::deployed: return std::nullopt;
  }
  return Error{ErrorCode::internal, "unknown state of a version", name};
}

}  // namespace

RunReport run(const Steps& steps, const std::function<void(int, std::string_view)>& started) {
  Runner runner(started);
  const auto model = runner.step<AcquireStep>(steps.acquire, "model");
  if (!model) return runner.report;
  const auto data = runner.step<DataStep>(steps.prepare_data, "train");
  if (!data) return runner.report;
  const auto image = runner.step<ImageStep>(steps.build_image, "image");
  if (!image) return runner.report;
  const auto trained = runner.step<TrainStep>([&] { return steps.train(*model, *data, *image); }, "adapter");
  if (!trained) return runner.report;
  const auto evaluation = runner.step<EvaluateStep>([&] { return steps.evaluate(*model, *data, *image, *trained); }, "evaluation");
  if (!evaluation) return runner.report;
  const auto version = runner.step<RegisterStep>([&] { return steps.publish(*model, *data, *image, *trained, *evaluation); }, "release");
  if (!version) return runner.report;
  const auto found = steps.look_up(*version);
  if (!found) {
    runner.report.stopped = found.error();
    return runner.report;
  }
  runner.report.name = found->name;
  runner.report.version = found->version;
  runner.report.state = provider::to_string(found->state);
  runner.review(*found);
  runner.report.stopped = stop_at_review(*found);
  if (runner.report.stopped) return runner.report;
  (void)runner.step<DeployStep>([&] { return steps.deploy(*found); }, "");
  if (!runner.report.stopped) runner.report.state = "Deployed";
  return runner.report;
}

}  // namespace redoubt::pipeline
