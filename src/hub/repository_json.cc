// SPDX-License-Identifier: Apache-2.0
#include "hub/repository_json.h"

#include "base/file.h"

namespace redoubt::hub {
namespace {

Json to_json(const RepositoryFile& file) {
  Json json = {{"path", file.path}, {"size", file.size}, {"sha256", file.sha256.hex()}, {"blob_id", file.blob_id}, {"identity", file.identity.to_json()}};
  if (file.large) json["pointer_size"] = file.pointer_size;
  return json;
}

Result<RepositoryFile> parse_file(const Json& json, std::string_view where) {
  RepositoryFile file;
  file.path = TRY(json_string(json, "path", where));
  if (!is_safe_relative_path(file.path)) return fail(ErrorCode::invalid_argument, "not a path below the repository", std::string(where));
  file.size = static_cast<std::uint64_t>(TRY(json_integer(json, "size", where)));
  file.sha256 = TRY(Digest::parse(TRY(json_string(json, "sha256", where))));
  file.blob_id = TRY(json_string(json, "blob_id", where));
  file.identity = TRY(FileIdentity::from_json(TRY(json_array(json, "identity", where)), where));
  file.large = json.contains("pointer_size");
  if (file.large) file.pointer_size = static_cast<std::uint64_t>(TRY(json_integer(json, "pointer_size", where)));
  return file;
}

}  // namespace

std::string to_text(const Repository& repository, const std::string& scanner) {
  Json files = Json::array();
  for (const auto& file : repository.files) files.push_back(to_json(file));
  return Json{{"version", 1}, {"scanner", scanner}, {"id", repository.id}, {"commit", repository.commit}, {"modified", repository.modified}, {"findings", repository.findings}, {"files", std::move(files)}}.dump(1) + "\n";
}

Result<Repository> parse_repository(std::string_view text, const std::string& scanner, std::string_view where) {
  const Json json = TRY(parse_json(text, where));
  if (TRY(json_integer(json, "version", where)) != 1 || TRY(json_string(json, "scanner", where)) != scanner) return fail(ErrorCode::unsupported, "written by another program", std::string(where));
  Repository repository;
  repository.id = TRY(json_string(json, "id", where));
  repository.commit = TRY(json_string(json, "commit", where));
  repository.modified = TRY(json_string(json, "modified", where));
  for (const auto& finding : TRY(json_array(json, "findings", where))) {
    if (!finding.is_string()) return fail(ErrorCode::invalid_argument, "a finding is a text", std::string(where));
    repository.findings.push_back(finding);
  }
  for (const auto& file : TRY(json_array(json, "files", where))) repository.files.push_back(TRY(parse_file(file, where)));
  return repository;
}

}  // namespace redoubt::hub
