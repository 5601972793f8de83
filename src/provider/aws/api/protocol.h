// SPDX-License-Identifier: Apache-2.0
//
// An operation's members, given as JSON, on the wire and back, for each protocol of AWS.
#pragma once

#include "base/json.h"
#include "http/client.h"
#include "provider/aws/api/services.h"
#include "provider/aws/api/sigv4.h"

namespace redoubt::provider::aws {

struct WireRequest {
  std::string method = "POST";
  std::string path = "/";  // percent-encoded
  Query query = {};
  http::Headers headers = {};
  std::string body = {};
};

// invalid_argument for an operation that the tables lack or a member that its URL needs and `input` has not.
Result<WireRequest> write_request(const Service& service, std::string_view operation, const Json& input);
// The members of a success; an object, empty when the answer has none.
Result<Json> read_answer(const Service& service, std::string_view operation, const http::ClientResponse& response, std::string_view body);


}  // namespace redoubt::provider::aws
