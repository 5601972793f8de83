// SPDX-License-Identifier: Apache-2.0
#include "stages/acquire/hub_client.h"

#include <fmt/format.h>

#include "base/file.h"
#include "base/json.h"

namespace redoubt::stages::acquire {
namespace {

constexpr std::size_t kFilesMax = 10'000, kPagesMax = 100;
constexpr std::uint64_t kAnswerBytesMax = 32 << 20;
constexpr std::uint64_t kFileBytesMax = 1ull << 40;

bool is_commit(const std::string& text) { return text.size() == 40 && text.find_first_not_of("0123456789abcdef") == text.npos; }

// RFC 3986 unreserved characters and '/' stand for themselves.
std::string escape(std::string_view path) {
  std::string out;
  for (unsigned char c : path) {
    if (std::isalnum(c) || c == '-' || c == '.' || c == '_' || c == '~' || c == '/') {
      out.push_back(static_cast<char>(c));
    } else {
      out += fmt::format("%{:02X}", c);
    }
  }
  return out;
}

Result<HubFile> parse_entry(const Json& entry, const std::string& where) {
  HubFile file;
  file.path = TRY(json_string(entry, "path", where));
  file.size = static_cast<std::uint64_t>(TRY(json_integer(entry, "size", where)));
  file.blob_id = TRY(json_string(entry, "oid", where));
  if (TRY(json_integer(entry, "size", where)) < 0 || file.size > kFileBytesMax) return fail(ErrorCode::invalid_argument, "the hub names an impossible size", file.path);
  if (!is_safe_relative_path(file.path)) return fail(ErrorCode::gate_refused, "the hub names a path outside of the model's folder", file.path);
  if (entry.contains("lfs")) {
    const Json lfs = TRY(json_object(entry, "lfs", where));
    file.sha256 = TRY(Digest::parse(TRY(json_string(lfs, "oid", where))));
    const auto size = TRY(json_integer(lfs, "size", where));
    if (size < 0 || static_cast<std::uint64_t>(size) > kFileBytesMax) return fail(ErrorCode::invalid_argument, "the hub names an impossible size", file.path);
    file.size = static_cast<std::uint64_t>(size);
  }
  return file;
}

// The address behind rel="next" of a Link header (RFC 8288); empty when there is none.
std::string next_page(const http::ClientResponse& response) {
  const auto* link = response.headers.find("link");
  if (link == nullptr || link->find("rel=\"next\"") == link->npos) return "";
  const auto open = link->find('<'), close = link->find('>');
  return open == link->npos || close == link->npos || close < open ? "" : link->substr(open + 1, close - open - 1);
}

}  // namespace

HubClient::HubClient(HubOptions options)
    : options_(std::move(options)), client_(http::ClientOptions{.ca_file = options_.ca_file, .allowed_hosts = options_.allowed_hosts}) {}

http::ClientRequest HubClient::request(std::string url) const {
  http::ClientRequest request;
  request.url = std::move(url);
  request.bearer = options_.token;
  request.bytes_max = kAnswerBytesMax;
  return request;
}

Result<std::string> HubClient::resolve(const std::string& repository, const std::string& revision) const {
  const std::string url = fmt::format("{}/api/models/{}/revision/{}", options_.endpoint, escape(repository), escape(revision));
  auto answer = client_.fetch(request(url));
  if (!answer) {
    if (answer.error().code == ErrorCode::not_found) answer.error().message = fmt::format("the hub has no model '{}' at revision '{}'", repository, revision);
    return fail(answer.error());
  }
  const std::string commit = TRY(json_string(TRY(parse_json(answer->second, url)), "sha", url));
  if (!is_commit(commit)) return fail(ErrorCode::invalid_argument, "the hub's answer names no commit", url);
  return commit;
}

Result<std::vector<HubFile>> HubClient::list(const std::string& repository, const std::string& commit) const {
  std::vector<HubFile> files;
  std::string url = fmt::format("{}/api/models/{}/tree/{}?recursive=true&expand=false", options_.endpoint, escape(repository), commit);
  for (std::size_t page = 0; page < kPagesMax && !url.empty(); ++page) {
    const auto answer = TRY(client_.fetch(request(url)));
    const Json entries = TRY(parse_json(answer.second, url));
    if (!entries.is_array()) return fail(ErrorCode::invalid_argument, "the hub's answer is no list of files", url);
    for (const auto& entry : entries) {
      if (entry.is_object() && entry.value("type", "") == "file") files.push_back(TRY(parse_entry(entry, url)));
    }
    if (files.size() > kFilesMax) return fail(ErrorCode::limit_exceeded, "the repository has too many files", repository);
    url = next_page(answer.first);
    // A page's address comes from the hub, and the token goes with it: it has to be the hub's own.
    if (!url.empty() && !url.starts_with(options_.endpoint + "/")) {
      return fail(ErrorCode::gate_refused, "the hub's list goes on at another address", http::without_query(url));
    }
  }
  if (files.empty()) return fail(ErrorCode::not_found, "the repository holds no file", repository);
  return files;
}

Status HubClient::download(const std::string& repository, const std::string& commit, const HubFile& file, std::uint64_t offset,
                           std::uint64_t length, Sink& into) const {
  auto get = request(fmt::format("{}/{}/resolve/{}/{}", options_.endpoint, escape(repository), commit, escape(file.path)));
  get.bytes_max = length;
  // Without a range for a whole file: not every host has them, and an empty file has none.
  if (length != file.size) {
    get.offset = offset;
    get.length = length;
  }
  (void)TRY(client_.send(get, into));
  return {};
}

}  // namespace redoubt::stages::acquire
