// SPDX-License-Identifier: Apache-2.0
#include "provider/local/job_runner.h"

#include <algorithm>
#include <chrono>
#include <set>

#include "provider/local/image_root.h"

namespace redoubt::provider::local {
namespace {

constexpr std::size_t kFailureBytesMax = 1024;
constexpr std::uint64_t kPage = 4096;
constexpr std::string_view kUnfinished = ".tmp";

std::uint64_t in_pages(std::uint64_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

Result<std::vector<JobFile>> files_in(sandbox::WorkFolder& work, const std::string& folder) {
  std::vector<JobFile> files;
  for (const sandbox::FolderEntry& entry : TRY(work.list(folder))) {
    files.push_back({entry.path, [&work, path = folder + "/" + entry.path] { return work.open(path); }});
  }
  return files;
}

// What the job says while it runs.
class Listener final : public sandbox::OutputHandler {
 public:
  Listener(sandbox::WorkFolder& work, JobHandler& handler, std::size_t event_bytes_max)
      : work_(work), handler_(handler), event_bytes_max_(event_bytes_max) {}

  Status on_stdout(std::string_view line) override {
    auto event = parse_json(line, "stdout of the job", {.bytes_max = event_bytes_max_, .depth_max = 16});
    // A user's own trainer may print what it likes; only JSON objects are events.
    if (!event || !event->is_object()) return handler_.on_log(line.substr(0, 4096));
    return handler_.on_event(*event);
  }
  Status on_stderr(std::string_view line) override { return handler_.on_log(line); }
  Status on_tick() override {
    for (const std::string& name : TRY(work_.folders("checkpoints"))) {
      if (name.ends_with(kUnfinished) || seen_.contains(name)) continue;
      const auto files = files_in(work_, "checkpoints/" + name);
      if (!files && files.error().code == ErrorCode::not_found) continue;  // the job removed an old one while we looked
      if (!files) return fail(files.error());
      TRY(handler_.on_checkpoint(name, *files));
      seen_.insert(name);
    }
    return {};
  }
  // Those that the job was given.
  void skip(const std::string& name) { seen_.insert(name); }

 private:
  sandbox::WorkFolder& work_;
  JobHandler& handler_;
  std::size_t event_bytes_max_;
  std::set<std::string> seen_;
};

Status write_configuration(sandbox::WorkFolder& work, const JobSpec& spec) {
  Json channels = Json::object();
  for (const auto& [name, files] : spec.channels) {
    channels[name] = {{"TrainingInputMode", "File"}, {"S3DistributionType", "FullyReplicated"}, {"RecordWrapperType", "None"}};
  }
  TRY(work.write_input("input/config/hyperparameters.json", dump_json(spec.hyperparameters)));
  TRY(work.write_input("input/config/inputdataconfig.json", dump_json(channels)));
  return work.write_input("input/config/resourceconfig.json",
                          dump_json({{"current_host", "algo-1"}, {"hosts", {"algo-1"}}, {"network_interface_name", "lo"}}));
}

Status write_job(sandbox::WorkFolder& work, const JobSpec& spec) {
  TRY(write_configuration(work, spec));
  for (const char* folder : {"input/data", "model", "output/data", "checkpoints"}) TRY(work.make_folder(folder));
  for (const auto& [name, files] : spec.channels) {
    if (!is_safe_relative_path(name) || name.find('/') != name.npos) {
      return fail(ErrorCode::invalid_argument, "not a channel's name", name);
    }
    TRY(write_inputs(work, "input/data/" + name, files));
  }
  return write_inputs(work, "checkpoints", spec.checkpoints);
}

std::string how_it_ended(const sandbox::Exit& exit, const JobSpec& spec) {
  switch (exit.ending) {
    case sandbox::Ending::timed_out:
      return "the job was ended after " + std::to_string(spec.time_s_max) + " seconds";
    case sandbox::Ending::out_of_memory:
      return "the job needed more memory than its " + std::to_string(spec.memory_bytes_max >> 20) + " MiB";
    case sandbox::Ending::signalled:
      return "the job was ended by signal " + std::to_string(exit.code - 128);
    case sandbox::Ending::killed:
      return "the job was killed";
    case sandbox::Ending::exited:
      return exit.code == 0 ? "" : "the job ended with exit code " + std::to_string(exit.code);
  }
  return "";
}

std::string failure_text(sandbox::WorkFolder& work, const std::string& otherwise) {
  const auto file = work.open("output/failure");
  if (!file) return otherwise;
  Bytes text(std::min<std::uint64_t>((*file)->size(), kFailureBytesMax));
  if (text.empty() || !(*file)->read_at(0, text)) return otherwise;
  std::string why = to_text(text);
  why.erase(why.find_last_not_of(" \n") + 1);
  return why.empty() ? otherwise : why;
}

// /opt/ml holds inputs and outputs: the inputs' size comes on top of what the job may write.
Result<sandbox::Limits> limits_for(const JobSpec& spec) {
  sandbox::Limits limits;
  std::uint64_t inputs = 1 << 20;
  for (const auto& [name, files] : spec.channels) inputs += TRY(input_bytes(files));
  inputs += TRY(input_bytes(spec.checkpoints));
  limits.work_bytes_max = inputs + spec.output_bytes_max;
  // What the job writes there counts as its memory.
  limits.memory_bytes_max = spec.memory_bytes_max + spec.output_bytes_max;
  return limits;
}

}  // namespace

Result<std::uint64_t> input_bytes(const std::vector<JobFile>& files) {
  std::uint64_t bytes = 0;
  for (const JobFile& file : files) bytes += in_pages(TRY(file.open())->size());
  return bytes;
}

Status write_inputs(sandbox::WorkFolder& work, const std::string& folder, const std::vector<JobFile>& files) {
  TRY(work.make_folder(folder));
  for (const JobFile& file : files) {
    const auto contents = TRY(file.open());
    RandomAccessSource source(*contents);
    TRY(work.write_input(folder + "/" + file.path, source));
  }
  return {};
}

Result<JobResult> LocalJobRunner::run(const JobSpec& spec, JobHandler& handler) {
  if (spec.instances > 1)
    return fail(ErrorCode::unsupported, "a job of several machines in the local sandbox, which is one", "instance_count",
                "set 'ranks' for several processes on this machine, or choose SageMaker for jobs");
  ImageRoot image = TRY(open_image(images_, spec.image));
  sandbox::Options options;
  options.layers = std::move(image.layers);
  options.limits = TRY(limits_for(spec));
  options.require = options_.require;
  const auto box = TRY(sandbox::Sandbox::create(std::move(options)));
  sandbox::WorkFolder& work = box->work();
  TRY(write_job(work, spec));
  sandbox::Command command{std::move(image.entry_point), std::move(image.environment), {}};
  command.arguments.push_back(spec.entry_point);
  TRY(box->start(command));
  options_.on_confined(box->confinement());

  Listener listener(work, handler, options_.event_bytes_max);
  for (const JobFile& file : spec.checkpoints) listener.skip(file.path.substr(0, file.path.find('/')));
  sandbox::WaitOptions wait;
  wait.time_max = std::chrono::seconds(spec.time_s_max);
  wait.stdout_line_bytes_max = options_.event_bytes_max;
  const auto start = std::chrono::steady_clock::now();
  const sandbox::Exit exit = TRY(box->wait(wait, listener));
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  TRY(handler.on_usage({{"wall_seconds", seconds}, {"processor_seconds", box->usage().processor_seconds},
                        {"resident_bytes_peak", box->usage().resident_bytes_peak}}));
  TRY(listener.on_tick());
  JobResult result{exit.code, how_it_ended(exit, spec)};
  if (exit.ending == sandbox::Ending::exited && exit.code != 0) result.failure = failure_text(work, result.failure);
  TRY(handler.on_output(TRY(files_in(work, "output/data"))));
  if (exit.code == 0) TRY(handler.on_model(TRY(files_in(work, "model"))));
  return result;
}

}  // namespace redoubt::provider::local
