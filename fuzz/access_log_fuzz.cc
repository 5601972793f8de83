// SPDX-License-Identifier: Apache-2.0
//
// A line of the access log: what is taken is written back the same.
#include "base/check.h"
#include "custody/access_log.h"
#include "custody/rules.h"
#include "fuzz_input.h"

using namespace redoubt;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = fuzz_text(data, size);
  if (const auto access = custody::parse_access(text)) CHECK(custody::encode_access(*access) == text);
  (void)custody::parse_target(text);
  (void)custody::parse_duration(text, "fuzz");
  return 0;
}
