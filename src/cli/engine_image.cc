// SPDX-License-Identifier: Apache-2.0
#include "cli/engine_image.h"

#include <cstdlib>

#include "base/file.h"
#include "provider/local/image_store.h"
#include "provider/local/job_runner.h"
#include "stages/image/build.h"

namespace redoubt::cli {
namespace fs = std::filesystem;
namespace {

Result<fs::path> cache_folder() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  if (cache != nullptr && *cache != '\0') return fs::path(cache) / "redoubt";
  if (home == nullptr || *home == '\0') return fail(ErrorCode::invalid_argument, "there is no home folder for the engine's image", "$HOME", "set HOME or XDG_CACHE_HOME");
  return fs::path(home) / ".cache/redoubt";
}

}  // namespace

struct EngineImage::State {
  std::unique_ptr<provider::local::LocalImageStore> images;
  std::unique_ptr<provider::local::LocalJobRunner> runner;
  Digest image;
};

EngineImage::EngineImage(std::unique_ptr<State> state) : state_(std::move(state)) {}
EngineImage::~EngineImage() = default;

Result<fs::path> find_engine() {
  std::error_code error;
  const fs::path engine = fs::read_symlink("/proc/self/exe", error).parent_path() / "redoubt-engine";
  if (fs::is_regular_file(engine, error)) return engine;
  return fail(ErrorCode::not_found, "redoubt-engine does not lie beside this program", engine.string(), "build it with ./scripts/build");
}

Result<std::unique_ptr<EngineImage>> EngineImage::open(Progress& progress) {
  auto state = std::make_unique<State>();
  state->images = TRY(provider::local::LocalImageStore::open(TRY(cache_folder()) / "images"));
  const stages::image::BuildOptions options{TRY(find_engine()), "redoubt-engine", REDOUBT_VERSION};
  const auto contents = TRY(stages::image::collect_contents(options, progress));
  const auto known = state->images->resolve(stages::image::tag_of(options, contents));
  state->image = known ? known->digest : TRY(stages::image::build_image(options, contents, *state->images, progress)).manifest.digest;
  state->runner = std::make_unique<provider::local::LocalJobRunner>(provider::local::LocalJobRunnerOptions{}, *state->images);
  return std::unique_ptr<EngineImage>(new EngineImage(std::move(state)));
}

const Digest& EngineImage::image() const { return state_->image; }
provider::JobRunner& EngineImage::runner() { return *state_->runner; }

}  // namespace redoubt::cli
