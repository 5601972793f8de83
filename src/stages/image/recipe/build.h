// SPDX-License-Identifier: Apache-2.0
//
// Images from a recipe: a Dockerfile without RUN, or a declaration in YAML (config/schema/image.schema.json). Nothing of the image is
// run while it is built, so what comes out is decided by the files that go in, and two machines make the same bytes.
#pragma once

#include <functional>
#include <map>
#include <optional>

#include "stages/image/recipe/dockerfile.h"
#include "stages/image/recipe/stage.h"

namespace redoubt::stages::image::recipe {

// The image that a FROM or a --from names; errors say where it was looked for.
using FindBase = std::function<Result<Base>(const std::string& name, const oci::Platform& platform)>;

struct BuildInput {
  std::filesystem::path recipe;             // the Dockerfile or the declaration
  std::filesystem::path folder;             // the context
  std::map<std::string, std::string> arguments = {};  // --build-arg
  std::string target = {};                  // a stage's name; empty: the last one
  oci::Platform platform = {};
  std::uint64_t seconds = 0;
  FindBase find_base;
};

struct Recipe {
  Stage stage;                       // the one that was asked for, ready to be written
  std::string name;                  // of a declaration: "NAME:TAG"; else empty
  std::map<std::string, Digest> bases;  // every image that was read, by the name in the recipe
  TemporaryFolder files;             // what was taken out of other images, until the layers are written
};

// Every refusal names FILE:LINE, the instruction and what to do instead.
Result<Recipe> read_dockerfile(const BuildInput& input, Progress& progress);
Result<Recipe> read_declaration(const BuildInput& input, Progress& progress);
// By the ending of its name: ".yaml" and ".yml" are declarations.
Result<Recipe> read_recipe(const BuildInput& input, Progress& progress);

// Octal, three or four digits; invalid_argument.
Result<unsigned> parse_mode(const std::string& text);
// "8080", "8080/tcp", "53/udp", "8000-8010": as the configuration has them; invalid_argument.
Result<std::vector<std::string>> parse_ports(const std::string& text);
// "SIGTERM", "TERM", "15", "SIGRTMIN+3"; invalid_argument.
// USER[:GROUP], each a name or a number; invalid_argument.
Status check_user(const std::string& text);
// Whether digits alone are root's number: zero, or one so large that runtimes have wrapped it round (CVE-2024-40635).
bool is_number_of_root(std::string_view text);
Status check_signal(const std::string& text);

}  // namespace redoubt::stages::image::recipe
