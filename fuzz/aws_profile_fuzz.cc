// SPDX-License-Identifier: Apache-2.0
//
// The files in ~/.aws: each value has a place that errors can name.
#include "base/check.h"
#include "fuzz_input.h"
#include "provider/aws/api/profile.h"

using namespace redoubt::provider::aws;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto sections = parse_ini(fuzz_text(data, size), "config");
  if (!sections) {
    CHECK(sections.error().where.starts_with("config"));
    return 0;
  }
  for (const auto& [name, section] : *sections) {
    CHECK(section.values.size() == section.where.size());
    for (const auto& [key, value] : section.values) CHECK(!key.empty() && section.where.at(key).starts_with("config:"));
  }
  return 0;
}
