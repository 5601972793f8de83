// SPDX-License-Identifier: Apache-2.0
//
// Runs an image's container as SageMaker's training platform does, for tests/aws/player.py:
//   container_tool IMAGES DIGEST ML [--entrypoint PROGRAM]... [--env NAME=VALUE]... ARGUMENT...
// IMAGES is an OCI layout, ML a folder laid out as /opt/ml: its input/, checkpoints/ and processing/ go in, checkpoints/ comes out
// while the container runs (half-written folders too), model/, output/ and processing/ at its end. Both outputs of the container are our stdout; the last
// line of our stderr is "exit N". SIGTERM ends the container.
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>

#include "base/file.h"
#include "provider/local/image_root.h"
#include "provider/local/image_store.h"
#include "sandbox/sandbox.h"

namespace redoubt {
namespace {

namespace fs = std::filesystem;

sandbox::Sandbox* running = nullptr;

Status put_in(sandbox::WorkFolder& work, const fs::path& ml, const std::string& folder) {
  TRY(work.make_folder(folder));
  if (!is_folder(ml / folder)) return {};
  for (const std::string& path : TRY(list_files(ml / folder))) {
    const auto file = TRY(FileReader::open(ml / folder / path));
    TRY(work.write_input(folder + "/" + path, *file));
  }
  return {};
}

Status take_out(sandbox::WorkFolder& work, const fs::path& ml, const std::string& folder, std::map<std::string, std::uint64_t>& seen) {
  for (const auto& entry : TRY(work.list(folder))) {
    if (seen.contains(entry.path) && seen[entry.path] == entry.size) continue;
    const auto file = work.open(folder + "/" + entry.path);
    if (!file && file.error().code == ErrorCode::not_found) continue;
    if (!file) return fail(file.error());
    const fs::path target = ml / folder / entry.path;
    TRY(make_folder(target.parent_path()));
    auto copy_of = TRY(AtomicFile::create(target));
    RandomAccessSource source(**file);
    TRY(copy(source, *copy_of));
    TRY(copy_of->commit());
    seen[entry.path] = entry.size;
  }
  return {};
}

class Speaker final : public sandbox::OutputHandler {
 public:
  Speaker(sandbox::WorkFolder& work, fs::path ml) : work_(work), ml_(std::move(ml)) {}
  Status on_stdout(std::string_view line) override { return say(line); }
  Status on_stderr(std::string_view line) override { return say(line); }
  Status on_tick() override {
    const auto taken = take_out(work_, ml_, "checkpoints", seen_);
    if (!taken && taken.error().code == ErrorCode::not_found) return {};
    return taken;
  }

 private:
  static Status say(std::string_view line) {
    std::printf("%.*s\n", static_cast<int>(line.size()), line.data());
    std::fflush(stdout);
    return {};
  }
  sandbox::WorkFolder& work_;
  fs::path ml_;
  std::map<std::string, std::uint64_t> seen_;
};

Result<int> run(const fs::path& images_folder, const std::string& digest, const fs::path& ml, std::vector<std::string> entry_point,
                const std::vector<std::string>& environment, const std::vector<std::string>& arguments) {
  const auto images = TRY(provider::local::LocalImageStore::open(images_folder));
  provider::local::ImageRoot image = TRY(provider::local::open_image(*images, digest));
  sandbox::Options options;
  options.layers = std::move(image.layers);
  const auto box = TRY(sandbox::Sandbox::create(std::move(options)));
  const bool is_processing = is_folder(ml / "processing");
  std::vector<std::string> in = {"input", "checkpoints"}, out = {"model", "output"};
  if (is_processing) in.push_back("processing"), out.push_back("processing");
  for (const auto& folder : in) TRY(put_in(box->work(), ml, folder));
  for (const char* folder : {"model", "output/data"}) TRY(box->work().make_folder(folder));
  sandbox::Command command{entry_point.empty() ? image.entry_point : std::move(entry_point), image.environment, {}};
  command.environment.push_back((is_processing ? "PROCESSING_JOB_NAME=" : "TRAINING_JOB_NAME=") + ml.filename().string());
  command.environment.insert(command.environment.end(), environment.begin(), environment.end());
  command.arguments.insert(command.arguments.end(), arguments.begin(), arguments.end());
  TRY(box->start(command));
  running = box.get();
  std::signal(SIGTERM, [](int) { running->kill(); });
  Speaker speaker(box->work(), ml);
  const sandbox::Exit exit = TRY(box->wait({}, speaker));
  std::signal(SIGTERM, SIG_IGN);
  TRY(speaker.on_tick());
  for (const auto& folder : out) {
    std::map<std::string, std::uint64_t> none;
    TRY(take_out(box->work(), ml, folder, none));
  }
  return exit.code;
}

}  // namespace
}  // namespace redoubt

int main(int count, char** given) {
  std::vector<std::string> rest(given + std::min(count, 4), given + count), entry_point, environment;
  while (rest.size() > 1 && (rest[0] == "--entrypoint" || rest[0] == "--env")) {
    (rest[0] == "--env" ? environment : entry_point).push_back(rest[1]);
    rest.erase(rest.begin(), rest.begin() + 2);
  }
  if (count < 4) return std::fputs("usage: container_tool IMAGES DIGEST ML [--entrypoint PROGRAM]... [--env NAME=VALUE]... ARGUMENT...\n", stderr), 2;
  const auto code = redoubt::run(given[1], given[2], given[3], entry_point, environment, rest);
  if (!code) return std::fprintf(stderr, "%s: %s\n", code.error().message.c_str(), code.error().where.c_str()), 1;
  std::fprintf(stderr, "exit %d\n", *code);
  return 0;
}
