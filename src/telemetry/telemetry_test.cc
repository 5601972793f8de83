// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "base/json.h"
#include "base/testing_full_disk.h"
#include "telemetry/access_log.h"
#include "telemetry/exposition.h"
#include "telemetry/options.h"
#include "telemetry/trace_exporter.h"

namespace redoubt::telemetry {
namespace {

RequestRecord record_of(const std::string& id) {
  RequestRecord record;
  record.id = id;
  record.method = "POST";
  record.route = "/v1/chat/completions";
  record.key_id = "0123456789ab";
  record.tenant = "bank";
  record.model = "bot/1";
  record.operation = "chat";
  record.status = 200;
  record.finish_reason = "stop";
  record.prompt_tokens = 7;
  record.completion_tokens = 3;
  record.begun = TimePoint{std::chrono::milliseconds{1'700'000'000'000}};
  record.ended = record.begun + std::chrono::milliseconds(42);
  record.first_token_ms = 5;
  record.trace = {"4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", true};
  return record;
}

std::vector<Json> lines_of(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::vector<Json> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(Json::parse(line));
  return lines;
}

// Examples of www.w3.org/TR/trace-context.
TEST(TraceContext, is_read_as_the_recommendation_writes_it) {
  const auto known = parse_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
  ASSERT_TRUE(known);
  EXPECT_EQ(known->trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_EQ(known->span_id, "00f067aa0ba902b7");
  EXPECT_TRUE(known->sampled);
  EXPECT_EQ(to_traceparent(*known), "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
  EXPECT_FALSE(parse_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00")->sampled);
  EXPECT_TRUE(parse_traceparent("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-the-future-holds"));
  for (const char* bad : {"", "00", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
                          "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
                          "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.what"})
    EXPECT_FALSE(parse_traceparent(bad)) << bad;
  const auto below = new_span(known, false);
  EXPECT_EQ(below.trace_id, known->trace_id);
  EXPECT_NE(below.span_id, known->span_id);
  EXPECT_TRUE(below.sampled);
}

TEST(AccessLog, has_a_line_for_each_request) {
  const auto folder = *TemporaryFolder::create();
  AccessLogOptions options;
  options.file = folder.path() / "access.log";
  { const auto log = AccessLog::create(options).value(); for (const char* id : {"a", "b"}) log->tell(record_of(id)); }
  const auto lines = lines_of(options.file);
  ASSERT_EQ(lines.size(), 2u);
  const Json expected = {{"time", "2023-11-14T22:13:20.000Z"}, {"id", "b"}, {"method", "POST"}, {"route", "/v1/chat/completions"}, {"status", 200}, {"key", "0123456789ab"}, {"tenant", "bank"},
                         {"duration_ms", 42}, {"trace", "4bf92f3577b34da6a3ce929d0e0e4736"}, {"model", "bot/1"}, {"prompt_tokens", 7}, {"completion_tokens", 3}, {"cached_tokens", 0},
                         {"first_token_ms", 5}, {"finish_reason", "stop"}};
  EXPECT_EQ(lines[1], expected);
}

TEST(AccessLog, is_turned_over_and_keeps_as_many_files_as_it_may) {
  const auto folder = *TemporaryFolder::create();
  AccessLogOptions options;
  options.file = folder.path() / "access.log";
  options.bytes_max = 1024;
  options.files = 3;
  options.queue = {.batch = 1, .wait_ms = 1};
  { const auto log = AccessLog::create(options).value(); for (int i = 0; i < 40; ++i) log->tell(record_of(std::to_string(i))); }
  EXPECT_EQ(lines_of(options.file).back()["id"], "39");
  for (const char* end : {"", ".1", ".2"}) {
    const std::filesystem::path file = options.file.string() + end;
    ASSERT_TRUE(std::filesystem::exists(file)) << end;
    EXPECT_LE(std::filesystem::file_size(file), 1024u);
  }
  EXPECT_FALSE(std::filesystem::exists(options.file.string() + ".3"));
  // What is there is added to.
  { const auto log = AccessLog::create(options).value(); }
  EXPECT_EQ(lines_of(options.file).back()["id"], "39");
}

TEST(AccessLog, what_can_not_be_written_is_counted) {
  std::atomic<std::uint64_t> lost = 0;
  AccessLogOptions options;
  options.file = "/dev/full";
  EXPECT_FALSE(AccessLog::create(options)) << "no file";
  options.file = "/nowhere/access.log";
  EXPECT_FALSE(AccessLog::create(options));
  const auto folder = *TemporaryFolder::create();
  options.file = folder.path() / "access.log";
  options.bytes_max = 1024;
  options.files = 2;
  options.queue = {.batch = 1, .wait_ms = 1};
  options.on_lost = [&](std::uint64_t count) { lost += count; };
  { const auto log = AccessLog::create(options).value(); std::filesystem::create_directory(options.file.string() + ".1"); std::filesystem::create_directory(options.file.string() + ".1/x"); for (int i = 0; i < 10; ++i) log->tell(record_of("i")); }
  EXPECT_GT(lost, 0u);
}

TEST(AccessLog, what_a_power_cut_tore_stays_a_line_of_its_own) {
  const auto folder = *TemporaryFolder::create();
  AccessLogOptions options;
  options.file = folder.path() / "access.log";
  std::ofstream(options.file) << "{\"id\":\"before\"}\n{\"id\":\"to";
  { const auto log = AccessLog::create(options).value(); log->tell(record_of("after")); }
  std::ifstream file(options.file);
  std::string before, torn, after, none;
  EXPECT_TRUE(std::getline(file, before) && std::getline(file, torn) && std::getline(file, after));
  EXPECT_FALSE(std::getline(file, none));
  EXPECT_EQ(torn, "{\"id\":\"to");
  EXPECT_EQ(parse_json(after, "line").value()["id"], "after");
}

TEST(AccessLog, a_full_disk_tears_no_line) {
  const auto folder = *TemporaryFolder::create();
  std::atomic<std::uint64_t> lost = 0;
  AccessLogOptions options;
  options.file = folder.path() / "access.log";
  options.queue = {.batch = 1, .wait_ms = 1};
  options.on_lost = [&](std::uint64_t count) { lost += count; };
  { const auto log = AccessLog::create(options).value(); log->tell(record_of("before")); }
  {
    const auto log = AccessLog::create(options).value();
    {
      const FullDisk full(std::filesystem::file_size(options.file) + 100);
      log->tell(record_of("lost"));
      while (lost == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    log->tell(record_of("after"));
  }
  const auto lines = lines_of(options.file);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0]["id"], "before");
  EXPECT_EQ(lines[1]["id"], "after");
  EXPECT_EQ(lost, 1u);
}

TEST(BoundedQueue, never_waits_and_counts_what_does_not_fit) {
  std::atomic<std::uint64_t> lost = 0, worked = 0;
  std::atomic<bool> open = false;
  {
    BoundedQueue<int> queue({.entries_max = 10, .batch = 1, .wait_ms = 1}, [&](const std::vector<int>& taken) { while (!open) std::this_thread::yield(); worked += taken.size(); }, [&](std::uint64_t count) { lost += count; });
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < 1000; ++i) queue.put(i);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(1));
    open = true;
  }
  EXPECT_EQ(worked + lost, 1000u);
  EXPECT_GE(lost, 989u);
}

TEST(TraceExporter, goes_over_https_or_stays_on_this_machine) {
  const auto create = [](const char* url) {
    TraceOptions options;
    options.url = url;
    return TraceExporter::create(std::move(options)).has_value();
  };
  EXPECT_TRUE(create("http://127.0.0.1:4318/v1/traces"));
  EXPECT_TRUE(create("https://collector.example/v1/traces"));
  EXPECT_FALSE(create("http://collector.example/v1/traces"));
}

TEST(TraceExporter, counts_what_no_collector_took) {
  std::atomic<std::uint64_t> lost = 0;
  TraceOptions options;
  options.url = "http://127.0.0.1:1/v1/traces";
  options.attempts = 1;
  options.on_lost = [&](std::uint64_t count) { lost += count; };
  { const auto exporter = TraceExporter::create(std::move(options)).value(); for (int i = 0; i < 3; ++i) exporter->tell(record_of("i")); }
  EXPECT_EQ(lost, 3u);
}

TEST(Observation, is_told_once_even_if_nobody_ends_it) {
  struct Sink final : RequestSink {
    void tell(const RequestRecord& record) override { statuses.push_back(record.status); }
    std::vector<int> statuses;
  };
  const auto sink = std::make_shared<Sink>();
  const FakeClock clock;
  const Observation::Sinks sinks = {sink};
  { Observation seen({}, sinks, clock); seen.end(200); seen.end(500); }
  { Observation seen({}, sinks, clock); }
  EXPECT_EQ(sink->statuses, (std::vector<int>{200, 500}));
}

// The histogram and its answers are those of prometheus.io/docs/practices/histograms' estimation by linear interpolation.
TEST(Exposition, sums_and_estimates_quantiles_as_prometheus_does) {
  const auto parsed = parse_exposition("# HELP a b\n# TYPE a counter\na{x=\"1\",y=\"q\\\"\"} 2\na{x=\"2\"} 3.5\nt_bucket{le=\"0.1\"} 0\nt_bucket{le=\"0.5\"} 50\nt_bucket{le=\"1\"} 90\nt_bucket{le=\"+Inf\"} 100\n");
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->at(0).labels.at("y"), "q\"");
  const Exposition now(*parsed);
  EXPECT_DOUBLE_EQ(now.sum("a"), 5.5);
  EXPECT_DOUBLE_EQ(now.sum("none"), 0);
  EXPECT_DOUBLE_EQ(*now.quantile("t", 0.5, nullptr), 0.5);
  EXPECT_DOUBLE_EQ(*now.quantile("t", 0.25, nullptr), 0.3);
  EXPECT_DOUBLE_EQ(*now.quantile("t", 0.99, nullptr), 1);
  EXPECT_FALSE(now.quantile("t", 0.5, &now));
  EXPECT_FALSE(now.quantile("none", 0.5, nullptr));
  for (const char* bad : {"a", "a{x=\"1} 2", "a{x=\"1\"}", "a b", " 1"}) EXPECT_FALSE(parse_exposition(bad)) << bad;
}

TEST(TelemetryOptions, what_is_wrong_is_named) {
  EXPECT_EQ(read_telemetry({{"traces", {{"url", "https://c.example/v1/traces"}, {"share", 2}}}}).error().where, "deploy.telemetry");
  EXPECT_FALSE(read_telemetry({{"access_log", {{"file", "a"}, {"files", 0}}}}));
  EXPECT_FALSE(read_telemetry({{"other", 1}}));
  EXPECT_EQ(read_telemetry({{"access_log", {{"file", "a"}}}})->access_log->files, 8);
  EXPECT_FALSE(read_telemetry(Json::object())->traces);
}

}  // namespace
}  // namespace redoubt::telemetry
