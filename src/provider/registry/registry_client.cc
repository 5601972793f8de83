// SPDX-License-Identifier: Apache-2.0
#include "provider/registry/registry_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <regex>

#include "base/json.h"
#include "crypto/hash.h"

namespace redoubt::provider::registry {
namespace {

constexpr std::uint64_t kManifestBytesMax = 4 << 20;  // what every registry takes at least
constexpr std::size_t kPartBytes = 16 << 20;
constexpr int kPagesMax = 1000;
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

class TextSource final : public Source {
 public:
  explicit TextSource(std::string text) : text_(std::move(text)), rest_(view_of(text_)) {}
  Result<std::size_t> read(MutableByteView into) override { return rest_.read(into); }

 private:
  std::string text_;
  MemorySource rest_;
};

// A blob in ranges, so that a reader pulls at its own pace; its digest is checked at the end.
class BlobSource final : public Source {
 public:
  BlobSource(const http::Client& client, http::ClientRequest get, std::uint64_t size, const Digest& expected)
      : client_(client), get_(std::move(get)), size_(size), expected_(expected) {}

  Result<std::size_t> read(MutableByteView into) override {
    if (used_ == part_.size() && fetched_ < size_) TRY(fetch());
    const std::size_t count = std::min(into.size(), part_.size() - used_);
    std::copy_n(part_.begin() + static_cast<std::ptrdiff_t>(used_), count, into.begin());
    used_ += count;
    if (count == 0 && !into.empty() && !std::exchange(ended_, true) && hash_.finish() != expected_) {
      return fail(ErrorCode::tampered, "an image blob is not what its digest says", expected_.tagged());
    }
    return count;
  }

 private:
  Status fetch() {
    get_.offset = fetched_;
    get_.length = get_.bytes_max = std::min<std::uint64_t>(kPartBytes, size_ - fetched_);
    MemorySink sink;
    TRY(client_.send(get_, sink));
    part_ = sink.take();
    if (part_.size() != get_.length) return fail(ErrorCode::unavailable, "the registry cut a blob off", expected_.tagged(), "try again");
    hash_.update(part_);
    fetched_ += part_.size();
    used_ = 0;
    return {};
  }

  const http::Client& client_;
  http::ClientRequest get_;
  std::uint64_t size_, fetched_ = 0;
  Digest expected_;
  crypto::Sha256 hash_;
  Bytes part_;
  std::size_t used_ = 0;
  bool ended_ = false;
};

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

Result<bool> RegistryClient::has_blob(const ImageDescriptor& blob) {
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
  std::string url = TRY(next_url(response));
  url += url.find('?') == url.npos ? '?' : '&';
  return url + "digest=" + percent_encode(digest.tagged());
}

Status RegistryClient::put_blob(const ImageDescriptor& blob, Source& contents) {
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

// Where the next part goes: each answer names it anew.
Result<std::string> RegistryClient::next_url(const http::ClientResponse& response) const {
  const auto* location = response.headers.find("location");
  if (location == nullptr || location->empty()) return fail(ErrorCode::unsupported, "the registry names no address to send a blob to", reference_.origin);
  const bool is_path = location->starts_with('/') && !location->starts_with("//");
  std::string url = is_path ? reference_.origin + *location : *location;
  if (TRY(origin_of(url)) == reference_.origin) return url;
  return fail(ErrorCode::gate_refused, "the registry wants the blob to be sent to another host", http::without_query(url), "name that host as the registry if it is yours");
}

Result<Digest> RegistryClient::put_blob(Source& contents) {
  crypto::Sha256 hash;
  Bytes part(kPartBytes);
  std::string url;
  for (std::uint64_t sent = 0;;) {
    std::size_t filled = 0;
    for (std::size_t count = 1; count > 0 && filled < part.size(); filled += count) count = TRY(contents.read(MutableByteView(part).subspan(filled)));
    const ByteView bytes = ByteView(part).first(filled);
    hash.update(bytes);
    if (url.empty()) url = TRY(next_url(TRY(client_.fetch(request("POST", "blobs/uploads/"))).first));
    if (filled > 0) {
      auto patch = request("PATCH", "");
      patch.url = url;
      patch.headers.add("Content-Type", "application/octet-stream");
      patch.headers.add("Content-Range", fmt::format("{}-{}", sent, sent + filled - 1));
      MemorySource source(bytes);
      patch.upload = &source;
      patch.upload_bytes = filled;
      url = TRY(next_url(TRY(client_.fetch(patch)).first));
      sent += filled;
    }
    if (filled < part.size()) break;
  }
  const Digest digest = hash.finish();
  auto put = request("PUT", "");
  put.url = url + (url.find('?') == url.npos ? "?" : "&") + "digest=" + percent_encode(digest.tagged());
  const auto [response, body] = TRY(client_.fetch(put));
  if (response.status != 201) return fail(ErrorCode::unsupported, fmt::format("the registry did not say that it keeps the blob (HTTP {})", response.status), digest.tagged());
  TRY(check_digest(response, digest, digest.tagged()));
  return digest;
}

Result<std::unique_ptr<Source>> RegistryClient::open_blob(const Digest& digest) const {
  auto asked = request("HEAD", "blobs/" + digest.tagged());
  MemorySink nothing;
  const auto head = client_.send(asked, nothing);
  // A registry that keeps blobs elsewhere points there already at a HEAD, and tells the length there.
  if (!head && head.error().code == ErrorCode::not_found) {
    auto as_manifest = TRY(manifest(digest.tagged()));
    if (!as_manifest) return fail(ErrorCode::not_found, "no such blob", digest.tagged());
    return std::unique_ptr<Source>(std::make_unique<TextSource>(std::move(as_manifest->bytes)));
  }
  if (!head) return fail(head.error());
  const auto* length = head->headers.find("content-length");
  if (length == nullptr) return fail(ErrorCode::unsupported, "the registry tells no length of a blob", digest.tagged());
  asked.method = "GET";
  return std::unique_ptr<Source>(std::make_unique<BlobSource>(client_, std::move(asked), std::strtoull(length->c_str(), nullptr, 10), digest));
}

Result<std::optional<RegistryClient::Manifest>> RegistryClient::manifest(const std::string& tag_or_digest) const {
  auto asked = request("GET", "manifests/" + tag_or_digest);
  asked.headers.add("Accept", kManifestTypes);
  asked.expected_statuses = {404};
  auto [response, body] = TRY(client_.fetch(asked));
  if (response.status == 404) return std::optional<Manifest>();
  const Digest digest = crypto::sha256(body);
  const auto where = reference_.repository + ":" + tag_or_digest;
  TRY(check_digest(response, digest, where));
  if (const auto wanted = Digest::parse(tag_or_digest); wanted && *wanted != digest) return fail(ErrorCode::tampered, "the registry gives another manifest than was asked for", where);
  const auto* type = response.headers.find("content-type");
  return std::optional(Manifest{{type == nullptr ? "" : *type, digest, body.size()}, std::move(body)});
}

Result<std::vector<std::string>> RegistryClient::tags() const {
  std::vector<std::string> tags;
  std::string path = "tags/list?n=1000";
  for (int page = 0; page < kPagesMax; ++page) {
    auto asked = request("GET", path);
    asked.expected_statuses = {404};  // a repository that nothing was pushed to
    const auto [response, body] = TRY(client_.fetch(asked));
    if (response.status == 404) return tags;
    const Json answer = TRY(parse_json(body, "list of tags"));
    for (const auto& tag : json_or(answer, "tags", Json::array())) {
      if (tag.is_string() && std::regex_match(tag.get_ref<const std::string&>(), tag_grammar())) tags.push_back(tag.get<std::string>());
    }
    // Link: </v2/NAME/tags/list?n=..&last=..>; rel="next" (RFC 5988); the marker is all that is taken of it.
    const auto* link = response.headers.find("link");
    const auto last = link == nullptr ? std::string::npos : link->find("last=");
    if (last == std::string::npos) {
      std::sort(tags.begin(), tags.end());
      return tags;
    }
    path = "tags/list?n=1000&" + link->substr(last, link->find_first_of("&>", last) - last);
  }
  return fail(ErrorCode::limit_exceeded, "the repository has too many tags", reference_.repository);
}

Status RegistryClient::put_manifest(const std::string& tag, const ImageDescriptor& manifest, std::string bytes) {
  auto put = request("PUT", "manifests/" + tag);
  put.headers.add("Content-Type", manifest.media_type);
  put.body = std::move(bytes);
  const auto [response, body] = TRY(client_.fetch(put));
  if (response.status != 201) return fail(ErrorCode::unsupported, fmt::format("the registry did not say that it keeps the manifest (HTTP {})", response.status), manifest.digest.tagged());
  return check_digest(response, manifest.digest, reference_.repository + ":" + tag);
}

}  // namespace redoubt::provider::registry
