// SPDX-License-Identifier: Apache-2.0
#include "stages/acquire/hub_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/file.h"
#include "base/json.h"

namespace redoubt::stages::acquire {
namespace {

constexpr std::size_t kFilesMax = 10'000, kPagesMax = 100;
constexpr std::uint64_t kAnswerBytesMax = 32 << 20;
constexpr std::uint64_t kFileBytesMax = 1ull << 40;
constexpr std::string_view kPublicHub = "https://huggingface.co";
constexpr std::size_t kPathBytesMax = 1024;
constexpr const char* kRedirectHint = "where the hub keeps its files there, allow the host: model.allowed_hosts, or '--allow-host'";

constexpr std::string_view kLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

// RFC 3986 unreserved characters stand for themselves, and what is kept.
std::string escape(std::string_view text, std::string_view kept = "/") {
  std::string out;
  for (unsigned char c : text) {
    if (std::isalnum(c) || c == '-' || c == '.' || c == '_' || c == '~' || kept.find(static_cast<char>(c)) != kept.npos) {
      out.push_back(static_cast<char>(c));
    } else {
      out += fmt::format("%{:02X}", c);
    }
  }
  return out;
}

bool is_name(std::string_view text) {
  const bool sound = text.find_first_not_of(std::string(kLetters) + "-_.") == text.npos;
  return sound && !text.empty() && text.size() <= 96 && text.front() != '.' && text.front() != '-';
}

// A branch, a tag, a commit or "refs/pr/1".
bool is_revision(std::string_view text) {
  const bool sound = text.find_first_not_of(std::string(kLetters) + "-_./+") == text.npos;
  return sound && text.size() <= 128 && text.front() != '-' && is_safe_relative_path(text);
}

bool is_plain_path(const std::string& path) {
  const auto controls = [](unsigned char c) { return c < 0x20 || c == 0x7f; };
  return is_safe_relative_path(path) && path.size() <= kPathBytesMax && std::none_of(path.begin(), path.end(), controls);
}

Result<std::uint64_t> size_of(const Json& entry, const std::string& path, const std::string& where) {
  const auto size = json_integer(entry, "size", where);
  if (size && *size >= 0 && static_cast<std::uint64_t>(*size) <= kFileBytesMax) return static_cast<std::uint64_t>(*size);
  return fail(ErrorCode::gate_refused, "the hub names a size that no file of a model has", path);
}

Result<HubFile> parse_file(const Json& entry, const std::string& where) {
  HubFile file;
  file.path = TRY(json_string(entry, "path", where));
  if (!is_plain_path(file.path)) return fail(ErrorCode::gate_refused, "the hub names a path that is not one below the model's folder", file.path);
  file.size = TRY(size_of(entry, file.path, where));
  file.blob_id = TRY(json_string(entry, "oid", where));
  if (entry.contains("lfs") && !entry["lfs"].is_null()) {
    const Json lfs = TRY(json_object(entry, "lfs", where));
    file.sha256 = TRY(Digest::parse(TRY(json_string(lfs, "oid", where))));
    file.size = TRY(size_of(lfs, file.path, where));
  }
  return file;
}

// A page of the list; folders are left out, since every file says where it lies.
Status parse_page(const Json& entries, const std::string& where, std::vector<HubFile>& files) {
  if (!entries.is_array()) return fail(ErrorCode::gate_refused, "the hub's answer is no list of files", where);
  for (const auto& entry : entries) {
    const Json type = entry.is_object() ? entry.value("type", Json()) : Json();
    if (type == "directory") continue;
    if (type != "file") {
      const auto path = json_string(entry, "path", where);
      return fail(ErrorCode::gate_refused, "the hub's list holds what is neither a file nor a folder", path ? *path : where);
    }
    files.push_back(TRY(parse_file(entry, where)));
  }
  if (files.size() > kFilesMax) return fail(ErrorCode::limit_exceeded, "the repository has too many files", where);
  return {};
}

// No path twice, and none that is also the folder of another.
Status check_paths(const std::vector<HubFile>& files) {
  std::set<std::string> paths, folders;
  for (const auto& file : files) {
    if (!paths.insert(file.path).second) return fail(ErrorCode::gate_refused, "the path stands twice in the hub's list", file.path);
    for (auto slash = file.path.find('/'); slash != file.path.npos; slash = file.path.find('/', slash + 1)) folders.insert(file.path.substr(0, slash));
  }
  for (const auto& path : paths) {
    if (folders.contains(path)) return fail(ErrorCode::gate_refused, "the path is a file and a folder in the hub's list", path);
  }
  return {};
}

// What the hub says in JSON; nonsense is the hub's fault, not the caller's.
Result<Json> parse_answer(const std::string& text, const std::string& url) {
  auto json = parse_json(text, http::without_query(url));
  if (!json) return fail(ErrorCode::gate_refused, "the hub's answer can't be read: " + json.error().message, http::without_query(url), "check that the address is a Hugging Face hub's");
  return json;
}

// Takes no more bytes than there should be.
class BoundedSink final : public Sink {
 public:
  BoundedSink(Sink& into, std::uint64_t bytes_max, std::string where) : into_(into), bytes_max_(bytes_max), where_(std::move(where)) {}
  Status write(ByteView bytes) override {
    count += bytes.size();
    if (count > bytes_max_) return fail(ErrorCode::tampered, fmt::format("the hub sends more than the {} bytes that it named", bytes_max_), where_);
    return into_.write(bytes);
  }
  std::uint64_t count = 0;

 private:
  Sink& into_;
  std::uint64_t bytes_max_;
  std::string where_;
};

// The address behind rel="next" of a Link header (RFC 8288); empty when there is none.
std::string next_page(const http::ClientResponse& response) {
  const auto* link = response.headers.find("link");
  if (link == nullptr || link->find("rel=\"next\"") == link->npos) return "";
  const auto open = link->find('<'), close = link->find('>');
  return open == link->npos || close == link->npos || close < open ? "" : link->substr(open + 1, close - open - 1);
}

// The public hub redirects large files to stores whose names depend on the region and change (us.aws.cdn.hf.co,
// cas-bridge.xethub.hf.co); its documentation names these two domains. They get no token, and what they send is checked.
std::vector<std::string> allowed_hosts(const HubOptions& options) {
  auto hosts = options.allowed_hosts;
  if (options.endpoint == kPublicHub) hosts.insert(hosts.end(), {"*.hf.co", "*.huggingface.co"});
  return hosts;
}

bool is_unauthorized(const Error& error) { return error.code == ErrorCode::permission_denied && error.message.find("(HTTP 401)") != error.message.npos; }

// An error of the client that says which model was asked for.
Error named(Error error, const std::string& repository, const std::string& revision) {
  if (error.code != ErrorCode::not_found) return error;
  error.message = fmt::format("the hub has no model '{}' at revision '{}', or the token may not see it", repository, revision);
  return error;
}

}  // namespace

HubClient::HubClient(HubOptions options)
    : options_(std::move(options)), token_(options_.token), client_(http::ClientOptions{.ca_file = options_.ca_file, .allowed_hosts = allowed_hosts(options_)}) {}

http::ClientRequest HubClient::request(std::string url) const {
  http::ClientRequest request;
  request.url = std::move(url);
  request.bearer = token();
  request.bytes_max = kAnswerBytesMax;
  return request;
}

std::optional<Secret> HubClient::token() const {
  const std::scoped_lock lock(mutex_);
  return token_;
}

bool HubClient::has_newer_token(const Error& error, const std::optional<Secret>& used) const {
  if (!is_unauthorized(error) || !used || !options_.read_token_again) return false;
  const std::scoped_lock lock(mutex_);
  if (!(*token_ == *used)) return true;  // another thread has read it meanwhile
  if (was_read_again_) return false;
  was_read_again_ = true;
  auto token = options_.read_token_again();
  if (!token || *token == *token_) return false;
  token_ = std::move(*token);
  return true;
}

Result<std::pair<http::ClientResponse, std::string>> HubClient::fetch(const std::string& url) const {
  const auto first = request(url);
  auto answer = client_.fetch(first);
  if (answer || !has_newer_token(answer.error(), first.bearer)) return answer;
  return client_.fetch(request(url));
}

bool is_commit(const std::string& text) { return text.size() == 40 && text.find_first_not_of("0123456789abcdef") == text.npos; }

Status HubClient::check(const std::string& repository, const std::string& revision) const {
  if (TRY(http::parse_url(options_.endpoint)).scheme != "https") {
    return fail(ErrorCode::invalid_argument, "plain HTTP is not used", options_.endpoint, "name the hub by https://");
  }
  const auto slash = repository.find('/');
  const bool is_named = slash == repository.npos ? is_name(repository) : is_name(repository.substr(0, slash)) && is_name(repository.substr(slash + 1));
  if (!is_named) return fail(ErrorCode::invalid_argument, fmt::format("'{}' is no model's name", repository), "repository", "name it as OWNER/NAME or OWNER/NAME@REVISION");
  if (revision.empty() || !is_revision(revision)) {
    return fail(ErrorCode::invalid_argument, fmt::format("'{}' is no revision", revision), "revision", "name a branch, a tag or a commit");
  }
  return {};
}

Result<std::string> HubClient::resolve(const std::string& repository, const std::string& revision) const {
  const std::string url = fmt::format("{}/api/models/{}/revision/{}", options_.endpoint, escape(repository), escape(revision, ""));
  auto answer = fetch(url);
  if (!answer) return fail(named(std::move(answer.error()), repository, revision));
  const auto commit = json_string(TRY(parse_answer(answer->second, url)), "sha", url);
  if (!commit || !is_commit(*commit)) return fail(ErrorCode::gate_refused, "the hub's answer names no commit", url);
  return *commit;
}

Result<std::vector<HubFile>> HubClient::list(const std::string& repository, const std::string& commit) const {
  std::vector<HubFile> files;
  std::string url = fmt::format("{}/api/models/{}/tree/{}?recursive=true&expand=false", options_.endpoint, escape(repository), commit);
  for (std::size_t page = 0; !url.empty(); ++page) {
    if (page == kPagesMax) return fail(ErrorCode::limit_exceeded, "the hub's list of files does not end", repository);
    auto answer = fetch(url);
    if (!answer) return fail(named(std::move(answer.error()), repository, commit));
    auto page_read = parse_page(TRY(parse_answer(answer->second, url)), http::without_query(url), files);
    if (!page_read && page_read.error().code == ErrorCode::invalid_argument) page_read.error().code = ErrorCode::gate_refused;
    TRY(std::move(page_read));
    url = next_page(answer->first);
    // A page's address comes from the hub, and the token goes with it: it has to be the hub's own.
    if (!url.empty() && !url.starts_with(options_.endpoint + "/")) {
      return fail(ErrorCode::gate_refused, "the hub's list goes on at another address", http::without_query(url));
    }
  }
  if (files.empty()) return fail(ErrorCode::not_found, "the repository holds no file", repository);
  TRY(check_paths(files));
  return files;
}

http::ClientRequest HubClient::request_file(const std::string& repository, const std::string& commit, const std::string& path) const {
  return request(fmt::format("{}/{}/resolve/{}/{}", options_.endpoint, escape(repository), commit, escape(path)));
}

// When a range was not served: a hub whose file has another length than its list says is found out by its answer to the first byte.
Status HubClient::check_size(const http::ClientRequest& asked, const HubFile& file) const {
  auto first = asked;
  first.offset = 0;
  first.length = 1;
  const auto answer = client_.fetch(first);
  const auto* range = answer ? answer->first.headers.find("content-range") : nullptr;
  if (range == nullptr) return {};
  const auto total = range->substr(std::min(range->size(), range->rfind('/') + 1));
  if (total == std::to_string(file.size) || total == "*") return {};
  return fail(ErrorCode::tampered, fmt::format("the file has {} bytes, the hub's list says {}", total, file.size), file.path,
              "try again, and look into the hub if it happens twice");
}

Status HubClient::download(const std::string& repository, const std::string& commit, const HubFile& file, std::uint64_t offset,
                           std::uint64_t length, Sink& into) const {
  auto get = request_file(repository, commit, file.path);
  // Without a range for a whole file: not every host has them, and an empty file has none.
  const bool is_part = length != file.size;
  if (is_part) {
    get.offset = offset;
    get.length = length;
  }
  get.bytes_max = UINT64_MAX;  // the sink is the limit
  BoundedSink sink(into, length, repository + "/" + file.path);
  auto sent = client_.send(get, sink);
  if (!sent && sink.count == 0 && has_newer_token(sent.error(), get.bearer)) {
    get.bearer = token();
    sent = client_.send(get, sink);
  }
  if (sent) return {};
  auto& error = sent.error();
  if (is_part && error.code != ErrorCode::unavailable && error.code != ErrorCode::permission_denied && error.code != ErrorCode::tampered) {
    TRY(check_size(get, file));
  }
  if (error.code == ErrorCode::gate_refused && error.message.find("redirect") != std::string::npos) error.hint = kRedirectHint;
  if (error.where.find(file.path) == std::string::npos) error.where = fmt::format("{} ({})", file.path, error.where);
  return fail(std::move(error));
}

}  // namespace redoubt::stages::acquire
