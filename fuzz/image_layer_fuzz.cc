// SPDX-License-Identifier: Apache-2.0
//
// Two layers of an image on their way into its list of packages: the first byte, in blocks of 512 bytes, is how long the first is. Bounded whatever they unpack to.
#include <algorithm>

#include "base/check.h"
#include "fuzz_input.h"
#include "packages/layers.h"
#include "tar_mutator.h"

using namespace redoubt;
using namespace redoubt::packages;

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t size_max, unsigned) { return mutate_tar(data, size, size_max, 1); }

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  RootFiles root({.entries_max = 2000, .text_bytes_max = 8 << 20, .record_bytes_max = 1 << 20, .program_bytes_max = 1 << 20});
  LayerLimits limits{16 << 20, 2000};
  if (size == 0) return 0;
  const ByteView bytes(data + 1, size - 1);
  const auto first = std::min<std::size_t>(bytes.size(), 512 * data[0]);
  for (const ByteView part : {bytes.first(first), bytes.subspan(first)}) {
    (void)add_layer([&]() -> Result<std::unique_ptr<Source>> { return std::make_unique<MemorySource>(part); }, "layer", root, limits);
  }
  Distribution distribution;
  if (const auto inventory = root.inventory(distribution)) {
    for (const auto& package : inventory->packages) CHECK(!package.name.empty());
  }
  return 0;
}
