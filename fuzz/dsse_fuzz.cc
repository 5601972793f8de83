// SPDX-License-Identifier: Apache-2.0
//
// DSSE envelopes, in-toto statements and the step records in them.
#include "attest/dsse.h"
#include "attest/step_statement.h"
#include "base/check.h"
#include "fuzz_input.h"

using namespace redoubt::attest;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = fuzz_text(data, size);
  const TrustedKeys nobody = [](std::string_view) { return std::nullopt; };
  CHECK(!verify_statement(text, nobody, "fuzz"));
  if (const auto envelope = parse_envelope(text, "fuzz")) {
    CHECK(to_text(*parse_envelope(to_text(*envelope), "fuzz")) == to_text(*envelope));
  }
  if (const auto statement = parse_statement(text, "fuzz")) {
    CHECK(to_text(*parse_statement(to_text(*statement), "fuzz")) == to_text(*statement));
    if (const auto record = to_step_record(*statement)) CHECK(to_text(*to_statement(*record)) == to_text(*statement));
  }
  return 0;
}
