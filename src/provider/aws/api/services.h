// SPDX-License-Identifier: Apache-2.0
//
// The services that Redoubt speaks to: one row each. What a row can't say, because a protocol needs it per operation (method,
// path, where a member goes), is a row of rest_operations.h.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace redoubt::provider::aws {

enum class Protocol { json_1_0, json_1_1, query, ec2, rest_json, rest_xml };

struct Service {
  std::string_view name;           // as in botocore and the command line
  Protocol protocol = Protocol::json_1_1;
  std::string_view host_prefix;    // "api.ecr" of "api.ecr.eu-west-1.amazonaws.com"
  std::string_view signing_name;
  std::string_view target_prefix;  // of X-Amz-Target, for JSON
  std::string_view version;        // of the API, for Query
  std::string_view service_id;     // as AWS_ENDPOINT_URL_<SERVICE> spells it, in lower case
};

// invalid_argument for a service that is not in the table.
Result<const Service*> find_service(std::string_view name);

// The member that makes a repeated call harmless ("ClientRequestToken"), or empty.
std::string_view idempotency_token_of(const Service& service, std::string_view operation);

// Whether an operation may be sent again though the service may have carried it out: it only reads, or doing it twice leaves
// what doing it once leaves.
bool is_repeatable(const Service& service, std::string_view operation);

}  // namespace redoubt::provider::aws
