// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as a pickle: the walk ends, its problems lie within the file, and a pickle that is cut short is never a whole one.
#include "base/check.h"
#include "base/memory_object.h"
#include "model_scan/pickle_walk.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace redoubt;
  const MemoryObject object(Bytes(data, data + size));
  for (const bool has_storages : {false, true}) {
    std::size_t problems = 0;
    model_scan::PickleOptions options;
    options.has_storages = has_storages;
    options.found = [&](const model_scan::PickleProblem& problem) {
      ++problems;
      CHECK(problem.offset <= size && !problem.rule.empty());
    };
    options.nested = [&](std::uint64_t begin, std::uint64_t bytes) -> Status {
      CHECK(begin <= size && bytes <= size - begin);
      return {};
    };
    const auto end = model_scan::walk_pickle(object, 0, size, options);
    CHECK(end.has_value());
    CHECK(end->stopped || problems > 0);
    CHECK(end->end <= size);
  }
  return 0;
}
