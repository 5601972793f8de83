// SPDX-License-Identifier: Apache-2.0
//
// Who asks: an API key, or a request signed with an AWS key pair. Asked once before the body is read and once with it, since a signature
// may cover a body that has yet to come.
#pragma once

#include <string>

#include "gateway/api_key.h"
#include "gateway/signed_request.h"
#include "http/message.h"

namespace redoubt::gateway {

class Authentication {
 public:
  Authentication(const ApiKeys& keys, const Clock& clock, SigningRules signing) : keys_(keys), clock_(clock), signing_(std::move(signing)) {}

  // permission_denied; the message is for logs alone.
  Result<ApiKeyInfo> before_body(const http::Request& request) const { return identify(request, Body::to_come); }
  Result<ApiKeyInfo> with_body(const http::Request& request) const { return identify(request, Body::whole); }

 private:
  enum class Body { to_come, whole };
  Result<ApiKeyInfo> identify(const http::Request& request, Body body) const;
  Result<ApiKeyInfo> identify_signed(const http::Request& request, Body body) const;

  const ApiKeys& keys_;
  const Clock& clock_;
  const SigningRules signing_;
};

}  // namespace redoubt::gateway
