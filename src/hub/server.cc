// SPDX-License-Identifier: Apache-2.0
#include "hub/server.h"

#include "base/file.h"
#include "base/log.h"
#include "crypto/hash.h"
#include "hub/answers.h"

namespace redoubt::hub {
namespace {

using http::Request;
using http::Response;

constexpr std::size_t kWaitingMax = 256;

bool is_revision(const Repository& repository, const std::string& revision) {
  return revision == "main" || revision == "refs/heads/main" || revision == repository.commit;
}

std::string join(const std::vector<std::string>& segments, std::size_t from) {
  std::string path;
  for (std::size_t i = from; i < segments.size(); ++i) path += (path.empty() ? "" : "/") + segments[i];
  return path;
}

// A repository that can't be served is not there for clients; whoever runs the mirror is told why.
Response unusable(const Error& error) {
  if (error.code != ErrorCode::not_found) spdlog::warn("hub: a repository is not served: {} ({})", error.message, error.where);
  return missing_repository();
}

}  // namespace

Result<std::unique_ptr<HubServer>> HubServer::start(Options options) {
  std::error_code error;
  if (!std::filesystem::is_directory(options.root, error)) {
    return fail(ErrorCode::not_found, "no such folder of models", options.root.string(), "name a folder that holds OWNER/NAME/...");
  }
  if (options.token.size() < 8) return fail(ErrorCode::invalid_argument, "the token is shorter than 8 characters", "--token-file");
  http::ServerOptions server;
  server.host = options.host;
  server.port = options.port;
  server.certificate_pem = options.certificate_pem;
  server.private_key_pem = options.private_key_pem;
  server.send_ms_max = 120'000;
  std::unique_ptr<HubServer> hub(new HubServer(std::move(options)));
  hub->worker_ = std::thread([raw = hub.get()] { raw->work(); });
  auto started = http::Server::start(std::move(server), *hub);
  if (!started) return fail(std::move(started.error()));
  hub->server_ = std::move(*started);
  return hub;
}

HubServer::~HubServer() {
  server_.reset();  // no request comes any more
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (worker_.joinable()) worker_.join();
}

void HubServer::stop() { server_->drain(std::chrono::seconds(10)); }

bool HubServer::is_allowed(const Request& request) const {
  constexpr std::string_view kScheme = "Bearer ";
  const auto* given = request.headers.find("authorization");
  if (given == nullptr || request.headers.count("authorization") != 1 || !given->starts_with(kScheme)) return false;
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

void HubServer::on_request(Request request, http::Responder responder) {
  {
    const std::scoped_lock lock(mutex_);
    if (waiting_.size() < kWaitingMax) {
      waiting_.emplace_back(std::move(request), std::move(responder));
      changed_.notify_one();
      return;
    }
  }
  responder.send(error_answer(503, "Busy", "too many requests wait"));
}

void HubServer::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
    if (stopping_) return;
    auto [request, responder] = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    responder.send(answer(request));
    lock.lock();
  }
}

Response HubServer::answer(const Request& request) {
  const auto segments = http::path_segments(request.path);
  if (!segments) return error_answer(400, "BadRequest", "malformed path");
  if (segments->size() >= 2 && segments->at(0) == "api") return answer_api(request, *segments);
  if (segments->size() < 5 || segments->at(2) != "resolve") return missing_repository();
  if (request.method != "GET" && request.method != "HEAD") return error_answer(405, "MethodNotAllowed", "only GET and HEAD");
  const auto repository = repositories_.open(segments->at(0), segments->at(1));
  if (!repository) return unusable(repository.error());
  if (!is_revision(*repository, segments->at(3))) return missing_revision();
  return answer_file(request, *repository, join(*segments, 4));
}

// /api/models/OWNER/NAME[/revision/REV | /tree/REV[/...] | /paths-info/REV | /commits/REV | /refs], /api/whoami-v2
Response HubServer::answer_api(const Request& request, const std::vector<std::string>& segments) {
  const bool reads = request.method == "GET" || request.method == "HEAD";
  const bool asks_paths = segments.size() == 6 && segments[4] == "paths-info" && request.method == "POST";
  if (!reads && !asks_paths) return error_answer(405, "MethodNotAllowed", "a mirror is read only");
  if (segments[1] == "whoami-v2") return json_answer(200, {{"type", "user"}, {"name", "mirror"}, {"fullname", "mirror"}, {"orgs", Json::array()}});
  if (segments.size() < 4 || segments[1] != "models") return missing_repository();
  const auto repository = repositories_.open(segments[2], segments[3]);
  if (!repository) return unusable(repository.error());
  if (segments.size() == 4) return json_answer(200, info_of(*repository));
  const std::string& what = segments[4];
  if (what == "refs") return json_answer(200, refs_of(*repository));
  if (segments.size() < 6 || !is_revision(*repository, segments[5])) return missing_revision();
  if (what == "revision") return json_answer(200, info_of(*repository));
  if (what == "commits") return json_answer(200, commits_of(*repository));
  if (asks_paths) return paths_info(request, *repository);
  if (what != "tree") return missing_entry();
  const auto recursive = http::query_value(request.query, "recursive");
  const std::string folder = join(segments, 6);
  const Json tree = tree_of(*repository, folder, recursive && *recursive && http::equal_ignoring_case(**recursive, "true"));
  return tree.empty() ? missing_entry() : json_answer(200, tree);
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
