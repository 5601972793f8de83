// SPDX-License-Identifier: Apache-2.0
//
// What is wrong with a recipe or an image, by the rules of hadolint (DL...) and of the CIS Docker benchmark, section 4, that can be
// told without running anything, and by rules of our own (RD...). docs/images.md lists them all.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "stages/image/oci/image.h"
#include "stages/image/recipe/dockerfile.h"

namespace redoubt::stages::image::recipe {

enum class Severity { style, info, warning, error };
const char* to_string(Severity severity);

struct LintFinding {
  std::string rule;      // "DL3006"
  Severity severity = Severity::warning;
  std::string path;      // the recipe, or a file of the image
  int line = 0;          // 0: no line
  std::string message;
  std::string cure;

  auto key() const { return std::tie(path, line, rule, message); }
};

struct LintRule {
  const char* id;
  Severity severity;
  const char* summary;
  const char* cure;
  const char* also;      // the CIS benchmark's number, or ""
};
const std::vector<LintRule>& lint_rules();

// How severe each rule is taken, and what stops a build.
struct LintPolicy {
  Severity refused_from = Severity::error;
  std::map<std::string, std::optional<Severity>> rules;  // nothing: off
  // config/image_lint.yaml, by its schema; an unknown rule is invalid_argument.
  static Result<LintPolicy> load(const std::filesystem::path& file);

  // Without what is off, with the severities of the policy, in order.
  std::vector<LintFinding> apply(std::vector<LintFinding> findings) const;
  bool refuses(const std::vector<LintFinding>& findings) const;
};

// A Dockerfile; what a comment "# hadolint ignore=DL..." names is left out, but for rules of our own.
std::vector<LintFinding> lint_dockerfile(const Dockerfile& dockerfile);
// A file, whatever it is: a Dockerfile that can't be read is the finding DL1000, a declaration is looked at as the Dockerfile that
// says the same. Errors of reading the file alone, and invalid_argument for a declaration that does not fit its schema.
Result<std::vector<LintFinding>> lint_recipe(const std::filesystem::path& file);
// A whole image: its configuration, and every file of every layer, those too that a later layer removes.
Result<std::vector<LintFinding>> lint_image(provider::ImageStore& images, const provider::ImageDescriptor& image, const oci::Platform& platform, Progress& progress);

Json to_json(const std::vector<LintFinding>& findings);

}  // namespace redoubt::stages::image::recipe
