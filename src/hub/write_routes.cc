// SPDX-License-Identifier: Apache-2.0
//
// The half of the Hub's API that changes repositories. Every call runs on a slow thread.
#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "hub/answers.h"
#include "hub/server.h"

namespace redoubt::hub {
namespace {

using http::Request;
using http::Response;

constexpr std::size_t kObjectsMax = 1000;
// Small files travel within the commit itself, as far as one request may be long.
constexpr std::uint64_t kRegularBytesMax = 10 << 20, kRegularTotalMax = 24 << 20;

Response bad(const Error& error) { return error_answer(400, "BadRequest", error.where.empty() ? error.message : error.message + ": " + error.where); }

Response answer_of(const Error& error) {
  switch (error.code) {
    case ErrorCode::not_found: return error_answer(404, error.message == "no such repository" ? "RepoNotFound" : error.message == "no such file" ? "EntryNotFound" : "RevisionNotFound", error.message);
    case ErrorCode::already_exists: return error_answer(409, "Conflict", error.message);
    case ErrorCode::permission_denied: return error_answer(403, "Forbidden", error.message);
    case ErrorCode::gate_refused: {
      Response response = error_answer(403, "Quarantined", error.message);
      response.body = dump_json({{"error", error.message + ": " + error.where}});
      return response;
    }
    case ErrorCode::unavailable: return error_answer(412, "PreconditionFailed", error.message);
    case ErrorCode::invalid_argument:
    case ErrorCode::limit_exceeded:
    case ErrorCode::tampered: return bad(error);
    default: break;
  }
  spdlog::error("hub: {} ({})", error.message, error.where);
  return error_answer(500, "Internal", "The mirror could not do that");
}

Result<Json> body_of(const Request& request) {
  auto body = TRY(parse_json(request.body, "request", {.bytes_max = 48 << 20, .depth_max = 16}));
  if (!body.is_object()) return fail(ErrorCode::invalid_argument, "the request's body is no object");
  return body;
}

std::string origin_of(const Request& request) {
  const auto* host = request.headers.find("host");
  return "https://" + (host == nullptr ? std::string("localhost") : *host);
}

}  // namespace

bool HubServer::is_upload_address(const std::vector<std::string>& segments) { return segments.size() == 6 && segments[0] == "api" && segments[1] == "uploads"; }

// Who sends to a signed address needs no token; the signature says for what.
std::optional<Token> HubServer::uploader(const Request& request) const {
  const auto segments = http::path_segments(request.path);
  if (!segments || !is_upload_address(*segments) || (request.method != "PUT" && request.method != "POST")) return std::nullopt;
  const auto ticket = uploads_.check(*segments, request.query);
  if (!ticket) return std::nullopt;
  return Token{.id = "upload", .name = "upload", .hash = {}, .role = Role::write, .repositories = {}, .created = {}, .expires = {}, .is_revoked = false};
}

Response HubServer::answer_write(const Call& call) {
  const auto& segments = call.segments;
  if (is_upload_address(segments)) return upload(call);
  if (call.caller.role != Role::write) return error_answer(403, "Forbidden", "The token may read, not write");
  const bool is_batch = segments.size() == 6 && segments[1].ends_with(".git") && segments[2] == "info" && segments[3] == "lfs" && segments[4] == "objects" && segments[5] == "batch";
  if (is_batch) {
    const std::string id = segments[0] + "/" + segments[1].substr(0, segments[1].size() - 4);
    return covers(call.caller, id) ? batch(call, id) : missing_repository();
  }
  if (segments.size() < 2 || segments[0] != "api") return error_answer(405, "MethodNotAllowed", "only GET and HEAD");
  if (segments[1] == "validate-yaml") return json_answer(200, {{"errors", Json::array()}, {"warnings", Json::array()}});
  if (segments.size() == 3 && segments[1] == "repos" && segments[2] == "create" && call.request.method == "POST") return create_repository(call);
  if (segments.size() != 6 || segments[1] != "models") return error_answer(405, "MethodNotAllowed", "a mirror does not do that");
  const std::string id = segments[2] + "/" + segments[3];
  if (!is_repository_name(segments[2]) || !is_repository_name(segments[3]) || !covers(call.caller, id)) return missing_repository();
  return answer_repository_write(call, id);
}

// /api/models/OWNER/NAME/{preupload,commit}/BRANCH, /tag/..., /branch/...
Response HubServer::answer_repository_write(const Call& call, const std::string& id) {
  const std::string& what = call.segments[4];
  if (!store_.has(id) && !repositories_.has_folder(call.segments[2], call.segments[3])) return missing_repository();
  if (what == "tag" || what == "branch") return change_ref(call, id);
  if (call.request.method != "POST") return error_answer(405, "MethodNotAllowed", "only POST");
  if (what == "preupload") return preupload(call);
  if (what == "commit") return make_commit(call, id);
  return error_answer(405, "MethodNotAllowed", "a mirror does not do that");
}

Response HubServer::create_repository(const Call& call) {
  const auto body = body_of(call.request);
  if (!body) return bad(body.error());
  const std::string name = json_or(*body, "name", ""), given = json_or(*body, "organization", ""), type = json_or(*body, "type", "model");
  const std::string owner = given.empty() ? call.caller.name : given, id = owner + "/" + name;
  if (type != "model") return error_answer(400, "BadRequest", "A mirror keeps models alone");
  if (!is_repository_name(owner) || !is_repository_name(name)) return error_answer(400, "BadRequest", "not a repository's name");
  if (!covers(call.caller, id)) return error_answer(403, "Forbidden", "The token is not for that repository");
  const auto created = uploads_.create(id, call.caller.name);
  if (!created && created.error().code == ErrorCode::already_exists) {
    Response response = error_answer(409, "Conflict", "You already created this model repo");
    response.body = dump_json({{"error", "You already created this model repo"}, {"url", origin_of(call.request) + "/" + id}});
    return response;
  }
  return created ? json_answer(200, {{"url", origin_of(call.request) + "/" + id}, {"name", id}, {"id", id}}) : answer_of(created.error());
}

Response HubServer::preupload(const Call& call) {
  const auto body = body_of(call.request);
  if (!body) return bad(body.error());
  const Json files = json_or(*body, "files", Json::array());
  if (files.size() > kObjectsMax) return error_answer(400, "BadRequest", "too many files");
  Json modes = Json::array();
  std::uint64_t total = 0;
  for (const auto& file : files) {
    const std::string path = json_or(file, "path", "");
    const std::int64_t size = json_or(file, "size", std::int64_t{-1});
    if (path.empty() || size < 0) return error_answer(400, "BadRequest", "a file has a path and a size");
    const auto bytes = static_cast<std::uint64_t>(size);
    const bool is_regular = bytes <= kRegularBytesMax && total + bytes <= kRegularTotalMax;
    if (is_regular) total += bytes;
    modes.push_back({{"path", path}, {"uploadMode", is_regular ? "regular" : "lfs"}, {"shouldIgnore", is_hidden(path)}});
  }
  return json_answer(200, {{"files", std::move(modes)}, {"commitOid", nullptr}});
}

// Git LFS's batch API with the transfers "basic" and, for what is longer than a part, "multipart".
Response HubServer::batch(const Call& call, const std::string& id) {
  const auto body = body_of(call.request);
  if (!body) return bad(body.error());
  const Json objects = json_or(*body, "objects", Json::array());
  if (json_or(*body, "operation", "") != "upload" || objects.size() > kObjectsMax) return error_answer(400, "BadRequest", "uploads of at most 1,000 objects");
  if (!store_.has(id) && !repositories_.has_folder(call.segments[0], id.substr(id.find('/') + 1))) return missing_repository();
  Json answers = Json::array();
  for (const auto& object : objects) {
    const auto oid = Digest::parse(json_or(object, "oid", ""));
    const std::int64_t size = json_or(object, "size", std::int64_t{-1});
    if (!oid || size < 0) return error_answer(400, "BadRequest", "an object has a SHA-256 and a size");
    Json answer = {{"oid", oid->hex()}, {"size", size}};
    if (!uploads_.has(id, *oid)) {
      const Uploads::Ticket whole{.id = id, .oid = *oid, .size = static_cast<std::uint64_t>(size), .part = 0, .expires = 0};
      Json header = Json::object();
      if (whole.size > Uploads::kPartBytes) {
        header["chunk_size"] = std::to_string(Uploads::kPartBytes);
        for (std::uint64_t part = 1; (part - 1) * Uploads::kPartBytes < whole.size && part <= 10'240; ++part) {
          auto ticket = whole;
          ticket.part = part;
          header[fmt::format("{:05}", part)] = origin_of(call.request) + uploads_.address_of(ticket);
        }
      }
      answer["actions"] = {{"upload", {{"href", origin_of(call.request) + uploads_.address_of(whole)}, {"header", std::move(header)}}}};
    }
    answers.push_back(std::move(answer));
  }
  Response response = json_answer(200, {{"transfer", "basic"}, {"objects", std::move(answers)}, {"hash_algo", "sha256"}});
  response.headers = {{"Content-Type", "application/vnd.git-lfs+json"}};
  return response;
}

// PUT of a part, or of a whole short file; POST when the last part was sent.
Response HubServer::upload(const Call& call) {
  const auto ticket = uploads_.check(call.segments, call.request.query);
  if (!ticket) return answer_of(ticket.error());
  if (call.request.method == "PUT") {
    const auto put = uploads_.put_part(*ticket, view_of(call.request.body));
    if (!put) return answer_of(put.error());
    const auto finished = ticket->part == 0 ? uploads_.finish(*ticket) : Status();
    if (!finished) return answer_of(finished.error());
    Response response{200, {}, "", {}, 0, 0};
    response.headers.add("ETag", fmt::format("\"{}-{}\"", ticket->oid.hex().substr(0, 32), ticket->part));
    return response;
  }
  const auto finished = uploads_.finish(*ticket);
  return finished ? json_answer(200, Json::object()) : answer_of(finished.error());
}

Response HubServer::make_commit(const Call& call, const std::string& id) {
  const auto wants_request = http::query_value(call.request.query, "create_pr");
  if (wants_request && *wants_request && **wants_request == "1") return error_answer(400, "BadRequest", "A mirror has no pull requests");
  const auto request = parse_commit_request(call.request.body);
  if (!request) return bad(request.error());
  const auto commit = uploads_.commit(id, call.segments[5], *request, call.caller.name);
  if (!commit) return answer_of(commit.error());
  const auto recorded = audit_log_->append({{"event", "commit"}, {"token", call.caller.id}, {"name", call.caller.name}, {"peer", call.request.peer}, {"repository", id}, {"commit", *commit}});
  if (!recorded) spdlog::error("hub: {} ({})", recorded.error().message, recorded.error().where);
  return json_answer(200, {{"success", true}, {"commitOid", *commit}, {"commitUrl", fmt::format("{}/{}/commit/{}", origin_of(call.request), id, *commit)}, {"hookOutput", ""}});
}

// POST /tag/REV {"tag"}, DELETE /tag/NAME, POST /branch/NAME {"startingPoint"}, DELETE /branch/NAME
Response HubServer::change_ref(const Call& call, const std::string& id) {
  const std::string& named = call.segments[5];
  const bool is_tag = call.segments[4] == "tag";
  if (call.request.method == "DELETE") {
    const auto removed = is_tag ? uploads_.untag(id, named) : uploads_.unbranch(id, named);
    return removed ? json_answer(200, Json::object()) : answer_of(removed.error());
  }
  if (call.request.method != "POST") return error_answer(405, "MethodNotAllowed", "only POST and DELETE");
  const auto body = call.request.body.empty() ? Result<Json>(Json::object()) : body_of(call.request);
  if (!body) return bad(body.error());
  const auto made = is_tag ? uploads_.tag(id, json_or(*body, "tag", ""), named) : uploads_.branch(id, named, json_or(*body, "startingPoint", "main"));
  return made ? json_answer(200, Json::object()) : answer_of(made.error());
}

}  // namespace redoubt::hub
