// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/job_logs.h"

#include "provider/aws/about.h"

namespace redoubt::provider::aws {
namespace {

constexpr const char* kGroup = "/aws/sagemaker/TrainingJobs";
constexpr std::size_t kLogLineBytesMax = 4096;

std::string place_of(const std::string& stream) { return std::string("log group ") + kGroup + ", streams of " + stream; }

}  // namespace

Result<std::size_t> JobLogs::read_new(JobHandler& handler) {
  // One container a job: its streams are JOB/algo-1-TIME, one for every time it was started.
  const auto streams = client_.call_all("logs", "DescribeLogStreams", {{"logGroupName", kGroup}, {"logStreamNamePrefix", job_ + "/algo-1-"}}, "logStreams");
  // The group is made with the account's first job, the stream with the container's first line.
  if (!streams && streams.error().code == ErrorCode::not_found) return std::size_t{0};
  if (!streams) return fail_about(place_of(job_), streams.error());
  std::size_t lines = 0;
  for (const Json& stream : *streams) lines += TRY(read_stream(TRY(json_string(stream, "logStreamName", kGroup)), handler));
  return lines;
}

Result<std::size_t> JobLogs::read_stream(const std::string& stream, JobHandler& handler) {
  std::size_t lines = 0;
  for (;;) {
    Json request = {{"logGroupName", kGroup}, {"logStreamName", stream}, {"startFromHead", true}};
    std::string& place = places_[stream];
    if (!place.empty()) request["nextToken"] = place;
    const auto answer = client_.call("logs", "GetLogEvents", request);
    if (!answer && answer.error().code == ErrorCode::not_found) return lines;
    if (!answer) return fail_about(place_of(stream), answer.error());
    const Json events = json_or(*answer, "events", Json::array());
    const std::string before = std::exchange(place, json_or(*answer, "nextForwardToken", place.c_str()));
    for (const Json& event : events) {
      const std::string text = json_or(event, "message", "");
      for (std::size_t at = 0; at <= text.size();) {
        const auto end = std::min(text.find('\n', at), text.size());
        TRY(hand_over(std::string_view(text).substr(at, end - at), handler));
        at = end + 1;
      }
      ++lines;
    }
    if (events.empty() || place == before) return lines;
  }
}

Status JobLogs::hand_over(std::string_view line, JobHandler& handler) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (line.empty()) return {};
  const auto event = parse_json(line, "a line of the job", {.bytes_max = event_bytes_max_, .depth_max = 16});
  if (event && event->is_object()) return handler.on_event(*event);
  for (; line.size() > kLogLineBytesMax; line.remove_prefix(kLogLineBytesMax)) TRY(handler.on_log(line.substr(0, kLogLineBytesMax)));
  return handler.on_log(line);
}

}  // namespace redoubt::provider::aws
