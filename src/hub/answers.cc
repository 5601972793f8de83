// SPDX-License-Identifier: Apache-2.0
#include "hub/answers.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>
#include <unordered_map>

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

bool holds_folder(const Repository& repository, const std::string& path) {
  for (const auto& file : repository.files) {
    if (file.path.starts_with(path + "/")) return true;
  }
  return false;
}

bool says_true(std::string_view value) { return http::equal_ignoring_case(value, "true") || value == "1"; }

// What a request for some paths asks: which, and whether with their last commits.
struct PathsWish {
  std::vector<std::string> paths;
  bool expand = false;
};

// huggingface_hub sends a form: "paths=config.json&paths=a+b&expand=False".
std::optional<PathsWish> form_paths(std::string_view form) {
  PathsWish wish;
  while (!form.empty()) {
    std::string pair(form.substr(0, form.find('&')));
    form.remove_prefix(std::min(pair.size() + 1, form.size()));
    std::replace(pair.begin(), pair.end(), '+', ' ');
    const auto decoded = http::percent_decode(pair);
    if (!decoded || wish.paths.size() == kPathsMax) return std::nullopt;
    if (decoded->starts_with("paths=")) wish.paths.push_back(decoded->substr(6));
    if (decoded->starts_with("expand=")) wish.expand = says_true(std::string_view(*decoded).substr(7));
  }
  return wish.paths.empty() ? std::nullopt : std::optional(std::move(wish));
}

// Others send JSON: {"paths": [...]}, or one path alone.
std::optional<PathsWish> json_paths(std::string_view text) {
  const auto body = parse_json(text, "request");
  if (!body || !body->is_object() || !body->contains("paths")) return std::nullopt;
  const Json& paths = (*body)["paths"];
  PathsWish wish{{}, json_or(*body, "expand", Json(false)) == true};
  if (paths.is_string()) wish.paths.push_back(paths);
  if (paths.is_string()) return wish;
  const bool all_texts = paths.is_array() && std::all_of(paths.begin(), paths.end(), [](const Json& path) { return path.is_string(); });
  if (!all_texts || paths.size() > kPathsMax) return std::nullopt;
  wish.paths = paths.get<std::vector<std::string>>();
  return wish;
}

std::optional<PathsWish> wanted_paths(const Request& request) {
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

Response gated() { return error_answer(403, "GatedRepo", "Access to this model is restricted; ask whoever runs the mirror for a grant"); }

Response quarantined(const std::vector<std::string>& findings) {
  Response response = error_answer(403, "Quarantined", "Access to this resource is disabled.");
  response.body = dump_json({{"error", "Access to this resource is disabled."}, {"findings", findings}});
  return response;
}

std::string next_link(const Request& request, std::size_t cursor) {
  std::string query;
  for (std::string_view rest = request.query; !rest.empty();) {
    const auto pair = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(pair.size() + 1, rest.size()));
    if (!pair.starts_with("cursor=")) query += std::string(pair) + "&";
  }
  const auto* host = request.headers.find("host");
  return "<https://" + (host == nullptr ? std::string("localhost") : *host) + request.path + "?" + query + "cursor=" + std::to_string(cursor) + ">; rel=\"next\"";
}

Result<Page> page_of(std::string_view query, std::size_t count_max) {
  const auto number = [&](const char* name, std::size_t fallback) -> Result<std::size_t> {
    const auto text = TRY(http::query_value(query, name));
    if (!text) return fallback;
    std::size_t value = 0;
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
    if (error != std::errc() || end != text->data() + text->size()) return fail(ErrorCode::invalid_argument, std::string("'") + name + "' is no number");
    return value;
  };
  const std::size_t first = TRY(number("cursor", 0)), count = TRY(number("limit", count_max));
  return Page{first, std::clamp<std::size_t>(count, 1, count_max)};
}

Json info_of(const Repository& repository, bool is_gated) {
  Json siblings = Json::array();
  std::set<std::string> tags;
  std::uint64_t used = 0;
  for (const auto& file : repository.files) {
    Json sibling = {{"rfilename", file.path}, {"size", file.size}, {"blobId", file.blob_id}};
    if (file.large) sibling["lfs"] = {{"sha256", file.sha256.hex()}, {"size", file.size}, {"pointerSize", file.pointer_size}};
    siblings.push_back(std::move(sibling));
    used += file.size;
    if (file.path.ends_with(".safetensors")) tags.insert("safetensors");
    if (file.path.ends_with(".gguf")) tags.insert("gguf");
  }
  return {{"_id", repository.commit.substr(0, 24)}, {"id", repository.id}, {"modelId", repository.id}, {"author", repository.id.substr(0, repository.id.find('/'))},
          {"sha", repository.commit}, {"lastModified", repository.modified}, {"createdAt", repository.modified}, {"private", true},
          {"gated", is_gated ? Json("manual") : Json(false)}, {"disabled", false}, {"tags", tags}, {"downloads", 0}, {"likes", 0}, {"usedStorage", used},
          {"siblings", siblings}, {"securityRepoStatus", {{"scansDone", true}, {"filesWithIssues", Json::array()}}}};
}

namespace {

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

bool is_true(std::string_view query, const char* name) {
  const auto value = http::query_value(query, name);
  return value && *value && says_true(**value);
}

// Finds the oldest commit from which on a path has been as it is.
class LastChanges {
 public:
  explicit LastChanges(const std::vector<Commit>& history) : history_(history) {}

  const Commit& of(const std::string& path) {
    const std::string now = state(0, path);
    std::size_t at = 0;
    while (at + 1 < history_.size() && state(at + 1, path) == now) ++at;
    return history_[at];
  }

 private:
  // What stands at a path: a file's contents, or those of all files below a folder.
  std::string state(std::size_t commit, const std::string& path) {
    const auto& files = history_[commit].repository.files;
    if (commit == blobs_.size()) {
      auto& blobs = blobs_.emplace_back();
      for (const auto& file : files) blobs.emplace(file.path, file.blob_id);
    }
    if (const auto found = blobs_[commit].find(path); found != blobs_[commit].end()) return std::string(found->second);
    std::string listing;
    for (const auto& file : files) {
      if (file.path.starts_with(path + "/")) listing += file.path + "\n" + file.blob_id + "\n";
    }
    return listing;
  }

  const std::vector<Commit>& history_;
  std::vector<std::unordered_map<std::string_view, std::string_view>> blobs_;  // of the commits that were looked at
};

// What the Hub adds with `expand`. A mirror serves nothing that the scan found fault with.
void expand_entry(Json& entry, LastChanges& changes) {
  const Commit& commit = changes.of(entry["path"].get_ref<const std::string&>());
  entry["lastCommit"] = {{"id", commit.repository.commit}, {"title", commit.title}, {"date", commit.repository.modified}};
  if (entry["type"] == "file") entry["securityFileStatus"] = {{"status", "safe"}, {"avScan", nullptr}, {"pickleImportScan", nullptr}};
}

}  // namespace

bool wants_last_commits(const Request& request) {
  if (request.method != "POST") return is_true(request.query, "expand");
  const auto wish = wanted_paths(request);
  return wish && wish->expand;
}

Response tree_answer(const Request& request, const std::vector<Commit>& history, const std::string& folder) {
  const Repository& repository = history[0].repository;
  const auto page = page_of(request.query, kPageMax);
  if (!page) return error_answer(400, "BadRequest", page.error().message);
  Json tree = tree_of(repository, folder, is_true(request.query, "recursive"));
  if (tree.empty() && !folder.empty()) return missing_entry();
  const std::size_t first = std::min(page->first, tree.size()), last = std::min(tree.size(), first + page->count);
  const bool expand = is_true(request.query, "expand");
  LastChanges changes(history);
  Json entries = Json::array();
  for (std::size_t i = first; i < last; ++i) {
    entries.push_back(std::move(tree[i]));
    if (expand) expand_entry(entries.back(), changes);
  }
  Response response = json_answer(200, entries);
  if (last < tree.size()) response.headers.add("Link", next_link(request, last));
  return response;
}

Response paths_info(const Request& request, const std::vector<Commit>& history) {
  const Repository& repository = history[0].repository;
  const auto wish = wanted_paths(request);
  if (!wish) return error_answer(400, "BadRequest", "'paths' is a list of paths");
  LastChanges changes(history);
  Json found = Json::array();
  for (const auto& path : wish->paths) {
    if (const auto* file = repository.find(path)) {
      found.push_back(file_entry(*file));
    } else if (holds_folder(repository, path)) {
      found.push_back(folder_entry(repository, path));
    } else {
      continue;
    }
    if (wish->expand) expand_entry(found.back(), changes);
  }
  return json_answer(200, found);
}

Json refs_of(const Refs& refs) {
  Json branches = Json::array(), tags = Json::array();
  for (const auto& [name, commit] : refs.branches) branches.push_back({{"name", name}, {"ref", "refs/heads/" + name}, {"targetCommit", commit}});
  for (const auto& [name, commit] : refs.tags) tags.push_back({{"name", name}, {"ref", "refs/tags/" + name}, {"targetCommit", commit}});
  return {{"branches", std::move(branches)}, {"converts", Json::array()}, {"tags", std::move(tags)}, {"pullRequests", Json::array()}};
}

Response commits_answer(const Request& request, const std::vector<Commit>& commits) {
  const auto page = page_of(request.query, kPageMax);
  if (!page) return error_answer(400, "BadRequest", page.error().message);
  const std::size_t first = std::min(page->first, commits.size()), last = std::min(commits.size(), first + page->count);
  Json entries = Json::array();
  for (std::size_t i = first; i < last; ++i) {
    const auto& commit = commits[i];
    Json authors = Json::array();
    if (!commit.author.empty()) authors.push_back({{"user", commit.author}});
    entries.push_back({{"id", commit.repository.commit}, {"title", commit.title}, {"message", commit.message}, {"date", commit.repository.modified}, {"authors", std::move(authors)}});
  }
  Response response = json_answer(200, entries);
  if (last < commits.size()) response.headers.add("Link", next_link(request, last));
  return response;
}

}  // namespace redoubt::hub
