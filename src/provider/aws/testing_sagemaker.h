// SPDX-License-Identifier: Apache-2.0
//
// For tests: a client behind which training jobs are played. A job is a function that runs when the job is created; it ends
// after a number of looks. Any operation can be made to fail.
#pragma once

#include <archive.h>
#include <archive_entry.h>

#include <deque>
#include <functional>
#include <map>

#include "provider/aws/api/client.h"
#include "provider/job_runner.h"

namespace redoubt::provider::aws {

inline Bytes make_archive(const std::vector<std::pair<std::string, std::string>>& files, mode_t type = AE_IFREG) {
  std::vector<char> buffer(1 << 20);
  std::size_t used = 0;
  archive* tar = archive_write_new();
  archive_write_add_filter_gzip(tar);
  archive_write_set_format_pax_restricted(tar);
  archive_write_open_memory(tar, buffer.data(), buffer.size(), &used);
  for (const auto& [path, contents] : files) {
    archive_entry* header = archive_entry_new();
    archive_entry_set_pathname(header, path.c_str());
    archive_entry_set_filetype(header, type);
    archive_entry_set_perm(header, 0644);
    archive_entry_set_size(header, type == AE_IFREG ? static_cast<la_int64_t>(contents.size()) : 0);
    if (type == AE_IFLNK) archive_entry_set_symlink(header, contents.c_str());
    archive_write_header(tar, header);
    if (type == AE_IFREG) archive_write_data(tar, contents.data(), contents.size());
    archive_entry_free(header);
  }
  archive_write_close(tar);
  archive_write_free(tar);
  return {buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(used)};
}

struct PlayedJob {
  Json request;
  int looks_left = 1;  // then it has the status below
  std::string status = "Completed", detail = "Completed", reason;
  std::vector<std::string> lines;
  bool stopped = false;
};

class PlayedSagemaker final : public Client {
 public:
  std::function<void(PlayedJob&)> container = [](PlayedJob&) {};
  std::function<void(PlayedJob&)> on_look = [](PlayedJob&) {};
  std::map<std::string, PlayedJob> jobs;
  std::vector<std::string> calls;                    // "CreateTrainingJob", in order
  std::map<std::string, std::deque<Error>> refuses;  // operation -> what its next calls answer
  bool lists_late = false;                           // a listing does not know of new jobs yet

  Result<Json> call(std::string_view, std::string_view operation, const Json& input = Json::object()) override {
    const std::string name(operation);
    calls.push_back(name);
    if (auto& waiting = refuses[name]; !waiting.empty()) {
      const Error error = waiting.front();
      waiting.pop_front();
      return fail(error);
    }
    if (name == "CreateTrainingJob") return create(input);
    if (name == "DescribeTrainingJob") return describe(input["TrainingJobName"]);
    if (name == "StopTrainingJob") return stop(jobs[input["TrainingJobName"]]);
    if (name == "GetLogEvents") return log(input);
    return Json::object();
  }
  Result<Json> call_all(std::string_view service, std::string_view operation, const Json& input, std::string_view items) override {
    TRY(call(service, operation, input));
    Json found = Json::array();
    for (const auto& [name, job] : jobs) {
      if (items == "TrainingJobSummaries" && !lists_late && name.starts_with(input["NameContains"].get<std::string>())) {
        found.push_back({{"TrainingJobName", name}, {"TrainingJobStatus", job.looks_left > 0 ? "InProgress" : job.status}});
      }
      if (items == "logStreams" && input["logStreamNamePrefix"] == name + "/algo-1-" && !job.lines.empty()) found.push_back({{"logStreamName", name + "/algo-1-17"}});
    }
    return found;
  }
  Result<Json> wait_until(std::string_view, std::string_view, const Json&, const std::function<Result<bool>(const Json&)>&, const WaitOptions&) override {
    return fail(ErrorCode::unsupported, "not played");
  }
  Result<RestAnswer> send(const RestRequest&, Sink&) override { return fail(ErrorCode::unsupported, "not played"); }
  Status act_as(const std::string&) override { return {}; }
  void give_up() override {}
  const std::string& region() const override { return region_; }
  const std::string& partition() const override { return partition_; }
  Result<std::string> account() override { return std::string("123456789012"); }

 private:
  Result<Json> create(const Json& input) {
    const std::string name = input["TrainingJobName"];
    if (jobs.contains(name)) return fail(ErrorCode::already_exists, "ResourceInUse: there is one");
    PlayedJob& job = jobs[name];
    job.request = input;
    container(job);
    return Json{{"TrainingJobArn", "arn:aws:sagemaker:eu-central-1:123456789012:training-job/" + name}};
  }
  Result<Json> describe(const std::string& name) {
    if (!jobs.contains(name)) return fail(ErrorCode::invalid_argument, "ValidationException: Requested resource not found.");
    PlayedJob& job = jobs[name];
    on_look(job);
    const bool over = job.looks_left <= 0 || --job.looks_left == 0;
    Json answer = {{"TrainingJobName", name}, {"TrainingJobStatus", over ? job.status : "InProgress"}, {"SecondaryStatus", over ? job.detail : "Training"}};
    if (over && !job.reason.empty()) answer["FailureReason"] = job.reason;
    return answer;
  }
  static Result<Json> stop(PlayedJob& job) {
    job.stopped = true;
    job.looks_left = 1;
    job.status = job.detail = "Stopped";
    return Json::object();
  }
  // Two lines at a time, as a service with pages.
  Result<Json> log(const Json& input) {
    const std::string stream = input["logStreamName"];
    const auto& lines = jobs[stream.substr(0, stream.find('/'))].lines;
    std::size_t at = std::stoul(input.value("nextToken", "0"));
    Json events = Json::array();
    for (int i = 0; i < 2 && at < lines.size(); ++i) events.push_back({{"message", lines[at++]}, {"timestamp", 1}});
    return Json{{"events", events}, {"nextForwardToken", std::to_string(at)}};
  }
  std::string region_ = "eu-central-1", partition_ = "aws";
};

}  // namespace redoubt::provider::aws
