// SPDX-License-Identifier: Apache-2.0
//
// A layer of an image, plain or compressed, laid over another. Whatever it holds, no name climbs out of the image.
#include "base/check.h"
#include "base/file.h"
#include "fuzz_input.h"
#include "stages/image/oci/tree.h"
#include "stages/image/recipe/secrets.h"
#include "tar_mutator.h"

using namespace redoubt;
using namespace redoubt::stages::image;

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t size_max, unsigned) { return mutate_tar(data, size, size_max, 1); }

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  constexpr const char* kTypes[] = {"application/vnd.oci.image.layer.v1.tar", "application/vnd.oci.image.layer.v1.tar+gzip", "application/vnd.oci.image.layer.v1.tar+zstd"};
  MemorySource layer(ByteView(data + 1, size - 1));
  const auto plain = *image_layer::uncompressed(layer, kTypes[data[0] % 3]);
  oci::LayerLimits limits{8 << 20, 1000};
  oci::ImageTree tree;
  (void)image_layer::read_tar(*plain, limits, [&](const oci::LayerEntry& entry, Source& contents) -> Status {
    CHECK(entry.path.empty() || entry.path.find('/') != 0);
    CHECK((entry.path + "/").find("../") != 0 && ("/" + entry.path + "/").find("/../") == std::string::npos);
    TRY(recipe::secrets_in(contents));
    return tree.apply(entry, data[0] / 64);
  });
  for (const auto& [path, node] : tree.nodes()) {
    const auto real = tree.resolve(path);
    if (real) CHECK(("/" + *real + "/").find("/../") == std::string::npos);
  }
  return 0;
}
