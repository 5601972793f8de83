// SPDX-License-Identifier: Apache-2.0
#include "pipeline/providers.h"

#include <fmt/format.h>

#include "base/schema.h"
#include "pipeline/schemas.h"

namespace redoubt::pipeline {
namespace fs = std::filesystem;
namespace {

constexpr const char* kBlock = "/providers";

Status check_choices(const YamlDocument& document, const Json& providers) {
  for (const auto& [interface, kinds] : providers.items()) {
    if (interface == "aws" || kinds.size() == 1) continue;
    const std::string known = Json::parse(kProvidersSchema)["properties"]["providers"]["properties"][interface]["properties"].begin().key();
    return fail(ErrorCode::invalid_argument, fmt::format("'{}' names {} providers", interface, kinds.empty() ? "no" : "several"),
                document.locate(fmt::format("{}/{}", kBlock, interface)), fmt::format("name one, such as '{}', or leave the block out", known));
  }
  return {};
}

Result<Json> check_providers(const YamlDocument& document) {
  Json providers = TRY(check_against_schema(document, Json::parse(kProvidersSchema))).at("providers");
  TRY(check_choices(document, providers));
  for (const char* member : {"/aws/ca_file", "/images/ecr/ca_file", "/audit/file/path"}) {
    const Json::json_pointer pointer(member);
    if (!providers.contains(pointer)) continue;
    auto& path = providers.at(pointer).get_ref<std::string&>();
    if (!path.empty()) path = fs::absolute(fs::path(document.file).parent_path() / path).lexically_normal().string();
  }
  return providers;
}

}  // namespace

Result<Json> load_providers(const fs::path& file) {
  const auto document = load_yaml(file);
  return document ? check_providers(*document) : fail(document.error());
}

Result<Json> providers_of(const YamlDocument& pipeline_file) {
  YamlDocument document{pipeline_file.file, {{"version", 1}, {"providers", pipeline_file.value.at("providers")}}, {}};
  for (const auto& [pointer, line] : pipeline_file.lines) {
    if (pointer.starts_with(kBlock)) document.lines.emplace(pointer, line);
  }
  return check_providers(document);
}

ProviderChoice choice_of(const Json& providers, std::string_view interface) {
  const auto block = providers.find(interface);
  if (block == providers.end() || block->empty()) return {};
  return {block->begin().key(), block->begin().value()};
}

}  // namespace redoubt::pipeline
