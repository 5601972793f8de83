// SPDX-License-Identifier: Apache-2.0
//
// Which implementation stands behind each interface: a file of its own, or the `providers` block of a pipeline file.
#pragma once

#include <filesystem>

#include "base/json.h"
#include "base/yaml.h"

namespace redoubt::pipeline {

// The checked block with its defaults: a member an interface ("objects"), which holds one member, the kind that was chosen
// ("s3"), with its options; an interface that is not named is embedded. `aws` says how AWS is reached. Paths are absolute.
// invalid_argument with FILE:LINE.
Result<Json> load_providers(const std::filesystem::path& file);
// The same for the block of a pipeline file that was read already.
Result<Json> providers_of(const YamlDocument& pipeline_file);

// The chosen kind of an interface and its options; an empty kind where none was chosen. `providers` is what was loaded.
struct ProviderChoice {
  std::string kind;
  Json options;
};
ProviderChoice choice_of(const Json& providers, std::string_view interface);

}  // namespace redoubt::pipeline
