// SPDX-License-Identifier: Apache-2.0
//
// YAML configuration as JSON values that remember their lines.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "base/json.h"

namespace redoubt {

struct YamlDocument {
  std::string file;                  // as the user named it
  Json value;                        // scalars typed by YAML 1.2's core schema; quoted scalars are strings
  std::map<std::string, int> lines;  // JSON pointer ("/train/epochs") -> line, counted from 1

  // "FILE:LINE" of the value at a JSON pointer, or of its nearest parent.
  std::string locate(std::string_view pointer) const;
};

// Reads at most 1 MiB, 10,000 nodes and 32 levels; duplicate keys, tags and further documents are invalid_argument.
Result<YamlDocument> load_yaml(const std::filesystem::path& path);
Result<YamlDocument> parse_yaml(std::string_view text, std::string file);

}  // namespace redoubt
