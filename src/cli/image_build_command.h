// SPDX-License-Identifier: Apache-2.0
//
// redoubt image build FOLDER: an image from a Dockerfile or a declaration.
#pragma once

#include "cli/image_sources.h"

namespace redoubt::cli {

struct ImageBuildOptions {
  std::string folder, recipe, tag, target, platform = "linux/amd64", compression = "none", layout, lint_policy;
  std::vector<std::string> arguments;
  RegistryOptions registry;
};
void add_image_build_options(CLI::App& command, ImageBuildOptions& options);
Result<int> build_from_recipe(Invocation& invocation, const ImageBuildOptions& options, const Output& output);

void add_image_lint_command(CLI::App& group, Invocation& invocation);  // image lint

}  // namespace redoubt::cli
