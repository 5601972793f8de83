// SPDX-License-Identifier: Apache-2.0
#include "provider/registry/registry_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "base/json.h"
#include "crypto/hash.h"

namespace redoubt::provider::registry {
namespace {

constexpr int kPagesMax = 1000, kAttemptsMax = 6;
constexpr std::uint64_t kWaitSecondsMax = 60;         // a registry that asks for more is come back to another day
constexpr int kUnauthorized = 401, kNotFound = 404;
constexpr const char* kLoginHint = "name a secret ('--login-secret') or a file ('--login-file') that holds USER:PASSWORD";
constexpr const char* kManifestTypes =
    "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, "
    "application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json";

bool is_busy(int status) { return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 || status == 504; }

// How long to wait before the next attempt: as the registry says, else longer each time.
std::uint64_t wait_ms(const http::ClientResponse* response, int attempt) {
  const auto* header = response == nullptr ? nullptr : response->headers.find("retry-after");
  if (const auto seconds = header == nullptr ? std::nullopt : retry_after(*header)) return *seconds * 1000;
  return 250ull << std::min(attempt, 6);
}

}  // namespace

Result<RegistryClient> RegistryClient::open(const http::ClientOptions& options, RemoteReference reference, const RegistryLogin& login, const RegistryAccess& access) {
  http::ClientOptions with_mirrors = options;
  with_mirrors.redirects = http::Redirects::to_any_host;  // registries keep blobs elsewhere; the digest proves them, and no token goes there
  RegistryClient made(with_mirrors, std::move(reference), access);
  made.credentials_ = login.credentials;
  http::ClientRequest request;
  request.url = made.reference_.origin + "/v2/";
  request.expected_statuses = {kUnauthorized};
  request.bytes_max = 1 << 20;
  const auto [response, body] = TRY(made.client_.fetch(request));
  if (response.status != kUnauthorized) return made;
  const auto* header = response.headers.find("www-authenticate");
  TRY(made.log_in(TRY(parse_challenge(header == nullptr ? "" : *header))));
  return made;
}

std::string RegistryClient::scope() const { return "repository:" + reference_.repository + (access_.push ? ":pull,push" : ":pull"); }

Status RegistryClient::log_in(const Challenge& challenge) const {
  const auto text = credentials_ ? text_of(credentials_->reveal(SecretAccess::for_protocol())) : std::string_view();
  const bool is_password = text.find(':') != text.npos;
  const std::lock_guard lock(session_->mutex);
  if (challenge.scheme == "basic") {
    if (!is_password) return fail(ErrorCode::permission_denied, "the registry wants a user and a password", reference_.origin, kLoginHint);
    session_->basic = credentials_;
    return {};
  }
  if (challenge.scheme != "bearer") return fail(ErrorCode::unsupported, "the registry asks for a login in a way that this program does not know", reference_.origin);
  if (credentials_ && !is_password) {
    session_->bearer = credentials_;
    return {};
  }
  return fetch_token(challenge);
}

// Without a password a token server gives what everybody may have.
Status RegistryClient::fetch_token(const Challenge& challenge) const {
  http::ClientRequest request;
  request.url = fmt::format("{}{}service={}&scope={}", challenge.realm, challenge.realm.find('?') == std::string::npos ? '?' : '&', percent_encode(challenge.service), percent_encode(scope()));
  if (!access_.mount_from.empty()) request.url += "&scope=" + percent_encode("repository:" + access_.mount_from + ":pull");
  request.basic = credentials_;
  request.bytes_max = 1 << 20;
  const auto [response, body] = TRY(client_.fetch(request));
  const Json answer = TRY(parse_json(body, "token server"));
  session_->bearer = Secret(TRY(json_string(answer, answer.is_object() && answer.contains("token") ? "token" : "access_token", "token server")));
  return {};
}

http::ClientRequest RegistryClient::request(std::string method, const std::string& path) const {
  http::ClientRequest request;
  request.method = std::move(method);
  request.url = fmt::format("{}/v2/{}/{}", reference_.origin, reference_.repository, path);
  request.bytes_max = kManifestBytesMax;
  return request;
}

Result<http::ClientResponse> RegistryClient::send(http::ClientRequest request, Sink& body) const {
  const auto wanted = request.expected_statuses;
  for (int status : {kUnauthorized, 408, 429, 500, 502, 503, 504}) request.expected_statuses.push_back(status);
  const std::string where = http::without_query(request.url);
  bool renewed = false;
  for (int attempt = 0;; ++attempt) {
    {
      const std::lock_guard lock(session_->mutex);
      request.bearer = session_->bearer;
      request.basic = session_->basic;
    }
    auto response = client_.send(request, body);
    // What the client itself tries again (GET, HEAD) it has tried; a POST or a PATCH is for the caller, who knows how far it came.
    if (!response) return response;
    if (std::find(wanted.begin(), wanted.end(), response->status) != wanted.end()) return response;
    if (response->status == kUnauthorized) {
      const auto* header = response->headers.find("www-authenticate");
      if (renewed || header == nullptr) return fail(ErrorCode::permission_denied, "the registry refused access (HTTP 401)", where, "check the login, and that it may do this in " + reference_.repository);
      renewed = true;
      TRY(log_in(TRY(parse_challenge(*header))));
      continue;
    }
    if (!is_busy(response->status)) return response;
    const std::uint64_t wait = wait_ms(&*response, attempt);
    if (attempt + 1 >= kAttemptsMax || wait > kWaitSecondsMax * 1000) {
      return fail(ErrorCode::unavailable, fmt::format("the registry is busy or failed (HTTP {})", response->status), where, wait > kWaitSecondsMax * 1000 ? fmt::format("it asks to come back in {} seconds", wait / 1000) : "try again later");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(wait));
  }
}

Result<std::pair<http::ClientResponse, std::string>> RegistryClient::fetch(http::ClientRequest request) const {
  MemorySink sink;
  auto response = TRY(send(std::move(request), sink));
  return std::pair(std::move(response), to_text(sink.take()));
}

Status RegistryClient::check_digest(const http::ClientResponse& response, const Digest& digest, const std::string& where) const {
  const auto* given = response.headers.find("docker-content-digest");
  if (given == nullptr || *given == digest.tagged()) return {};
  return fail(ErrorCode::tampered, "the registry holds something else than was sent: it names " + given->substr(0, 80), where, "don't use this registry until you know why");
}

Result<std::optional<RegistryClient::Manifest>> RegistryClient::manifest(const std::string& tag_or_digest) const {
  auto asked = request("GET", "manifests/" + tag_or_digest);
  asked.headers.add("Accept", kManifestTypes);
  asked.expected_statuses = {kNotFound};
  auto [response, body] = TRY(fetch(std::move(asked)));
  if (response.status == kNotFound) return std::optional<Manifest>();
  const Digest digest = crypto::sha256(body);
  const auto where = reference_.repository + ":" + tag_or_digest;
  TRY(check_digest(response, digest, where));
  if (const auto wanted = Digest::parse(tag_or_digest); wanted && *wanted != digest) return fail(ErrorCode::tampered, "the registry gives another manifest than was asked for", where);
  const auto* type = response.headers.find("content-type");
  std::string media_type = type == nullptr ? "" : type->substr(0, type->find(';'));
  return std::optional(Manifest{{std::move(media_type), digest, body.size()}, std::move(body)});
}

// Follows the links from page to page; they may lead nowhere but further along the same list.
Result<std::vector<std::string>> RegistryClient::pages(const std::string& path, bool& found) const {
  std::vector<std::string> pages;
  auto asked = request("GET", path);
  const std::string base = asked.url.substr(0, asked.url.find('?'));
  for (int page = 0; page < kPagesMax; ++page) {
    asked.expected_statuses = {kNotFound};
    const auto [response, body] = TRY(fetch(asked));
    found = response.status != kNotFound;
    if (!found) return pages;
    pages.push_back(body);
    const auto* link = response.headers.find("link");
    const auto next = link == nullptr ? std::nullopt : next_link(*link);
    if (!next) return pages;
    const bool is_path = next->starts_with('/') && !next->starts_with("//");
    // A registry may write its own address otherwise: without the usual port, or in capitals.
    const std::string url = is_path ? reference_.origin + *next : TRY(origin_of(*next)) + TRY(http::parse_url(*next)).target;
    if (url.substr(0, url.find('?')) != base) return fail(ErrorCode::gate_refused, "the registry's list goes on somewhere else", http::without_query(url));
    if (url == asked.url) return fail(ErrorCode::unavailable, "the registry's list goes round", base);
    asked.url = url;
  }
  return fail(ErrorCode::limit_exceeded, "the registry's list has too many pages", base);
}

Result<std::vector<std::string>> RegistryClient::tags() const {
  bool found = false;  // not for a repository that nothing was pushed to
  std::vector<std::string> tags;
  for (const auto& page : TRY(pages("tags/list?n=1000", found))) {
    const Json answer = TRY(parse_json(page, "list of tags"));
    for (const auto& tag : json_or(answer, "tags", Json::array())) {
      if (tag.is_string() && is_tag(tag.get_ref<const std::string&>())) tags.push_back(tag.get<std::string>());
    }
  }
  std::sort(tags.begin(), tags.end());
  return tags;
}

Result<std::optional<std::vector<std::string>>> RegistryClient::referrers(const Digest& digest) const {
  bool found = false;
  auto list = TRY(pages("referrers/" + digest.tagged(), found));
  if (!found) return std::optional<std::vector<std::string>>();
  return std::optional(std::move(list));
}

Result<RegistryClient::Subject> RegistryClient::put_manifest(const std::string& tag_or_digest, const ImageDescriptor& manifest, std::string bytes) const {
  auto put = request("PUT", "manifests/" + tag_or_digest);
  put.headers.add("Content-Type", manifest.media_type);
  put.body = std::move(bytes);
  const auto [response, body] = TRY(fetch(std::move(put)));
  if (response.status != 201) return fail(ErrorCode::unsupported, fmt::format("the registry did not say that it keeps the manifest (HTTP {})", response.status), manifest.digest.tagged());
  TRY(check_digest(response, manifest.digest, reference_.repository + ":" + tag_or_digest));
  return response.headers.find("oci-subject") == nullptr ? Subject::unnoticed : Subject::noticed;
}

}  // namespace redoubt::provider::registry
