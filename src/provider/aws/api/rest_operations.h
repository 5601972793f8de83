// SPDX-License-Identifier: Apache-2.0
//
// The operations of the REST services that Redoubt uses: one row each. An operation that is not here is not sent; add a row.
#pragma once

#include <string_view>

#include "base/result.h"
#include "provider/aws/api/services.h"

namespace redoubt::provider::aws {

struct RestOperation {
  std::string_view service, name;
  std::string_view method;
  std::string_view uri;           // "/detector/{DetectorId}"; "{Key+}" keeps its slashes; a fixed query may follow
  std::string_view query = "";    // members that go there: "MaxResults=maxResults NextToken"
  std::string_view headers = "";  // the same for headers
  std::string_view payload = "";  // XML: the member that is the body's root; empty: no body
};

// unsupported for an operation without a row.
Result<const RestOperation*> find_rest_operation(const Service& service, std::string_view operation);

}  // namespace redoubt::provider::aws
