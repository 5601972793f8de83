// SPDX-License-Identifier: Apache-2.0
#include "hub/commit_request.h"

#include <fmt/format.h>

#include <set>

#include "base/file.h"
#include "base/json.h"
#include "hub/repository.h"

namespace redoubt::hub {
namespace {

constexpr std::size_t kTextBytesMax = 64 << 10, kPathBytesMax = 1024;
constexpr std::size_t kCommitLineBytesMax = 64 << 20;

Result<std::string> path_of(const Json& value, const std::string& where) {
  auto path = TRY(json_string(value, "path", where));
  const bool is_plain = std::none_of(path.begin(), path.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; });
  if (!is_safe_relative_path(path) || path.size() > kPathBytesMax || !is_plain || is_hidden(path)) return fail(ErrorCode::invalid_argument, "not a path of a model's file", where);
  return path;
}

Result<CommitOperation> parse_operation(const std::string& key, const Json& value, const std::string& where) {
  if (key == "file") {
    AddedFile file{TRY(path_of(value, where)), {}};
    const auto content = TRY(json_string(value, "content", where));
    const auto encoding = json_or(value, "encoding", "utf-8");
    if (encoding != "base64" && encoding != "utf-8") return fail(ErrorCode::invalid_argument, "an encoding that is neither base64 nor utf-8", where);
    file.content = encoding == "base64" ? TRY(from_base64(content)) : to_bytes(content);
    return file;
  }
  if (key == "lfsFile") {
    if (json_or(value, "algo", "sha256") != "sha256") return fail(ErrorCode::invalid_argument, "a digest that is not SHA-256", where);
    AddedLargeFile file;
    file.path = TRY(path_of(value, where));
    file.sha256 = TRY(Digest::parse(TRY(json_string(value, "oid", where))));
    if (value.contains("size")) {
      const auto size = TRY(json_integer(value, "size", where));
      if (size < 0) return fail(ErrorCode::invalid_argument, "a size below zero", where);
      file.size = static_cast<std::uint64_t>(size);
    }
    return file;
  }
  if (key == "deletedFile") return RemovedFile{TRY(path_of(value, where))};
  if (key == "deletedFolder") {
    auto path = TRY(json_string(value, "path", where));
    while (path.ends_with('/')) path.pop_back();
    if (!path.empty() && path != "." && !is_safe_relative_path(path)) return fail(ErrorCode::invalid_argument, "not a folder of a model", where);
    return RemovedFolder{path == "." ? "" : path};
  }
  return fail(ErrorCode::invalid_argument, "an operation that is not known", where);
}

Status parse_header(const Json& value, const std::string& where, CommitRequest& request) {
  request.summary = TRY(json_string(value, "summary", where));
  request.description = json_or(value, "description", "");
  if (value.contains("parentCommit") && !value["parentCommit"].is_null()) request.parent = TRY(json_string(value, "parentCommit", where));
  if (request.summary.size() + request.description.size() > kTextBytesMax) return fail(ErrorCode::limit_exceeded, "a message that is too long", where);
  return {};
}

std::string path_in(const CommitOperation& operation) {
  return std::visit([](const auto& of) { return of.path; }, operation);
}

}  // namespace

Result<CommitRequest> parse_commit_request(std::string_view body) {
  CommitRequest request;
  std::set<std::string> paths;
  bool has_header = false;
  for (std::size_t number = 1; !body.empty(); ++number) {
    const auto line = body.substr(0, body.find('\n'));
    body.remove_prefix(std::min(line.size() + 1, body.size()));
    if (line.find_first_not_of(" \r\t") == line.npos) continue;
    const std::string where = fmt::format("line {}", number);
    const Json json = TRY(parse_json(line, where, {.bytes_max = kCommitLineBytesMax, .depth_max = 8}));
    const auto key = TRY(json_string(json, "key", where));
    const Json value = TRY(json_object(json, "value", where));
    if ((key == "header") == has_header) return fail(ErrorCode::invalid_argument, "a commit begins with its header, which stands once", where);
    if (key == "header") {
      TRY(parse_header(value, where, request));
      has_header = true;
      continue;
    }
    if (request.operations.size() >= kOperationsMax) return fail(ErrorCode::limit_exceeded, "too many operations", where);
    request.operations.push_back(TRY(parse_operation(key, value, where)));
    if (!paths.insert(path_in(request.operations.back())).second) return fail(ErrorCode::invalid_argument, "a path that stands twice", where);
  }
  if (!has_header) return fail(ErrorCode::invalid_argument, "a commit without a header", "line 1");
  return request;
}

}  // namespace redoubt::hub
