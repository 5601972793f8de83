// SPDX-License-Identifier: Apache-2.0
//
// Two layers of an image on their way into its list of packages. Bounded whatever they unpack to.
#include "base/check.h"
#include "fuzz_input.h"
#include "packages/layers.h"

using namespace redoubt;
using namespace redoubt::packages;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  RootFiles root({.entries_max = 2000, .text_bytes_max = 8 << 20, .record_bytes_max = 1 << 20, .program_bytes_max = 1 << 20});
  LayerLimits limits{16 << 20, 2000};
  const ByteView bytes(data, size);
  for (const ByteView part : {bytes.first(size / 2), bytes.subspan(size / 2)}) {
    MemorySource layer(part);
    (void)add_layer(layer, "layer", root, limits);
  }
  Distribution distribution;
  if (const auto inventory = root.inventory(distribution)) {
    for (const auto& package : inventory->packages) CHECK(!package.name.empty());
  }
  return 0;
}
