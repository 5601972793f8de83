// SPDX-License-Identifier: Apache-2.0
//
// For tests of job runners: files out of text, and a handler that keeps all that a job gave back, as text.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/memory_object.h"
#include "provider/job_runner.h"

namespace redoubt::provider::testing {

inline JobFile file(std::string path, std::string text) {
  return {std::move(path), [text]() -> Result<std::unique_ptr<RandomAccess>> { return std::make_unique<MemoryObject>(to_bytes(text)); }};
}

inline std::string contents(const JobFile& file) {
  const auto opened = file.open();
  if (!opened) return "error: " + opened.error().message;
  Bytes bytes((*opened)->size());
  if (const Status read = (*opened)->read_at(0, bytes); !read) return "error: " + read.error().message;
  return to_text(bytes);
}

struct Kept : JobHandler {
  std::vector<std::string> events, logs, checkpoints, states;
  std::map<std::string, std::string> model, output;
  Status answer;  // to each event
  Status on_event(const Json& event) override { return events.push_back(dump_json(event)), answer; }
  Status on_log(std::string_view line) override { return logs.emplace_back(line), Status{}; }
  Status on_state(std::string_view state) override { return states.emplace_back(state), Status{}; }
  Status on_checkpoint(const std::string& name, const std::vector<JobFile>& files) override {
    for (const JobFile& part : files) checkpoints.push_back(name + "/" + part.path + "=" + contents(part));
    return {};
  }
  Status on_model(const std::vector<JobFile>& files) override { return keep(files, model); }
  Status on_output(const std::vector<JobFile>& files) override { return keep(files, output); }
  static Status keep(const std::vector<JobFile>& files, std::map<std::string, std::string>& into) {
    for (const JobFile& part : files) into[part.path] = contents(part);
    return {};
  }
};

}  // namespace redoubt::provider::testing
