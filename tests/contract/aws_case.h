// SPDX-License-Identifier: Apache-2.0
//
// The suites run over AWS's providers too where REDOUBT_AWS_TEST=1 and the usual variables (AWS_ENDPOINT_URL, AWS_CA_BUNDLE,
// credentials, region) lead to an account for tests: tests/aws/contract_test.py sets them.
#pragma once

#include <cstdlib>
#include <string>
#include <vector>

#include "base/check.h"
#include "crypto/random.h"
#include "provider/aws/api/client.h"

namespace redoubt::provider::aws {

// Null where AWS is not to be tested.
inline Client* test_client() {
  static const SystemClock clock;
  static const auto client = [&]() -> std::unique_ptr<Client> {
    const char* wanted = std::getenv("REDOUBT_AWS_TEST");
    if (wanted == nullptr || std::string_view(wanted) != "1") return nullptr;
    auto made = Client::create({}, clock);
    CHECK(made);
    return std::move(*made);
  }();
  return client.get();
}

// A name that no other case has.
inline std::string unique_name() { return "redoubt-test-" + to_hex(crypto::random_bytes(8)); }

template <class Case>
std::vector<Case> with_aws(std::vector<Case> cases, Case of_aws) {
  if (test_client() != nullptr) cases.push_back(of_aws);
  return cases;
}

}  // namespace redoubt::provider::aws
