// SPDX-License-Identifier: Apache-2.0
#include "engine/drift/entry.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdlib>
#include <fstream>
#include <limits>

#include "base/file.h"
#include "monitor/captured_prompts.h"

namespace redoubt::engine::drift {
namespace {

using monitor::Baseline;
using monitor::CapturedPrompts;
using monitor::PromptWindow;

constexpr std::uint64_t kStatisticsBytesMax = 16 << 20;
constexpr std::size_t kLineBytesMax = 32 << 20;  // SageMaker takes requests of 6 MB
constexpr int kMinutesMax = 366 * 24 * 60;

// What the job was told.
struct Job {
  MonitorPaths paths;
  Baseline baseline;
  monitor::WindowOptions windows;
  TimePoint until;
  std::string endpoint, environment, workspace, schedule;
  bool publishes_metrics = false;
};

std::string or_empty(const Variables& variables, const char* name) { return variables(name).value_or(""); }

Result<TimePoint> time_of(const Variables& variables, const char* name, TimePoint otherwise) {
  const auto text = or_empty(variables, name);
  if (text.empty()) return otherwise;
  const auto time = parse_rfc3339(text);
  return time ? time : Result<TimePoint>(fail(ErrorCode::invalid_argument, std::string(name) + " is no time", text, "it looks like 2026-01-31T08:00:00Z"));
}

// From REDOUBT_WINDOW_MINUTES, or what lies between the times that Model Monitor names.
Result<int> minutes_of(const Variables& variables, TimePoint until, int otherwise) {
  const auto text = or_empty(variables, "REDOUBT_WINDOW_MINUTES");
  const auto start = TRY(time_of(variables, "start_time", until - std::chrono::minutes(otherwise)));
  std::int64_t minutes = std::chrono::duration_cast<std::chrono::minutes>(until - start).count();
  if (!text.empty()) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), minutes);
    if (error != std::errc{} || end != text.data() + text.size()) minutes = 0;
  }
  if (minutes >= 1 && minutes <= kMinutesMax) return static_cast<int>(minutes);
  return fail(ErrorCode::invalid_argument, "a window has 1 minute to a year", text.empty() ? "start_time" : "REDOUBT_WINDOW_MINUTES=" + text);
}

Result<Job> read_job(const job::Paths& paths, const Variables& variables, const Clock& clock) {
  Job job;
  job.paths = paths_of(paths, variables);
  const Json statistics = TRY(parse_json(TRY(read_text_file(job.paths.statistics, kStatisticsBytesMax)), "statistics.json"));
  job.baseline = TRY(Baseline::from_statistics(statistics));
  job.until = TRY(time_of(variables, "end_time", clock.now() + std::chrono::milliseconds(1)));
  job.windows.minutes = TRY(minutes_of(variables, job.until, job.windows.minutes));
  job.endpoint = or_empty(variables, "sagemaker_endpoint_name");
  job.schedule = or_empty(variables, "sagemaker_monitoring_schedule_name");
  job.environment = or_empty(variables, "REDOUBT_ENVIRONMENT");
  job.workspace = or_empty(variables, "REDOUBT_WORKSPACE");
  job.publishes_metrics = or_empty(variables, "publish_cloudwatch_metrics") == "Enabled";
  return job;
}

// Line by line, so that a file of any length needs no more memory than a line may have.
Status read_captures(const std::filesystem::path& folder, CapturedPrompts& prompts) {
  if (!is_folder(folder)) return {};
  std::vector<char> line(kLineBytesMax);
  for (const auto& path : TRY(list_files(folder))) {
    std::ifstream file(folder / path, std::ios::binary);
    while (file.getline(line.data(), static_cast<std::streamsize>(line.size())) || file.gcount() == static_cast<std::streamsize>(line.size()) - 1) {
      const bool is_whole = file.good() || file.eof();
      if (!is_whole) {
        file.clear();
        file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
      }
      const std::string_view text(line.data());
      if (!is_whole || !text.empty()) prompts.add(is_whole ? text : std::string_view());
    }
    if (file.bad() || !file.eof()) return fail(ErrorCode::unavailable, "captured data can't be read to its end", path);
  }
  return {};
}

Json describe(const Job& job, const std::vector<PromptWindow>& windows, const CapturedPrompts& prompts, const Result<monitor::DriftVerdict>& verdict) {
  const PromptWindow& newest = windows.front();
  Json result = {{"endpoint", job.endpoint}, {"environment", job.environment}, {"rows", newest.prompts.size()}, {"baseline_rows", job.baseline.rows}, {"unreadable_lines", prompts.unreadable()},
                 {"decided", verdict.has_value()}, {"drift", false}, {"features", Json::array()}};
  if (!newest.prompts.empty()) result.update({{"from", to_rfc3339(newest.from)}, {"until", to_rfc3339(newest.until)}});
  if (!verdict) {
    result["undecided"] = verdict.error().message;
    return result;
  }
  result.update({{"drift", verdict->newest.violated()}, {"features", verdict->newest.features_to_json()}, {"alarm_value", verdict->alarm_value()}, {"windows", windows.size()}});
  return result;
}

std::string message_of(const Json& result, std::size_t violations) {
  if (!result["decided"].get<bool>()) return "Completed: undecided, " + result["undecided"].get<std::string>();
  if (violations == 0) return "Completed: Job completed successfully with no violations.";
  return fmt::format("CompletedWithViolations: Job completed successfully with {} violations.", violations);
}

// For Model Monitor, which puts what stands here under the endpoint's own metrics.
Status publish_metric(const job::Paths& paths, const Job& job, double value) {
  const auto folder = paths.root / "output/metrics/cloudwatch";
  TRY(make_folder(folder));
  const Json dimensions = Json::array({{{"Name", "Endpoint"}, {"Value", job.endpoint}}, {{"Name", "MonitoringSchedule"}, {"Value", job.schedule}}});
  return write_file(folder / "cloudwatch_metrics.jsonl", dump_json({{"MetricName", "DataDrift"}, {"Timestamp", to_rfc3339(job.until)}, {"Dimensions", dimensions}, {"Value", value}, {"Unit", "None"}}) + "\n");
}

Status write_results(const job::Paths& paths, const Job& job, const PromptWindow& newest, const Json& result, const Json& violations) {
  // Too few prompts for statistics are told as a count alone.
  const auto current = monitor::make_baseline(newest.prompts);
  Json few = Baseline().to_statistics();
  few["dataset"]["item_count"] = newest.prompts.size();
  const auto& out = job.paths.output;
  TRY(make_folder(out));
  TRY(write_file(out / "statistics.json", dump_json(current ? current->to_statistics() : few) + "\n"));
  TRY(write_file(out / "constraints.json", dump_json(current ? current->to_constraints() : Baseline().to_constraints()) + "\n"));
  TRY(write_file(out / "constraint_violations.json", dump_json(violations) + "\n"));
  TRY(write_file(out / "drift.json", dump_json(result) + "\n"));  // last: who finds it finds the others
  TRY(make_folder(paths.root / "output"));
  return write_file(paths.root / "output/message", message_of(result, violations["violations"].size()));
}

}  // namespace

MonitorPaths paths_of(const job::Paths& paths, const Variables& variables) {
  const auto place = [&](const char* name, const char* otherwise) {
    const auto given = variables(name);
    return given && !given->empty() ? std::filesystem::path(*given) : paths.root / "processing" / otherwise;
  };
  return {place("dataset_source", "input/captures"), place("baseline_statistics", "input/baseline/statistics.json"), place("output_path", "output")};
}

Status monitor_captures(const job::Paths& paths, const Variables& variables, const Clock& clock, job::EventWriter& events) {
  const Job job = TRY(read_job(paths, variables, clock));
  CapturedPrompts prompts(job.windows, job.until);
  TRY(read_captures(job.paths.captures, prompts));
  const auto windows = prompts.windows();
  const auto verdict = monitor::judge_windows(job.baseline, windows);
  if (!verdict && verdict.error().code != ErrorCode::undecided) return fail(verdict.error());
  const Json result = describe(job, windows, prompts, verdict);
  TRY(write_results(paths, job, windows.front(), result, verdict ? verdict->newest.to_violations() : monitor::DriftReport().to_violations()));
  if (verdict && job.publishes_metrics) TRY(publish_metric(paths, job, verdict->alarm_value()));
  Json event = {{"endpoint", job.endpoint}, {"environment", job.environment}, {"workspace", job.workspace}, {"rows", result["rows"]}, {"drift", result["drift"]}};
  if (verdict) event["value"] = verdict->alarm_value();
  events.write(verdict ? "drift" : "undecided", std::move(event));
  return {};
}

Status run_monitor(const std::filesystem::path& root) {
  const job::Paths paths{root};
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  };
  job::EventWriter events;
  return monitor_captures(paths, variable, SystemClock(), events);
}

}  // namespace redoubt::engine::drift
