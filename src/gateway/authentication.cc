// SPDX-License-Identifier: Apache-2.0
#include "gateway/authentication.h"

#include <algorithm>

#include "crypto/hash.h"

namespace redoubt::gateway {
namespace {

constexpr std::string_view kBearer = "Bearer ";

tl::unexpected<Error> denied(const char* why) { return fail(ErrorCode::permission_denied, why); }

}  // namespace

Result<ApiKeyInfo> Authentication::identify(const http::Request& request, Body body) const {
  const auto* header = request.headers.find("authorization");
  if (header == nullptr) return identify_certificate(request);
  if (request.headers.count("authorization") != 1) return denied("several Authorization headers");
  if (is_signed(request)) return identify_signed(request, body);
  if (!http::equal_ignoring_case(std::string_view(*header).substr(0, kBearer.size()), kBearer)) return denied("no key");
  const auto text = std::string_view(*header).substr(kBearer.size());
  if (tokens_ != nullptr && text.find('.') != text.npos) return tokens_->authenticate(text);
  auto key = keys_.authenticate(text);
  if (!key) return denied("wrong key");
  return key;
}

Result<ApiKeyInfo> Authentication::identify_certificate(const http::Request& request) const {
  if (request.client == nullptr) return denied("no key");
  const auto& client = *request.client;
  for (const auto& rule : certificates_) {
    const auto is_same = [&](const std::string& name) { return http::equal_ignoring_case(name, rule.name); };
    const bool is_named = client.dns_names.empty() ? client.common_name == rule.name : std::any_of(client.dns_names.begin(), client.dns_names.end(), is_same);
    if (!rule.name.empty() && (is_named || client.fingerprint == rule.name)) return rule.caller;
  }
  return denied("a certificate of nobody that is known");
}

// Without the body a signature counts only where the request names its hash; else the pair must at least exist, and the verdict comes
// with the body.
Result<ApiKeyInfo> Authentication::identify_signed(const http::Request& request, Body body) const {
  const auto given = TRY(read_signed_request(request, signing_, clock_.now()));
  const auto hash = body == Body::whole ? crypto::sha256(request.body).hex() : given.payload_hash.value_or("");
  if (body == Body::whole && given.payload_hash && *given.payload_hash != hash) return denied("the body is not the signed one");
  auto key = keys_.authenticate_aws(given.access_key_id, [&](const Secret& secret) {
    const bool fits = signature_fits(given, request, signing_, secret, hash);
    return hash.empty() || fits;
  });
  if (!key) return denied("wrong signature");
  return key;
}

}  // namespace redoubt::gateway
