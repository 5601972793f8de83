// SPDX-License-Identifier: Apache-2.0
//
// One job of the engine in the sandbox over a user's own folders, for commands that need no workspace.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "governance/job_outcome.h"
#include "provider/job_runner.h"

namespace redoubt::cli {

// Hands on the model that a job gives back, and keeps its output by file name.
class EngineJobHandler final : public governance::ProgressHandler {
 public:
  EngineJobHandler(Progress& progress, std::string label) : ProgressHandler(progress, std::move(label)) {}

  Status on_event(const Json& event) override;
  Status on_model(const std::vector<provider::JobFile>& files) override;
  Status on_output(const std::vector<provider::JobFile>& files) override;

  std::function<Status(const std::vector<provider::JobFile>&)> keep_model;  // takes the model's files; none: nobody does
  std::function<void(const Json&)> on_token;                                // hears the `token` events
  std::map<std::string, std::string> outputs;                               // contents by path
};

// Writes a job's files into a folder of the user's.
Status write_files(const std::vector<provider::JobFile>& files, const std::filesystem::path& folder);
// A file as the only one of its channel, `name` there.
Result<std::vector<provider::JobFile>> one_file(const std::string& path, const char* name);
// Data under its channel's name; the engine tells JSON lines from CSV.
Result<std::vector<provider::JobFile>> data_file(const std::string& path, const std::string& channel);
// A model's or adapter's folder; not_found where there is none.
Result<std::vector<provider::JobFile>> model_files(const std::string& folder);

// Runs the job to its end and answers its result event; `what` names it in an error.
Result<Json> run_engine_job(provider::JobSpec spec, EngineJobHandler& handler, Progress& progress, const char* what);

}  // namespace redoubt::cli
