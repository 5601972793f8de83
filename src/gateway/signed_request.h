// SPDX-License-Identifier: Apache-2.0
//
// Requests that are signed with AWS Signature Version 4, checked by ourselves: who comes with boto3 signs with a key pair of ours. A
// signature counts only for the host, region and service that were configured, within five minutes, over the body as it came.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/secret.h"
#include "http/message.h"

namespace redoubt::gateway {

struct SigningRules {
  std::vector<std::string> hosts = {};  // names of this endpoint, without a port; none: no signed request is taken
  std::string region = "us-east-1";
  std::string service = "sagemaker";
  int skew_s_max = 300;
};

struct SignedRequest {
  std::string access_key_id;
  TimePoint time{};
  std::vector<std::string> signed_headers;  // sorted, in lower case
  std::string signature;                    // 64 hexadecimal digits
  std::optional<std::string> payload_hash;  // where the request names it: then the signature can be checked before the body
};

bool is_signed(const http::Request& request);
// Reads and checks all but the signature. permission_denied says why, for the log alone.
Result<SignedRequest> read_signed_request(const http::Request& request, const SigningRules& rules, TimePoint now);
// Whether the signature is this request's with that payload hash. In constant time.
bool signature_fits(const SignedRequest& given, const http::Request& request, const SigningRules& rules, const Secret& secret, const std::string& payload_hash);

}  // namespace redoubt::gateway
