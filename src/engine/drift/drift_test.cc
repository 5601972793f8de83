// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <map>

#include "base/file.h"
#include "engine/drift/entry.h"
#include "monitor/drift.h"

namespace redoubt::engine::drift {
namespace {

const TimePoint kNow{std::chrono::seconds{1'700'000'000}};

std::string usual(int i) { return "How do I list a" + std::string(static_cast<std::size_t>(i) % 20, 'a') + "?"; }
std::string odd(int i) { return std::string(400, static_cast<char>('0' + i % 10)); }

// /opt/ml of a processing job, with a baseline and captures laid out as SageMaker lays them out.
class MonitorTest : public ::testing::Test {
 protected:
  MonitorTest() {
    std::vector<std::string> texts;
    for (int i = 0; i < 300; ++i) texts.push_back(usual(i));
    write("processing/input/baseline/statistics.json", dump_json(redoubt::monitor::make_baseline(texts)->to_statistics()));
  }
  void write(const std::filesystem::path& path, const std::string& text) {
    ASSERT_TRUE(make_folder((root() / path).parent_path()));
    ASSERT_TRUE(write_file(root() / path, text));
  }
  void capture(const char* hour, int count, std::chrono::minutes ago, std::string (*prompt)(int)) {
    std::string lines;
    for (int i = 0; i < count; ++i) {
      const Json body = {{"messages", Json::array({{{"role", "user"}, {"content", prompt(i)}}})}};
      const Json input = {{"observedContentType", "application/json"}, {"mode", "INPUT"}, {"data", dump_json(body)}, {"encoding", "JSON"}};
      lines += dump_json({{"captureData", {{"endpointInput", input}}}, {"eventMetadata", {{"inferenceTime", to_rfc3339(kNow - ago - std::chrono::seconds(i))}}}, {"eventVersion", "0"}}) + "\n";
    }
    write(std::string("processing/input/captures/redoubt-dev/main/2023/11/14/") + hour + "/" + std::to_string(count) + ".jsonl", lines);
  }
  Status run() {
    clock_.advance(kNow - clock_.now());
    job::EventWriter events(events_);
    return monitor_captures({root()}, [this](const char* name) {
      const auto found = variables_.find(name);
      return found == variables_.end() ? std::nullopt : std::optional(found->second);
    }, clock_, events);
  }
  Json read(const std::string& path) { return parse_json(read_text_file(root() / path).value(), path).value(); }
  Json event() {
    std::rewind(events_);
    std::string line(4096, '\0');
    return std::fgets(line.data(), 4096, events_) == nullptr ? Json() : parse_json(line.c_str(), "event").value();
  }
  std::filesystem::path root() { return folder_.path() / "ml"; }
  ~MonitorTest() override { std::fclose(events_); }

  TemporaryFolder folder_ = *TemporaryFolder::create();
  std::FILE* events_ = std::tmpfile();
  FakeClock clock_;
  std::map<std::string, std::string> variables_ = {{"sagemaker_endpoint_name", "redoubt-dev"}, {"REDOUBT_ENVIRONMENT", "dev"}, {"REDOUBT_WORKSPACE", "w1"}};
};

TEST_F(MonitorTest, prompts_like_those_of_the_training_violate_nothing) {
  capture("21", 250, std::chrono::minutes(5), usual);
  ASSERT_TRUE(run());
  EXPECT_TRUE(read("processing/output/constraint_violations.json")["violations"].empty());
  EXPECT_EQ(read("processing/output/statistics.json")["dataset"]["item_count"], 250);
  EXPECT_EQ(read("processing/output/constraints.json")["features"].size(), redoubt::monitor::prompt_features().size());
  EXPECT_EQ(read("processing/output/drift.json")["drift"], false);
  EXPECT_EQ(read_text_file(root() / "output/message").value(), "Completed: Job completed successfully with no violations.");
  EXPECT_EQ(event()["event"], "drift");
}

TEST_F(MonitorTest, other_prompts_are_violations_and_an_alarm_once_two_windows_say_so) {
  capture("21", 250, std::chrono::minutes(5), odd);
  capture("18", 250, std::chrono::minutes(180), usual);
  ASSERT_TRUE(run());
  const Json violations = read("processing/output/constraint_violations.json")["violations"];
  ASSERT_FALSE(violations.empty());
  EXPECT_EQ(violations[0]["constraint_check_type"], "baseline_drift_check");
  EXPECT_TRUE(read_text_file(root() / "output/message")->starts_with("CompletedWithViolations: "));
  EXPECT_LT(event()["value"], 1);
  EXPECT_EQ(event()["drift"], true);

  capture("19", 260, std::chrono::minutes(100), odd);
  std::rewind(events_);
  ASSERT_TRUE(run());
  EXPECT_GT(event()["value"], 1);
  EXPECT_EQ(event()["environment"], "dev");
  EXPECT_EQ(event()["workspace"], "w1");
}

TEST_F(MonitorTest, nothing_that_is_written_quotes_a_prompt) {
  capture("21", 250, std::chrono::minutes(5), [](int) { return std::string("a secret of somebody"); });
  ASSERT_TRUE(run());
  const auto files = list_files(root()).value();
  for (const auto& path : files) {
    if (path.starts_with("processing/input/")) continue;
    EXPECT_EQ(read_text_file(root() / path)->find("secret"), std::string::npos) << path;
  }
}

TEST_F(MonitorTest, too_few_prompts_or_none_are_undecided_and_no_failure) {
  for (int count : {0, 10, 199}) {
    if (count > 0) capture("21", count, std::chrono::minutes(5), odd);
    if (count == 199) {
      ASSERT_TRUE(std::filesystem::remove(root() / "processing/input/captures/redoubt-dev/main/2023/11/14/21/10.jsonl"));
    }
    ASSERT_TRUE(run());
    EXPECT_EQ(read("processing/output/drift.json")["decided"], false);
    EXPECT_EQ(read("processing/output/drift.json")["rows"], count);
    EXPECT_EQ(read("processing/output/statistics.json")["dataset"]["item_count"], count);
    EXPECT_TRUE(read("processing/output/constraint_violations.json")["violations"].empty());
    EXPECT_TRUE(read_text_file(root() / "output/message")->starts_with("Completed: undecided"));
  }
  EXPECT_EQ(event()["event"], "undecided");
  EXPECT_FALSE(event().contains("value"));
}

TEST_F(MonitorTest, model_monitor_s_container_contract_is_kept) {
  capture("20", 250, std::chrono::minutes(90), odd);
  capture("21", 300, std::chrono::minutes(5), usual);  // after the end of what is asked for
  std::filesystem::rename(root() / "processing/input/captures", root() / "processing/endpointdata");
  variables_.insert({{"dataset_source", (root() / "processing/endpointdata").string()}, {"baseline_statistics", (root() / "processing/input/baseline/statistics.json").string()},
                     {"output_path", (root() / "processing/resultdata").string()}, {"start_time", to_rfc3339(kNow - std::chrono::minutes(120))}, {"end_time", to_rfc3339(kNow - std::chrono::minutes(60))},
                     {"publish_cloudwatch_metrics", "Enabled"}, {"sagemaker_monitoring_schedule_name", "redoubt-dev-dq"}});
  ASSERT_TRUE(run());
  EXPECT_EQ(read("processing/resultdata/statistics.json")["dataset"]["item_count"], 250);
  EXPECT_FALSE(read("processing/resultdata/constraint_violations.json")["violations"].empty());
  const Json metric = read("output/metrics/cloudwatch/cloudwatch_metrics.jsonl");
  EXPECT_EQ(metric["MetricName"], "DataDrift");
  EXPECT_EQ(metric["Dimensions"][1]["Value"], "redoubt-dev-dq");
}

TEST_F(MonitorTest, lines_that_are_no_captures_are_counted) {
  capture("21", 250, std::chrono::minutes(5), usual);
  write("processing/input/captures/junk.jsonl", "not JSON\n\n{}\n" + std::string((32 << 20) + 5, 'x') + "\n{}\nno line's end");
  ASSERT_TRUE(run());
  EXPECT_EQ(read("processing/output/drift.json")["unreadable_lines"], 5);
  EXPECT_EQ(read("processing/output/drift.json")["rows"], 250);
}

TEST_F(MonitorTest, a_baseline_or_a_variable_that_makes_no_sense_is_refused_by_name) {
  capture("21", 250, std::chrono::minutes(5), usual);
  variables_["REDOUBT_WINDOW_MINUTES"] = "an hour";
  EXPECT_EQ(run().error().where, "REDOUBT_WINDOW_MINUTES=an hour");
  variables_["REDOUBT_WINDOW_MINUTES"] = "60";
  variables_["end_time"] = "yesterday";
  EXPECT_EQ(run().error().where, "yesterday");
  variables_.erase("end_time");
  write("processing/input/baseline/statistics.json", "{}");
  EXPECT_EQ(run().error().code, ErrorCode::invalid_argument);
  ASSERT_TRUE(std::filesystem::remove(root() / "processing/input/baseline/statistics.json"));
  EXPECT_EQ(run().error().code, ErrorCode::not_found);
}

}  // namespace
}  // namespace redoubt::engine::drift
