// SPDX-License-Identifier: Apache-2.0
#include "hub/server.h"

#include <fcntl.h>

#include <cstdlib>
#include <set>

#include "base/check.h"
#include "base/log.h"
#include "base/write_all.h"
#include "hub/answers.h"
#include "hub/model_list.h"

namespace redoubt::hub {
namespace {

using http::Request;
using http::Response;

constexpr std::size_t kWaitingMax = 1024;  // of a pool
constexpr std::size_t kQuickThreads = 2, kSlowThreads = 8;  // most of whom wait for a disk or an upstream
constexpr std::size_t kBodyBytesMax = 48 << 20, kReaderBodyBytesMax = 1 << 20;
constexpr std::size_t kHistoryMax = 1000;
constexpr std::size_t kExpandedHistoryMax = 100;  // in which the last change of each file is looked for
constexpr const char* kState = ".hub";

bool is_revision(const Repository& repository, const std::string& revision) {
  return revision == "main" || revision == "refs/heads/main" || revision == repository.commit || (is_short_commit_id(revision) && repository.commit.starts_with(revision));
}

bool is_reading(const Request& request) { return request.method == "GET" || request.method == "HEAD"; }

std::string join(const std::vector<std::string>& segments, std::size_t from) {
  std::string path;
  for (std::size_t i = from; i < segments.size(); ++i) path += (path.empty() ? "" : "/") + segments[i];
  return path;
}

// A repository that can't be served is not there for clients; whoever runs the mirror is told why.
Response unusable(const Error& error) {
  if (error.code == ErrorCode::not_found) return missing_repository();
  spdlog::warn("hub: a repository is not served: {} ({})", error.message, error.where);
  return error.code == ErrorCode::unavailable ? error_answer(503, "Unavailable", "The repository can't be read now") : missing_repository();
}

}  // namespace

HubServer::HubServer(Options options)
    : options_(std::move(options)), access_(options_.state, options_.token, clock_), repositories_({options_.root, options_.state, options_.scan, options_.scanner}),
      store_(options_.state), uploads_(store_, repositories_, options_.scan, clock_) {
  if (options_.upstream.upstream != nullptr) pull_.emplace(options_.upstream, store_, options_.scan, clock_);
}

Result<std::unique_ptr<HubServer>> HubServer::start(Options options) {
  CHECK(options.scan);
  std::error_code error;
  if (!std::filesystem::is_directory(options.root, error)) {
    return fail(ErrorCode::not_found, "no such folder of models", options.root.string(), "name a folder that holds OWNER/NAME/...");
  }
  if (!options.token.empty() && options.token.size() < 8) return fail(ErrorCode::invalid_argument, "the token is shorter than 8 characters", "--token-file");
  if (options.state.empty()) options.state = options.root / kState;
  if (options.audit_file.empty()) options.audit_file = options.state / "audit.jsonl";
  http::ServerOptions server;
  server.host = options.host;
  server.port = options.port;
  server.certificate_pem = options.certificate_pem;
  server.private_key_pem = options.private_key_pem;
  server.send_ms_max = 120'000;
  server.body_bytes_max = kBodyBytesMax;
  std::unique_ptr<HubServer> hub(new HubServer(std::move(options)));
  TRY(hub->open_files());
  for (auto [pool, patience, count] : {std::tuple(&hub->quick_, Patience::quick, kQuickThreads), std::tuple(&hub->slow_, Patience::slow, kSlowThreads)}) {
    for (std::size_t i = 0; i < count; ++i) pool->threads.emplace_back([raw = hub.get(), pool = pool, patience = patience] { raw->work(*pool, patience); });
  }
  auto started = http::Server::start(std::move(server), *hub);
  if (!started) return fail(std::move(started.error()));
  hub->server_ = std::move(*started);
  return hub;
}

Status HubServer::open_files() {
  TRY(access_.load());
  const bool has_tokens = !TRY(TokenFile::read(options_.state / kTokensName)).empty();
  if (options_.token.empty() && !has_tokens) return fail(ErrorCode::invalid_argument, "the mirror has no token, so nobody could use it", options_.state.string(), "make one with 'redoubt hub token create', or name one with '--token-file'");
  TRY(make_folder(options_.state));
  audit_log_ = TRY(AuditLog::open(options_.audit_file, clock_));
  if (options_.access_log.empty()) return {};
  access_log_ = Fd(::open(options_.access_log.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600));
  return access_log_ ? Status() : fail_errno(errno, "open the access log", options_.access_log.string());
}

HubServer::~HubServer() {
  server_.reset();  // no request comes any more
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  for (Pool* pool : {&quick_, &slow_}) {
    pool->changed.notify_all();
    for (auto& thread : pool->threads) thread.join();
  }
}

void HubServer::stop() { server_->drain(std::chrono::seconds(10)); }

std::optional<Token> HubServer::caller_of(const Request& request) {
  constexpr std::string_view kScheme = "Bearer ";
  const auto* given = request.headers.find("authorization");
  if (given == nullptr || request.headers.count("authorization") != 1 || !given->starts_with(kScheme)) return std::nullopt;
  return access_.find(std::string_view(*given).substr(kScheme.size()));
}

std::optional<Response> HubServer::on_head(Request& request) {
  const auto caller = caller_of(request);
  if (!caller && !uploader(request)) {
    Response response = error_answer(401, "Unauthorized", "Invalid credentials in Authorization header");
    response.headers.add("WWW-Authenticate", "Bearer");
    return response;
  }
  const auto* length = request.headers.find("content-length");
  const bool is_long = length != nullptr && std::strtoull(length->c_str(), nullptr, 10) > kReaderBodyBytesMax;
  if (caller && caller->role != Role::write && is_long) return error_answer(413, "TooLarge", "The token may not write");
  return std::nullopt;
}

void HubServer::on_request(Request request, http::Responder responder) {
  auto caller = caller_of(request);  // again: it may have been revoked while the body came
  if (!caller) caller = uploader(request);
  const auto segments = http::path_segments(request.path);
  if (!caller) return responder.send(error_answer(401, "Unauthorized", "Invalid credentials in Authorization header"));
  if (!segments) return responder.send(error_answer(400, "BadRequest", "malformed path"));
  if (!push(quick_, {std::move(request), responder, *caller, *segments})) responder.send(error_answer(503, "Busy", "too many requests wait"));
}

bool HubServer::push(Pool& pool, Call call) {
  const std::scoped_lock lock(mutex_);
  if (pool.waiting.size() >= kWaitingMax) return false;
  pool.waiting.push_back(std::move(call));
  pool.changed.notify_one();
  return true;
}

void HubServer::work(Pool& pool, Patience patience) {
  std::unique_lock lock(mutex_);
  while (true) {
    pool.changed.wait(lock, [&] { return stopping_ || !pool.waiting.empty(); });
    if (stopping_) return;
    Call call = std::move(pool.waiting.front());
    pool.waiting.pop_front();
    lock.unlock();
    auto response = answer(call, patience);
    if (!response && !push(slow_, call)) response = error_answer(503, "Busy", "too many requests wait");
    if (response) {
      log_access(call, response->status);
      call.responder.send(std::move(*response));
    }
    lock.lock();
  }
}

std::optional<Response> HubServer::answer(const Call& call, Patience patience) {
  const auto& segments = call.segments;
  const bool asks_paths = segments.size() == 6 && segments[0] == "api" && segments[4] == "paths-info" && call.request.method == "POST";
  if (!is_reading(call.request) && !asks_paths) return patience == Patience::quick ? std::nullopt : std::optional(answer_write(call));
  if (segments.size() >= 2 && segments[0] == "api") return answer_api(call, patience);
  if (segments.size() < 5 || segments[2] != "resolve") return missing_repository();
  return answer_resolve(call, patience);
}

std::optional<HubServer::Found> HubServer::find_in_folder(const std::string& owner, const std::string& name, const std::string& revision, Patience patience) {
  auto known = repositories_.ready(owner, name);
  if (!known && patience == Patience::quick) return std::nullopt;
  if (!known) {
    auto opened = repositories_.open(owner, name);
    if (!opened) return unusable(opened.error());
    known = std::move(*opened);
  }
  if (!known->findings.empty()) return quarantined(known->findings);
  if (!is_revision(*known, revision)) return missing_revision();
  return Commit{.repository = std::move(*known), .parent = "", .title = "mirror", .message = "", .author = ""};
}

std::optional<HubServer::Found> HubServer::find_in_store(const std::string& id, const std::string& revision, Patience patience) {
  if (pull_ && !pull_->is_fresh(id, revision)) {
    if (patience == Patience::quick) return std::nullopt;
    const auto fetched = pull_->fetch(id, revision);
    if (!fetched && fetched.error().code == ErrorCode::gate_refused) return quarantined({fetched.error().message + ": " + fetched.error().where});
    if (!fetched && fetched.error().code == ErrorCode::not_found) return store_.has(id) ? missing_revision() : missing_repository();
    if (!fetched) return unusable(fetched.error());
  }
  return find_kept(id, revision, patience);
}

std::optional<HubServer::Found> HubServer::find_kept(const std::string& id, const std::string& revision, Patience patience) {
  if (auto known = store_.ready(id, revision)) return std::move(*known);
  if (patience == Patience::quick) return std::nullopt;
  auto commit = store_.commit(id, revision);
  if (!commit && commit.error().code == ErrorCode::not_found) return missing_revision();
  if (!commit) return unusable(commit.error());
  return std::move(*commit);
}

std::optional<HubServer::Found> HubServer::find(const Call& call, const std::string& owner, const std::string& name, const std::string& revision, Patience patience) {
  const std::string id = owner + "/" + name;
  if (!is_repository_name(owner) || !is_repository_name(name) || !covers(call.caller, id)) return missing_repository();
  const bool is_pulled = pull_ && !store_.has(id) && !repositories_.has_folder(owner, name);
  return store_.has(id) || is_pulled ? find_in_store(id, revision, patience) : find_in_folder(owner, name, revision, patience);
}

std::optional<Response> HubServer::answer_resolve(const Call& call, Patience patience) {
  const auto& segments = call.segments;
  const auto found = find(call, segments[0], segments[1], segments[3], patience);
  if (!found) return std::nullopt;
  if (const auto* refusal = std::get_if<Response>(&*found)) return *refusal;
  const auto& repository = std::get<Commit>(*found).repository;
  if (!access_.may_read(call.caller, repository.id)) return gated();
  return answer_file(call, repository, join(segments, 4));
}

Result<Refs> HubServer::refs_of_repository(const Commit& commit) const {
  if (store_.has(commit.repository.id)) return store_.refs(commit.repository.id);
  return Refs{.branches = {{"main", commit.repository.commit}}, .tags = {}, .checked = ""};
}

// /api/models/OWNER/NAME[/revision/REV | /tree/REV[/...] | /paths-info/REV | /commits/REV | /refs | /auth-check], /api/whoami-v2
std::optional<Response> HubServer::answer_api(const Call& call, Patience patience) {
  const auto& segments = call.segments;
  if (segments[1] == "whoami-v2") return answer_who(call.caller);
  if (segments[1] != "models") return missing_repository();
  if (segments.size() == 2) return answer_models(call, patience);
  if (segments.size() < 4) return missing_repository();
  const auto found = find(call, segments[2], segments[3], segments.size() < 6 ? "main" : segments[5], patience);
  if (!found) return std::nullopt;
  if (const auto* refusal = std::get_if<Response>(&*found)) return *refusal;
  const auto& commit = std::get<Commit>(*found);
  const bool is_gated = access_.is_gated(commit.repository.id);
  if (segments.size() == 4) return json_answer(200, info_of(commit.repository, is_gated));
  if (segments[4] == "refs") {
    const auto refs = refs_of_repository(commit);
    return refs ? json_answer(200, refs_of(*refs)) : unusable(refs.error());
  }
  if (segments[4] == "auth-check") return access_.may_read(call.caller, commit.repository.id) ? json_answer(200, Json::object()) : gated();
  if (segments.size() < 6) return missing_revision();
  if (segments[4] == "revision") return json_answer(200, info_of(commit.repository, is_gated));
  return answer_revision(call, commit);
}

Response HubServer::answer_revision(const Call& call, const Commit& commit) {
  const std::string& what = call.segments[4];
  const bool needs_history = store_.has(commit.repository.id) && (what == "commits" || ((what == "tree" || what == "paths-info") && wants_last_commits(call.request)));
  const auto history = needs_history ? store_.history(commit.repository.id, commit.repository.commit, what == "commits" ? kHistoryMax : kExpandedHistoryMax) : Result<std::vector<Commit>>(std::vector<Commit>{commit});
  if (!history) return unusable(history.error());
  if (what == "commits") return commits_answer(call.request, *history);
  if (what == "paths-info") return call.request.method == "POST" ? paths_info(call.request, *history) : error_answer(405, "MethodNotAllowed", "only POST");
  if (what != "tree") return missing_entry();
  return tree_answer(call.request, *history, join(call.segments, 6));
}

// Every model that the caller may see and that has passed; the first time all of them are looked at.
std::optional<Response> HubServer::answer_models(const Call& call, Patience patience) {
  const auto query = parse_model_query(call.request.query);
  if (!query) return error_answer(400, "BadRequest", query.error().message);
  std::set<std::string> ids;
  for (const auto& [owner, name] : repositories_.names()) ids.insert(owner + "/" + name);
  for (auto& name : store_.names()) ids.insert(std::move(name));
  std::vector<ListedModel> models;
  for (const auto& id : ids) {
    if (!covers(call.caller, id)) continue;
    const auto slash = id.find('/');
    auto found = store_.has(id) ? find_kept(id, "main", patience) : find_in_folder(id.substr(0, slash), id.substr(slash + 1), "main", patience);
    if (!found) return std::nullopt;
    if (auto* commit = std::get_if<Commit>(&*found)) models.push_back({std::move(commit->repository), access_.is_gated(id)});
  }
  return list_answer(call.request, *query, std::move(models));
}

Response HubServer::answer_who(const Token& caller) const {
  const bool is_operator = caller.id == "token-file";
  const std::string name = is_operator ? "mirror" : caller.name;
  return json_answer(200, {{"type", "user"}, {"id", caller.id}, {"name", name}, {"fullname", name}, {"orgs", Json::array()},
                           {"auth", {{"type", "access_token"}, {"accessToken", {{"displayName", caller.name}, {"role", to_string(caller.role)}, {"createdAt", to_rfc3339(caller.created)}}}}}});
}

Response HubServer::answer_file(const Call& call, const Repository& repository, const std::string& path) {
  const auto* file = repository.find(path);
  if (file == nullptr) {
    Response response = missing_entry();
    response.headers.add("X-Repo-Commit", repository.commit);
    return response;
  }
  const auto guarded = GuardedFile::open(file->location, file->identity);
  if (!guarded) return error_answer(503, "Unavailable", "The file changes; try again");
  const std::string etag = "\"" + file->etag() + "\"";
  Response response = http::object_response(call.request, *guarded, "application/octet-stream", etag);
  response.headers.add("X-Repo-Commit", repository.commit);
  response.headers.add("X-Linked-Size", std::to_string(file->size));
  response.headers.add("X-Linked-Etag", etag);
  const bool sends_bytes = call.request.method == "GET" && (response.status == 200 || response.status == 206);
  if (!sends_bytes) return response;
  const auto written = audit(call, repository, *file, response, **guarded);
  if (written) return response;
  spdlog::error("hub: nothing is served without its audit: {} ({})", written.error().message, written.error().where);
  return error_answer(503, "Unavailable", "The mirror can't record downloads now");
}

// Before the first byte; when the last was read, or the client left, how many it was.
Status HubServer::audit(const Call& call, const Repository& repository, const RepositoryFile& file, const Response& response, GuardedFile& guarded) {
  const Json what = {{"token", call.caller.id}, {"name", call.caller.name}, {"peer", call.request.peer}, {"repository", repository.id}, {"commit", repository.commit},
                     {"path", file.path}, {"sha256", file.sha256.hex()}};
  Json begun = what;
  begun.update(Json{{"event", "download"}, {"offset", response.offset}, {"bytes", response.length}});
  TRY(audit_log_->append(std::move(begun)));
  guarded.on_done([log = audit_log_, what](std::uint64_t bytes) {
    Json ended = what;
    ended.update(Json{{"event", "sent"}, {"bytes", bytes}});
    const auto written = log->append(std::move(ended), AuditLog::Wait::never);
    if (!written) spdlog::error("hub: {} ({})", written.error().message, written.error().where);
  });
  return {};
}

void HubServer::log_access(const Call& call, int status) {
  if (!access_log_) return;
  const std::string line = dump_json({{"time", to_rfc3339(clock_.now())}, {"token", call.caller.id}, {"peer", call.request.peer}, {"method", call.request.method}, {"path", call.request.path}, {"status", status}}) + "\n";
  const std::scoped_lock lock(access_log_mutex_);
  if (!append_all(access_log_.get(), view_of(line))) spdlog::error("hub: the access log can't be written: {}", options_.access_log.string());
}

}  // namespace redoubt::hub
