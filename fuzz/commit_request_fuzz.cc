// SPDX-License-Identifier: Apache-2.0
//
// What a client sends as a commit: whatever is taken stays within the repository.
#include "base/check.h"
#include "base/file.h"
#include "fuzz_input.h"
#include "hub/commit_request.h"
#include "hub/repository.h"

using namespace redoubt;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto request = hub::parse_commit_request(fuzz_text(data, size));
  if (!request) return 0;
  for (const auto& operation : request->operations) {
    const auto path = std::visit([](const auto& of) { return of.path; }, operation);
    if (!std::holds_alternative<hub::RemovedFolder>(operation)) CHECK(is_safe_relative_path(path) && !hub::is_hidden(path));
  }
  return 0;
}
