// SPDX-License-Identifier: Apache-2.0
//
// A service's refusal as an Error of ours: `CODE: text (service.Operation, request id ID)`, with the cure where there is one.
#pragma once

#include <string>
#include <string_view>

#include "base/json.h"
#include "http/client.h"

namespace redoubt::provider::aws {

// What a service says when it does not do what it was asked.
struct Refusal {
  int status = 0;
  std::string code;        // "ResourceNotFoundException"; "HTTP 503" where the answer names none
  std::string message;
  std::string request_id;
};

// Whether and how another attempt helps.
enum class Remedy { none, again, again_slower, set_clock, new_credentials };

// Reads the refusal of any protocol: JSON with __type or code, XML with Error or Errors, or a bare status.
Refusal read_refusal(const http::ClientResponse& response, std::string_view body);

// Not found, permission denied...: what the caller can do.
ErrorCode code_of(const Refusal& refusal);
Remedy remedy_of(const Refusal& refusal);

// `subject` names the operation as "kms.Encrypt".
Error error_of(const Refusal& refusal, const std::string& subject);

// The id that support asks for; empty where the answer has none.
std::string request_id_of(const http::Headers& headers);

}  // namespace redoubt::provider::aws
