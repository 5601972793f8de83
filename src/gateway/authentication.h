// SPDX-License-Identifier: Apache-2.0
//
// Who asks: an API key, a request signed with an AWS key pair, a token of an OpenID Connect issuer, or the certificate that the client
// showed. An Authorization header counts before a certificate. Asked once before the body is read and once with it, since a signature
// may cover a body that has yet to come.
#pragma once

#include <string>

#include "gateway/api_key.h"
#include "gateway/signed_request.h"
#include "gateway/token.h"
#include "http/message.h"

namespace redoubt::gateway {

// Whom a client certificate speaks for.
struct CertificateRule {
  // A DNS name of the certificate, in any case, its common name where it has no DNS name, or its fingerprint (64 hexadecimal digits in lower case).
  std::string name;
  ApiKeyInfo caller;
};

class Authentication {
 public:
  // `tokens` may be null: none are taken. It outlives this.
  Authentication(const ApiKeys& keys, const Clock& clock, SigningRules signing, const TokenIssuer* tokens = nullptr, std::vector<CertificateRule> certificates = {})
      : keys_(keys), clock_(clock), signing_(std::move(signing)), tokens_(tokens), certificates_(std::move(certificates)) {}

  // permission_denied, or unavailable where a token's key may be here in a moment; the message is for logs alone.
  Result<ApiKeyInfo> before_body(const http::Request& request) const { return identify(request, Body::to_come); }
  Result<ApiKeyInfo> with_body(const http::Request& request) const { return identify(request, Body::whole); }

 private:
  enum class Body { to_come, whole };
  Result<ApiKeyInfo> identify(const http::Request& request, Body body) const;
  Result<ApiKeyInfo> identify_certificate(const http::Request& request) const;
  Result<ApiKeyInfo> identify_signed(const http::Request& request, Body body) const;

  const ApiKeys& keys_;
  const Clock& clock_;
  const SigningRules signing_;
  const TokenIssuer* const tokens_;
  const std::vector<CertificateRule> certificates_;
};

}  // namespace redoubt::gateway
