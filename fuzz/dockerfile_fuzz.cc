// SPDX-License-Identifier: Apache-2.0
//
// A Dockerfile that somebody sent: taken apart, its words expanded, held to the rules. Lines stay within the text.
#include <algorithm>

#include "base/check.h"
#include "fuzz_input.h"
#include "stages/image/recipe/glob.h"
#include "stages/image/recipe/lint.h"
#include "stages/image/recipe/words.h"

using namespace redoubt;
using namespace redoubt::stages::image::recipe;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = fuzz_text(data, size);
  const auto half = text.substr(0, text.find('\n'));
  const auto rules = IgnoreRules::parse(text);
  (void)rules.ignores(half);
  (void)matches_path(half, text.substr(std::min(half.size() + 1, text.size())));
  const auto file = parse_dockerfile(text, "D");
  if (!file) return 0;
  const int lines = 1 + static_cast<int>(std::count(text.begin(), text.end(), '\n'));
  const Words words(file->escape, [](const std::string& name) { return name.size() % 2 == 0 ? std::optional<std::string>("a b") : std::nullopt; });
  for (const auto& instruction : file->instructions) {
    CHECK(instruction.line >= 1 && instruction.line <= lines);
    (void)instruction.json();
    (void)words.expand(instruction.text);
    (void)words.expand_and_split(instruction.text);
    (void)words.pairs(instruction.text);
  }
  for (const auto& finding : lint_dockerfile(*file)) CHECK(finding.line >= 1 && finding.line <= lines);
  return 0;
}
