// SPDX-License-Identifier: Apache-2.0
//
// The engine's image for work outside a workspace, built once into the user's cache and checked at each use.
#pragma once

#include <memory>

#include "base/progress.h"
#include "provider/image_store.h"
#include "provider/job_runner.h"

namespace redoubt::cli {

// redoubt-engine beside the running program; not_found says how to build it.
Result<std::filesystem::path> find_engine();

class EngineImage {
 public:
  static Result<std::unique_ptr<EngineImage>> open(Progress& progress);
  ~EngineImage();
  const Digest& image() const;
  provider::JobRunner& runner();

 private:
  struct State;
  explicit EngineImage(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace redoubt::cli
