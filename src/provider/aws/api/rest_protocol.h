// SPDX-License-Identifier: Apache-2.0
//
// The REST protocols: members in the path, the query, headers and the body, which is JSON or XML.
//
// Members of the XML services have the names of botocore and the command line both ways. GuardDuty's are those of its wire
// format ("findingIds"), as its API reference has them; an input may also begin them with a capital.
#pragma once

#include "provider/aws/api/protocol.h"

namespace redoubt::provider::aws {

Result<WireRequest> write_rest(const Service& service, std::string_view operation, const Json& input);
Result<Json> read_rest_answer(const Service& service, std::string_view operation, const http::ClientResponse& response, std::string_view body);

}  // namespace redoubt::provider::aws
