// SPDX-License-Identifier: Apache-2.0
//
// YAML whose tags mean something, such as CloudFormation's functions. For documents that are nobody's configuration of ours.
#pragma once

#include <functional>

#include "base/yaml.h"

namespace redoubt {

// What a tag ("Ref", without its '!') makes of the value behind it; a scalar comes as the string it is. An error gets the file and line.
using YamlTagMeaning = std::function<Result<Json>(std::string_view tag, Json value)>;

// As parse_yaml, with its limits.
Result<YamlDocument> parse_tagged_yaml(std::string_view text, std::string file, const YamlTagMeaning& meaning);

}  // namespace redoubt
