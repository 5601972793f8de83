// SPDX-License-Identifier: Apache-2.0
#include "base/check.h"
#include "provider/audit_sink.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto entry = redoubt::provider::parse_event(text, "event");
  if (!entry) return 0;
  const auto again = redoubt::provider::parse_event(redoubt::dump_json(redoubt::provider::to_event(*entry)), "event");
  CHECK(again.has_value() && *again == *entry);
  return 0;
}
