// SPDX-License-Identifier: Apache-2.0
//
// Any text in any pieces before the guards: what is told is the same as of the whole, and it is UTF-8. Any text as a pack of rules.
#include <algorithm>

#include "base/check.h"
#include "fuzz_input.h"
#include "guards/guards.h"
#include "rows/lines.h"

using namespace redoubt;

namespace {

std::unique_ptr<guards::Guards> all_redacted() {
  using enum guards::Action;
  guards::GuardOptions options;
  options.output = {redact, redact, redact, redact};
  return guards::Guards::create(options).value();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto guards = all_redacted();
  if (size == 0) return 0;
  const std::size_t piece = 1 + data[0] % 40;
  const auto text = fuzz_text(data + 1, size - 1);
  auto pieces = guards->answer(), whole = guards->answer();
  std::string told;
  for (std::size_t at = 0; at < text.size(); at += piece) told += pieces.take(text.substr(at, piece));
  told += pieces.end();
  std::string expected = whole.take(text);
  expected += whole.end();
  CHECK(pieces.refused() == whole.refused());
  CHECK(told == expected);
  CHECK(rows::first_invalid_utf8(told) == told.npos);
  (void)guards::parse_rules(text, "fuzz");
  return 0;
}
