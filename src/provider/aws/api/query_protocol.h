// SPDX-License-Identifier: Apache-2.0
//
// AWS's Query protocol and EC2's dialect of it: a form goes out, XML comes back.
#pragma once

#include "provider/aws/api/protocol.h"

namespace redoubt::provider::aws {

// {"A": {"B": [1, 2]}} becomes A.B.member.1=1 and A.B.member.2=2; in EC2's dialect, which has no "member" and names its lists
// in the singular, {"VpcIds": ["a"]} becomes VpcId.1=a.
Result<WireRequest> write_query(const Service& service, std::string_view operation, const Json& input);
Result<Json> read_query_answer(const Service& service, std::string_view operation, std::string_view body);

}  // namespace redoubt::provider::aws
