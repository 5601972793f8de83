// SPDX-License-Identifier: Apache-2.0
//
// Lines of an engine's worker, which may be anything once a model's files have taken it over. The reader is used again for each.
#include "base/check.h"
#include "fuzz_input.h"
#include "gateway/worker_event.h"

using namespace redoubt;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static gateway::WorkerEventReader reader;
  const auto event = reader.read(fuzz_text(data, size));
  CHECK(event || event.error().code == ErrorCode::unavailable);
  CHECK(reader.read(R"({"type":"pong","id":"1"})"));
  return 0;
}
