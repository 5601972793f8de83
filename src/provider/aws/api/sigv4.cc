// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/api/sigv4.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/lower_case.h"
#include "crypto/hash.h"

namespace redoubt::provider::aws {
namespace {

constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256";
constexpr std::string_view kEmptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

// Without white space at the ends, and with one space for each run of it.
std::string canonical_value(std::string_view value) {
  std::string out;
  for (const char c : value) {
    const bool space = c == ' ' || c == '\t' || c == '\n' || c == '\r';
    if (!space) {
      out += c;
    } else if (!out.empty() && out.back() != ' ') {
      out += ' ';
    }
  }
  if (out.ends_with(' ')) out.pop_back();
  return out;
}

// Lower-case name to the values of that name, in the order they came.
std::map<std::string, std::string> canonical_headers(const http::Headers& headers) {
  std::map<std::string, std::string> out;
  for (const auto& header : headers) {
    const auto [at, is_new] = out.try_emplace(lower_case(header.name), canonical_value(header.value));
    if (!is_new) at->second += "," + canonical_value(header.value);
  }
  return out;
}

std::string signed_names(const http::Headers& headers) {
  std::string out;
  for (const auto& [name, value] : canonical_headers(headers)) out += (out.empty() ? "" : ";") + name;
  return out;
}

// RFC 3986 section 5.2.4, but runs of '/' become one, and the end is a '/' only where it was one.
std::string normalised_path(std::string_view path) {
  std::vector<std::string_view> kept;
  for (std::size_t at = 0; at < path.size();) {
    const auto end = std::min(path.find('/', at), path.size());
    const auto segment = path.substr(at, end - at);
    if (segment == "..") {
      if (!kept.empty()) kept.pop_back();
    } else if (!segment.empty() && segment != ".") {
      kept.push_back(segment);
    }
    at = end + 1;
  }
  std::string out;
  for (const auto& segment : kept) out.append("/").append(segment);
  return out.empty() || path.ends_with('/') ? out + "/" : out;
}

std::string canonical_path(const SignableRequest& request) {
  if (request.path.empty()) return "/";
  return request.is_s3 ? request.path : uri_encode(normalised_path(request.path), true);
}

std::string scope_text(const SigningScope& scope) {
  return fmt::format("{}/{}/{}/aws4_request", amz_date(scope.time).substr(0, 8), scope.region, scope.service);
}

Secret keyed(const Secret& key, std::string_view message) {
  const auto digest = crypto::hmac_sha256(key, view_of(message));
  return Secret(text_of(digest.bytes()));
}

Secret signing_key(const SigningScope& scope, const Secret& secret_access_key) {
  const auto secret = secret_access_key.reveal(SecretAccess::for_crypto());
  Secret key = Secret::of_size(4 + secret.size());
  const auto bytes = key.writable(SecretAccess::for_crypto());
  std::copy_n("AWS4", 4, bytes.begin());
  std::copy(secret.begin(), secret.end(), bytes.begin() + 4);
  for (const auto& part : {amz_date(scope.time).substr(0, 8), scope.region, scope.service, std::string("aws4_request")}) key = keyed(key, part);
  return key;
}

std::string text_of_secret(const Secret& secret) { return to_text(secret.reveal(SecretAccess::for_protocol())); }

}  // namespace

std::string amz_date(TimePoint time) {
  return fmt::format("{:%Y%m%dT%H%M%SZ}", fmt::gmtime(std::chrono::system_clock::to_time_t(time)));
}

std::string uri_encode(std::string_view text, bool keep_slash) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    const bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
    if (plain || (keep_slash && c == '/')) {
      out += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    out += {'%', kDigits[byte >> 4], kDigits[byte & 15]};
  }
  return out;
}

std::string canonical_query(const Query& query) {
  Query encoded;
  for (const auto& [name, value] : query) encoded.emplace_back(uri_encode(name), uri_encode(value));
  std::sort(encoded.begin(), encoded.end());
  std::string out;
  for (const auto& [name, value] : encoded) out += (out.empty() ? "" : "&") + name + "=" + value;
  return out;
}

std::string canonical_request(const SignableRequest& request) {
  std::string headers;
  for (const auto& [name, value] : canonical_headers(request.headers)) headers += name + ":" + value + "\n";
  return fmt::format("{}\n{}\n{}\n{}\n{}\n{}", request.method, canonical_path(request), canonical_query(request.query), headers,
                     signed_names(request.headers), request.payload_hash);
}

std::string string_to_sign(const SignableRequest& request, const SigningScope& scope) {
  return fmt::format("{}\n{}\n{}\n{}", kAlgorithm, amz_date(scope.time), scope_text(scope), crypto::sha256(canonical_request(request)).hex());
}

std::string signature(const SignableRequest& request, const SigningScope& scope, const Secret& secret_access_key) {
  return crypto::hmac_sha256(signing_key(scope, secret_access_key), view_of(string_to_sign(request, scope))).hex();
}

http::Headers signed_headers(SignableRequest request, const SigningScope& scope, const Credentials& credentials) {
  request.headers.add("x-amz-date", amz_date(scope.time));
  if (request.is_s3 && request.headers.find("x-amz-content-sha256") == nullptr) request.headers.add("x-amz-content-sha256", request.payload_hash);
  if (credentials.session_token) request.headers.add("x-amz-security-token", text_of_secret(*credentials.session_token));
  const auto value = fmt::format("{} Credential={}/{}, SignedHeaders={}, Signature={}", kAlgorithm, credentials.access_key_id, scope_text(scope),
                                 signed_names(request.headers), signature(request, scope, credentials.secret_access_key));
  request.headers.add("authorization", value);
  return std::move(request.headers);
}

std::string presigned_query(SignableRequest request, const SigningScope& scope, const Credentials& credentials, int expires_s) {
  request.query.emplace_back("X-Amz-Algorithm", kAlgorithm);
  request.query.emplace_back("X-Amz-Credential", credentials.access_key_id + "/" + scope_text(scope));
  request.query.emplace_back("X-Amz-Date", amz_date(scope.time));
  request.query.emplace_back("X-Amz-Expires", std::to_string(expires_s));
  request.query.emplace_back("X-Amz-SignedHeaders", signed_names(request.headers));
  if (credentials.session_token) request.query.emplace_back("X-Amz-Security-Token", text_of_secret(*credentials.session_token));
  return canonical_query(request.query) + "&X-Amz-Signature=" + signature(request, scope, credentials.secret_access_key);
}

ChunkSigner::ChunkSigner(const SigningScope& scope, const Secret& secret_access_key, std::string seed_signature)
    : scope_(scope), key_(signing_key(scope, secret_access_key)), previous_(std::move(seed_signature)) {}

std::string ChunkSigner::header_of(ByteView chunk) {
  const auto text = fmt::format("{}-PAYLOAD\n{}\n{}\n{}\n{}\n{}", kAlgorithm, amz_date(scope_.time), scope_text(scope_), previous_, kEmptyHash,
                                crypto::sha256(chunk).hex());
  previous_ = crypto::hmac_sha256(key_, view_of(text)).hex();
  return fmt::format("{:x};chunk-signature={}\r\n", chunk.size(), previous_);
}

}  // namespace redoubt::provider::aws
