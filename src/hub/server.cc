// SPDX-License-Identifier: Apache-2.0
#include "hub/server.h"

#include <fmt/format.h>

#include "base/file.h"
#include "crypto/hash.h"

namespace redoubt::hub {
namespace {

using http::Request;
using http::Response;

Response json_answer(int status, const Json& body) { return {status, {{"Content-Type", "application/json"}}, dump_json(body), {}, 0, 0}; }

// The Hub's clients tell errors apart by X-Error-Code.
Response error_answer(int status, const char* code, std::string message) {
  Response response = json_answer(status, {{"error", message}});
  response.headers.add("X-Error-Code", code);
  response.headers.add("X-Error-Message", std::move(message));
  return response;
}

Response missing_repository() { return error_answer(404, "RepoNotFound", "Repository not found"); }
Response missing_revision() { return error_answer(404, "RevisionNotFound", "Invalid rev id"); }
Response missing_entry() { return error_answer(404, "EntryNotFound", "Entry not found"); }

bool is_revision(const Repository& repository, const std::string& revision) { return revision == "main" || revision == repository.commit; }

Json tree_entry(const RepositoryFile& file) {
  Json entry = {{"type", "file"}, {"path", file.path}, {"size", file.size}, {"oid", file.blob_id}};
  if (file.large) entry["lfs"] = {{"oid", file.sha256.hex()}, {"size", file.size}, {"pointerSize", 133}};
  return entry;
}

Json tree_of(const Repository& repository) {
  Json tree = Json::array();
  for (const auto& file : repository.files) tree.push_back(tree_entry(file));
  return tree;
}

Json info_of(const Repository& repository) {
  Json siblings = Json::array();
  for (const auto& file : repository.files) {
    Json sibling = {{"rfilename", file.path}, {"size", file.size}, {"blobId", file.blob_id}};
    if (file.large) sibling["lfs"] = {{"sha256", file.sha256.hex()}, {"size", file.size}, {"pointerSize", 133}};
    siblings.push_back(std::move(sibling));
  }
  return {{"_id", repository.commit.substr(0, 24)}, {"id", repository.id}, {"modelId", repository.id}, {"sha", repository.commit},
          {"lastModified", repository.modified}, {"private", true}, {"gated", false}, {"disabled", false}, {"tags", Json::array()},
          {"downloads", 0}, {"likes", 0}, {"siblings", siblings}};
}

Response paths_info(const Request& request, const Repository& repository) {
  const auto body = parse_json(request.body, "request");
  Json wanted = body && body->is_object() ? body->value("paths", Json::array()) : Json::array();
  if (wanted.is_string()) wanted = Json::array({wanted});
  Json found = Json::array();
  for (const auto& path : wanted) {
    if (!path.is_string()) continue;
    if (const auto* file = repository.find(path.get<std::string>())) found.push_back(tree_entry(*file));
  }
  return json_answer(200, found);
}

std::string join(const std::vector<std::string>& segments, std::size_t from) {
  std::string path;
  for (std::size_t i = from; i < segments.size(); ++i) path += (path.empty() ? "" : "/") + segments[i];
  return path;
}

}  // namespace

Result<std::unique_ptr<HubServer>> HubServer::start(Options options) {
  if (!std::filesystem::is_directory(options.root)) return fail(ErrorCode::not_found, "no such folder of models", options.root.string(), "name a folder that holds OWNER/NAME/...");
  if (options.token.size() < 8) return fail(ErrorCode::invalid_argument, "the token is shorter than 8 characters", "--token-file");
  http::ServerOptions server;
  server.host = options.host;
  server.port = options.port;
  server.certificate_pem = options.certificate_pem;
  server.private_key_pem = options.private_key_pem;
  server.send_ms_max = 120'000;
  std::unique_ptr<HubServer> hub(new HubServer(std::move(options)));
  hub->server_ = TRY(http::Server::start(std::move(server), *hub));
  return hub;
}

HubServer::~HubServer() = default;

void HubServer::stop() { server_->drain(std::chrono::seconds(10)); }

bool HubServer::is_allowed(const Request& request) const {
  constexpr std::string_view kScheme = "Bearer ";
  const auto* given = request.headers.find("authorization");
  if (given == nullptr || !given->starts_with(kScheme)) return false;
  // Hashes of equal length, so that not even the token's length shows in the time.
  const Digest mine = crypto::sha256(options_.token.reveal(SecretAccess::for_crypto()));
  const Digest theirs = crypto::sha256(std::string_view(*given).substr(kScheme.size()));
  return equal_constant_time(mine.value, theirs.value);
}

std::optional<Response> HubServer::on_head(const Request& request) {
  if (is_allowed(request)) return std::nullopt;
  Response response = error_answer(401, "Unauthorized", "Invalid credentials in Authorization header");
  response.headers.add("WWW-Authenticate", "Bearer");
  return response;
}

void HubServer::on_request(Request request, http::Responder responder) { responder.send(answer(request)); }

Response HubServer::answer(const Request& request) {
  const auto segments = http::path_segments(request.path);
  if (!segments) return error_answer(400, "BadRequest", "malformed path");
  if (segments->size() >= 2 && segments->at(0) == "api") return answer_api(request, *segments);
  if (segments->size() < 5 || segments->at(2) != "resolve") return missing_repository();
  if (request.method != "GET" && request.method != "HEAD") return error_answer(405, "MethodNotAllowed", "only GET and HEAD");
  const auto repository = repositories_.open(segments->at(0), segments->at(1));
  if (!repository) return missing_repository();
  if (!is_revision(*repository, segments->at(3))) return missing_revision();
  return answer_file(request, *repository, join(*segments, 4));
}

// /api/models/OWNER/NAME[/revision/REV | /tree/REV[/...] | /paths-info/REV | /commits/REV], /api/whoami-v2
Response HubServer::answer_api(const Request& request, const std::vector<std::string>& segments) {
  if (segments[1] == "whoami-v2") return json_answer(200, {{"type", "user"}, {"name", "mirror"}, {"fullname", "mirror"}, {"orgs", Json::array()}});
  if (segments.size() < 4 || segments[1] != "models") return missing_repository();
  const auto repository = repositories_.open(segments[2], segments[3]);
  if (!repository) return missing_repository();
  if (segments.size() == 4) return json_answer(200, info_of(*repository));
  const std::string& what = segments[4];
  if (what == "refs") {
    const Json branch = {{"name", "main"}, {"ref", "refs/heads/main"}, {"targetCommit", repository->commit}};
    return json_answer(200, {{"branches", Json::array({branch})}, {"converts", Json::array()}, {"tags", Json::array()}});
  }
  if (segments.size() < 6 || !is_revision(*repository, segments[5])) return missing_revision();
  if (what == "revision") return json_answer(200, info_of(*repository));
  if (what == "tree") return segments.size() == 6 ? json_answer(200, tree_of(*repository)) : missing_entry();
  if (what == "paths-info" && request.method == "POST") return paths_info(request, *repository);
  if (what == "commits") {
    return json_answer(200, Json::array({{{"id", repository->commit}, {"title", "mirror"}, {"message", ""}, {"date", repository->modified}, {"authors", Json::array()}}}));
  }
  return missing_entry();
}

Response HubServer::answer_file(const Request& request, const Repository& repository, const std::string& path) {
  const auto* file = repository.find(path);
  if (file == nullptr) {
    Response response = missing_entry();
    response.headers.add("X-Repo-Commit", repository.commit);
    return response;
  }
  auto reader = FileReader::open(repositories_.path_of(repository, *file));
  if (!reader) return missing_entry();
  const std::string etag = "\"" + file->etag() + "\"";
  Response response = http::object_response(request, std::shared_ptr<const RandomAccess>(std::move(*reader)), "application/octet-stream", etag);
  response.headers.add("X-Repo-Commit", repository.commit);
  response.headers.add("X-Linked-Size", std::to_string(file->size));
  response.headers.add("X-Linked-Etag", etag);
  return response;
}

}  // namespace redoubt::hub
