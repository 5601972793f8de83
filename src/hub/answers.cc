// SPDX-License-Identifier: Apache-2.0
#include "hub/answers.h"

#include <algorithm>
#include <optional>
#include <set>

#include "crypto/hash.h"

namespace redoubt::hub {

using http::Request;
using http::Response;

namespace {

constexpr std::size_t kPathsMax = 10'000;

Json file_entry(const RepositoryFile& file) {
  Json entry = {{"type", "file"}, {"path", file.path}, {"size", file.size}, {"oid", file.blob_id}};
  if (file.large) entry["lfs"] = {{"oid", file.sha256.hex()}, {"size", file.size}, {"pointerSize", file.pointer_size}};
  return entry;
}

// A folder's id is git's in the Hub; clients only show it.
Json folder_entry(const Repository& repository, const std::string& path) {
  return {{"type", "directory"}, {"path", path}, {"size", 0}, {"oid", crypto::sha256(repository.commit + "/" + path).hex().substr(0, 40)}};
}

bool is_folder(const Repository& repository, const std::string& path) {
  for (const auto& file : repository.files) {
    if (file.path.starts_with(path + "/")) return true;
  }
  return false;
}

using Paths = std::optional<std::vector<std::string>>;

// huggingface_hub sends a form: "paths=config.json&paths=a+b&expand=False".
Paths form_paths(std::string_view form) {
  std::vector<std::string> paths;
  while (!form.empty()) {
    std::string pair(form.substr(0, form.find('&')));
    form.remove_prefix(std::min(pair.size() + 1, form.size()));
    std::replace(pair.begin(), pair.end(), '+', ' ');
    const auto decoded = http::percent_decode(pair);
    if (!decoded || paths.size() == kPathsMax) return std::nullopt;
    if (decoded->starts_with("paths=")) paths.push_back(decoded->substr(6));
  }
  return paths.empty() ? Paths() : paths;
}

// Others send JSON: {"paths": [...]}, or one path alone.
Paths json_paths(std::string_view text) {
  const auto body = parse_json(text, "request");
  if (!body || !body->is_object() || !body->contains("paths")) return std::nullopt;
  const Json& paths = (*body)["paths"];
  if (paths.is_string()) return std::vector<std::string>{paths};
  const bool all_texts = paths.is_array() && std::all_of(paths.begin(), paths.end(), [](const Json& path) { return path.is_string(); });
  if (!all_texts || paths.size() > kPathsMax) return std::nullopt;
  return paths.get<std::vector<std::string>>();
}

Paths wanted_paths(const Request& request) {
  const auto* type = request.headers.find("content-type");
  const bool is_form = type != nullptr && type->starts_with("application/x-www-form-urlencoded");
  return is_form ? form_paths(request.body) : json_paths(request.body);
}

}  // namespace

Response json_answer(int status, const Json& body) { return {status, {{"Content-Type", "application/json"}}, dump_json(body), {}, 0, 0}; }

Response error_answer(int status, const char* code, std::string message) {
  Response response = json_answer(status, {{"error", message}});
  response.headers.add("X-Error-Code", code);
  response.headers.add("X-Error-Message", std::move(message));
  return response;
}

Response missing_repository() { return error_answer(404, "RepoNotFound", "Repository not found"); }
Response missing_revision() { return error_answer(404, "RevisionNotFound", "Invalid rev id"); }
Response missing_entry() { return error_answer(404, "EntryNotFound", "Entry not found"); }

Json info_of(const Repository& repository) {
  Json siblings = Json::array();
  for (const auto& file : repository.files) {
    Json sibling = {{"rfilename", file.path}, {"size", file.size}, {"blobId", file.blob_id}};
    if (file.large) sibling["lfs"] = {{"sha256", file.sha256.hex()}, {"size", file.size}, {"pointerSize", file.pointer_size}};
    siblings.push_back(std::move(sibling));
  }
  return {{"_id", repository.commit.substr(0, 24)}, {"id", repository.id}, {"modelId", repository.id}, {"sha", repository.commit},
          {"lastModified", repository.modified}, {"private", true}, {"gated", false}, {"disabled", false}, {"tags", Json::array()},
          {"downloads", 0}, {"likes", 0}, {"siblings", siblings}};
}

Json tree_of(const Repository& repository, const std::string& folder, bool recursive) {
  const std::string below = folder.empty() ? "" : folder + "/";
  Json tree = Json::array();
  std::set<std::string> folders;
  for (const auto& file : repository.files) {
    if (!file.path.starts_with(below)) continue;
    std::size_t slash = file.path.find('/', below.size());
    const bool is_here = slash == file.path.npos;
    for (; slash != file.path.npos; slash = recursive ? file.path.find('/', slash + 1) : file.path.npos) {
      const std::string path = file.path.substr(0, slash);
      if (folders.insert(path).second) tree.push_back(folder_entry(repository, path));
    }
    if (recursive || is_here) tree.push_back(file_entry(file));
  }
  return tree;
}

Response paths_info(const Request& request, const Repository& repository) {
  const auto paths = wanted_paths(request);
  if (!paths) return error_answer(400, "BadRequest", "'paths' is a list of paths");
  Json found = Json::array();
  for (const auto& path : *paths) {
    if (const auto* file = repository.find(path)) {
      found.push_back(file_entry(*file));
    } else if (is_folder(repository, path)) {
      found.push_back(folder_entry(repository, path));
    }
  }
  return json_answer(200, found);
}

Json refs_of(const Repository& repository) {
  const Json branch = {{"name", "main"}, {"ref", "refs/heads/main"}, {"targetCommit", repository.commit}};
  return {{"branches", Json::array({branch})}, {"converts", Json::array()}, {"tags", Json::array()}};
}

Json commits_of(const Repository& repository) {
  return Json::array({{{"id", repository.commit}, {"title", "mirror"}, {"message", ""}, {"date", repository.modified}, {"authors", Json::array()}}});
}

}  // namespace redoubt::hub
