// SPDX-License-Identifier: Apache-2.0
#include "cli/engine_job.h"

#include "base/file.h"
#include "cli/engine_image.h"
#include "vault/job_files.h"

namespace redoubt::cli {

namespace fs = std::filesystem;
using provider::JobFile;

namespace {

constexpr std::uint64_t kOutputBytesMax = 1ull << 30;  // of one file

}  // namespace

Status EngineJobHandler::on_event(const Json& event) {
  if (on_token && json_or(event, "event", "") == "token") on_token(event);
  return ProgressHandler::on_event(event);
}

Status EngineJobHandler::on_model(const std::vector<JobFile>& files) { return keep_model ? keep_model(files) : Status(); }

Status EngineJobHandler::on_output(const std::vector<JobFile>& files) {
  for (const auto& file : files) {
    const auto contents = TRY(file.open());
    RandomAccessSource source(*contents);
    outputs[file.path] = to_text(TRY(read_all(source, kOutputBytesMax)));
  }
  return {};
}

Status write_files(const std::vector<JobFile>& files, const fs::path& folder) {
  for (const auto& file : files) {
    const fs::path path = folder / file.path;
    TRY(make_folder(path.parent_path()));
    const auto contents = TRY(file.open());
    RandomAccessSource source(*contents);
    auto out = TRY(AtomicFile::create(path));
    TRY(copy(source, *out));
    TRY(out->commit());
  }
  return {};
}

Result<std::vector<JobFile>> one_file(const std::string& path, const char* name) {
  if (!is_plain_file(path)) return fail(ErrorCode::not_found, "no such file", path);
  auto files = TRY(vault::job_files(fs::path(path)));
  files.at(0).path = name;
  return files;
}

Result<std::vector<JobFile>> data_file(const std::string& path, const std::string& channel) {
  return one_file(path, (channel + (path.ends_with(".csv") ? ".csv" : ".jsonl")).c_str());
}

Result<std::vector<JobFile>> model_files(const std::string& folder) {
  if (!is_folder(folder)) return fail(ErrorCode::not_found, "no such model folder", folder, "name a folder with config.json and model.safetensors");
  return vault::job_files(fs::path(folder));
}

Result<Json> run_engine_job(provider::JobSpec spec, EngineJobHandler& handler, Progress& progress, const char* what) {
  auto engine = TRY(EngineImage::open(progress));
  spec.image = engine->image().tagged();
  TRY(governance::check_job(TRY(engine->runner().run(spec, handler)), what, handler));
  return handler.result();
}

}  // namespace redoubt::cli
