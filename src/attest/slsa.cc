// SPDX-License-Identifier: Apache-2.0
#include "attest/slsa.h"

namespace redoubt::attest {
namespace {

Result<std::map<std::string, Digest>> parse_dependencies(const Json& definition, std::string_view where) {
  std::map<std::string, Digest> dependencies;
  if (!definition.contains("resolvedDependencies")) return dependencies;
  for (const auto& item : TRY(json_array(definition, "resolvedDependencies", where))) {
    auto name = TRY(json_string(item, "name", where));
    const auto digest = TRY(Digest::parse(TRY(json_string(TRY(json_object(item, "digest", where)), "sha256", where))));
    if (!dependencies.emplace(std::move(name), digest).second) {
      return fail(ErrorCode::invalid_argument, "a dependency is named twice", std::string(where));
    }
  }
  return dependencies;
}

Result<Json> optional_object(const Json& object, const char* key, std::string_view where) {
  if (!object.contains(key)) return Json::object();
  return json_object(object, key, where);
}

}  // namespace

Json to_predicate(const Provenance& provenance) {
  Json dependencies = Json::array();
  for (const auto& [name, digest] : provenance.dependencies) {
    dependencies.push_back({{"name", name}, {"digest", {{"sha256", digest.hex()}}}});
  }
  return {{"buildDefinition",
           {{"buildType", provenance.build_type},
            {"externalParameters", provenance.external_parameters},
            {"internalParameters", provenance.internal_parameters},
            {"resolvedDependencies", std::move(dependencies)}}},
          {"runDetails",
           {{"builder", {{"id", provenance.builder_id}}},
            {"metadata",
             {{"invocationId", provenance.invocation_id},
              {"startedOn", to_rfc3339(provenance.started)},
              {"finishedOn", to_rfc3339(provenance.finished)}}}}}};
}

Result<Provenance> parse_provenance(const Json& predicate, std::string_view where) {
  const auto definition = TRY(json_object(predicate, "buildDefinition", where));
  const auto details = TRY(json_object(predicate, "runDetails", where));
  const auto metadata = TRY(json_object(details, "metadata", where));
  Provenance provenance;
  provenance.build_type = TRY(json_string(definition, "buildType", where));
  provenance.external_parameters = TRY(json_object(definition, "externalParameters", where));
  provenance.internal_parameters = TRY(optional_object(definition, "internalParameters", where));
  provenance.dependencies = TRY(parse_dependencies(definition, where));
  provenance.builder_id = TRY(json_string(TRY(json_object(details, "builder", where)), "id", where));
  provenance.invocation_id = TRY(json_string(metadata, "invocationId", where));
  provenance.started = TRY(parse_rfc3339(TRY(json_string(metadata, "startedOn", where))));
  provenance.finished = TRY(parse_rfc3339(TRY(json_string(metadata, "finishedOn", where))));
  return provenance;
}

}  // namespace redoubt::attest
