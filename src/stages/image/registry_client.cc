// SPDX-License-Identifier: Apache-2.0
#include "stages/image/registry_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <regex>

#include "base/json.h"
#include "crypto/hash.h"

namespace redoubt::stages::image {
namespace {

constexpr std::uint64_t kManifestBytesMax = 4 << 20;  // what every registry takes at least
constexpr const char* kManifestTypes =
    "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, "
    "application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json";

// The specification's grammars, under "Pulling manifests".
const std::regex& repository_grammar() {
  static const std::regex grammar("[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*)*");
  return grammar;
}
const std::regex& tag_grammar() {
  static const std::regex grammar("[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}");
  return grammar;
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

std::string percent_encode(std::string_view text) {
  std::string out;
  for (unsigned char c : text) {
    const bool plain = std::isalnum(c) != 0 || c == '-' || c == '.' || c == '_' || c == '~';
    plain ? out.push_back(static_cast<char>(c)) : static_cast<void>(out += fmt::format("%{:02X}", c));
  }
  return out;
}

Result<std::string> origin_of(const std::string& url) {
  const auto parts = TRY(http::parse_url(url));
  return fmt::format("{}://{}:{}", parts.scheme, parts.host, parts.port);
}

}  // namespace

Result<RemoteReference> parse_remote_reference(const std::string& url) {
  constexpr const char* kHint = "write https://HOST[:PORT]/REPOSITORY[:TAG]";
  const auto parts = TRY(http::parse_url(url));
  if (parts.scheme != "https") return fail(ErrorCode::invalid_argument, "an image is pushed over HTTPS alone", http::without_query(url), kHint);
  // Dot segments would be resolved away by the URL's parser, and another name than was written would be pushed to.
  if (url.find_first_of("?#@%\\") != url.npos || url.find("/.") != url.npos) return fail(ErrorCode::invalid_argument, "not the address of an image", http::without_query(url), kHint);
  RemoteReference reference;
  reference.origin = TRY(origin_of(url));
  reference.repository = parts.target.substr(1);
  if (const auto colon = reference.repository.find(':'); colon != std::string::npos) {
    reference.tag = reference.repository.substr(colon + 1);
    reference.repository.resize(colon);
    if (!std::regex_match(reference.tag, tag_grammar())) return fail(ErrorCode::invalid_argument, "no registry takes this tag", reference.tag, kHint);
  }
  if (reference.repository.size() > 255 || !std::regex_match(reference.repository, repository_grammar())) {
    return fail(ErrorCode::invalid_argument, "no registry takes this name of a repository", reference.repository, kHint);
  }
  return reference;
}

Result<Challenge> parse_challenge(std::string_view header) {
  const auto bad = [] { return fail(ErrorCode::unsupported, "the registry asks for a login in a way that this program does not know"); };
  if (header.size() > 8192) return bad();
  Challenge challenge;
  const auto space = std::min(header.find(' '), header.size());
  challenge.scheme = lower(header.substr(0, space));
  header.remove_prefix(space);
  while (true) {
    header.remove_prefix(std::min(header.find_first_not_of(" \t,"), header.size()));
    if (header.empty()) return challenge;
    const auto equals = header.find('=');
    if (equals == header.npos) return bad();
    const std::string name = lower(header.substr(0, equals));
    header.remove_prefix(equals + 1);
    std::string value;
    if (header.starts_with('"')) {
      std::size_t at = 1;
      for (; at < header.size() && header[at] != '"'; ++at) {
        if (header[at] == '\\' && ++at == header.size()) return bad();
        value.push_back(header[at]);
      }
      if (at >= header.size()) return bad();
      header.remove_prefix(at + 1);
    } else {
      const auto end = std::min(header.find_first_of(" \t,"), header.size());
      value = header.substr(0, end);
      header.remove_prefix(end);
    }
    if (name == "realm") challenge.realm = value;
    if (name == "service") challenge.service = value;
    if (name == "scope") challenge.scope = value;
  }
}

Result<RegistryClient> RegistryClient::open(const http::ClientOptions& options, RemoteReference reference, const RegistryLogin& login) {
  RegistryClient made(options, std::move(reference));
  http::ClientRequest request;
  request.url = made.reference_.origin + "/v2/";
  request.expected_statuses = {401};
  request.bytes_max = 1 << 20;
  const auto [response, body] = TRY(made.client_.fetch(request));
  if (response.status != 401) return made;
  const auto* header = response.headers.find("www-authenticate");
  TRY(made.log_in(TRY(parse_challenge(header == nullptr ? "" : *header)), login));
  return made;
}

Status RegistryClient::log_in(const Challenge& challenge, const RegistryLogin& login) {
  constexpr const char* kHint = "name a secret ('--login-secret') or a file ('--login-file') that holds USER:PASSWORD";
  const auto text = login.credentials ? text_of(login.credentials->reveal(SecretAccess::for_protocol())) : std::string_view();
  const bool is_password = text.find(':') != text.npos;
  if (challenge.scheme == "basic") {
    if (!is_password) return fail(ErrorCode::permission_denied, "the registry wants a user and a password", reference_.origin, kHint);
    basic_ = login.credentials;
    return {};
  }
  if (challenge.scheme != "bearer") return fail(ErrorCode::unsupported, "the registry asks for a login in a way that this program does not know", reference_.origin);
  if (login.credentials && !is_password) {
    bearer_ = login.credentials;
    return {};
  }
  // Without a password a token server gives what everybody may have.
  http::ClientRequest request;
  request.url = fmt::format("{}{}service={}&scope={}", challenge.realm, challenge.realm.find('?') == std::string::npos ? '?' : '&', percent_encode(challenge.service),
                            percent_encode("repository:" + reference_.repository + ":pull,push"));
  request.basic = login.credentials;
  request.bytes_max = 1 << 20;
  const auto [response, body] = TRY(client_.fetch(request));
  const Json answer = TRY(parse_json(body, "token server"));
  bearer_ = Secret(TRY(json_string(answer, answer.is_object() && answer.contains("token") ? "token" : "access_token", "token server")));
  return {};
}

http::ClientRequest RegistryClient::request(std::string method, const std::string& path) const {
  http::ClientRequest request;
  request.method = std::move(method);
  request.url = fmt::format("{}/v2/{}/{}", reference_.origin, reference_.repository, path);
  request.bearer = bearer_;
  request.basic = basic_;
  request.bytes_max = kManifestBytesMax;
  return request;
}

Status RegistryClient::check_digest(const http::ClientResponse& response, const Digest& digest, const std::string& where) const {
  const auto* given = response.headers.find("docker-content-digest");
  if (given == nullptr || *given == digest.tagged()) return {};
  return fail(ErrorCode::tampered, "the registry holds something else than was sent: it names " + given->substr(0, 80), where, "don't use this registry until you know why");
}

Result<bool> RegistryClient::has_blob(const provider::ImageDescriptor& blob) {
  auto asked = request("HEAD", "blobs/" + blob.digest.tagged());
  asked.expected_statuses = {404};
  MemorySink nothing;
  const auto response = client_.send(asked, nothing);
  // A registry may keep blobs elsewhere and point there; whoever is not followed there sends the blob again.
  if (!response && response.error().code == ErrorCode::gate_refused) return false;
  if (!response) return fail(response.error());
  if (response->status == 404) return false;
  TRY(check_digest(*response, blob.digest, blob.digest.tagged()));
  const auto* length = response->headers.find("content-length");
  return length != nullptr && *length == std::to_string(blob.size);
}

// The address for the PUT: on this registry, with the digest.
Result<std::string> RegistryClient::upload_url(const http::ClientResponse& response, const Digest& digest) const {
  const auto* location = response.headers.find("location");
  if (location == nullptr || location->empty()) return fail(ErrorCode::unsupported, "the registry names no address to send a blob to", reference_.origin);
  const bool is_path = location->starts_with('/') && !location->starts_with("//");
  std::string url = is_path ? reference_.origin + *location : *location;
  if (TRY(origin_of(url)) != reference_.origin) {
    return fail(ErrorCode::gate_refused, "the registry wants the blob to be sent to another host", http::without_query(url), "name that host as the registry if it is yours");
  }
  url += url.find('?') == url.npos ? '?' : '&';
  return url + "digest=" + percent_encode(digest.tagged());
}

Status RegistryClient::put_blob(const provider::ImageDescriptor& blob, Source& contents) {
  const auto [begun, ignored] = TRY(client_.fetch(request("POST", "blobs/uploads/")));
  auto put = request("PUT", "");
  put.url = TRY(upload_url(begun, blob.digest));
  put.headers.add("Content-Type", "application/octet-stream");
  put.upload = &contents;
  put.upload_bytes = blob.size;
  const auto [response, body] = TRY(client_.fetch(put));
  if (response.status != 201) return fail(ErrorCode::unsupported, fmt::format("the registry did not say that it keeps the blob (HTTP {})", response.status), blob.digest.tagged());
  return check_digest(response, blob.digest, blob.digest.tagged());
}

Result<std::optional<Digest>> RegistryClient::manifest_digest(const std::string& tag) {
  auto asked = request("GET", "manifests/" + tag);
  asked.headers.add("Accept", kManifestTypes);
  asked.expected_statuses = {404};
  const auto [response, body] = TRY(client_.fetch(asked));
  if (response.status == 404) return std::optional<Digest>();
  const Digest digest = crypto::sha256(body);
  TRY(check_digest(response, digest, reference_.repository + ":" + tag));
  return std::optional(digest);
}

Status RegistryClient::put_manifest(const std::string& tag, const provider::ImageDescriptor& manifest, std::string bytes) {
  auto put = request("PUT", "manifests/" + tag);
  put.headers.add("Content-Type", manifest.media_type);
  put.body = std::move(bytes);
  const auto [response, body] = TRY(client_.fetch(put));
  if (response.status != 201) return fail(ErrorCode::unsupported, fmt::format("the registry did not say that it keeps the manifest (HTTP {})", response.status), manifest.digest.tagged());
  return check_digest(response, manifest.digest, reference_.repository + ":" + tag);
}

}  // namespace redoubt::stages::image
