// SPDX-License-Identifier: Apache-2.0
//
// A layer unpacked below a folder. Whatever it holds, nothing appears beside that folder.
#include <fcntl.h>

#include "base/check.h"
#include "fuzz_input.h"
#include "sandbox/unpack.h"
#include "tar_mutator.h"

using namespace redoubt;

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t size_max, unsigned) { return mutate_tar(data, size, size_max, 0); }

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto folder = *TemporaryFolder::create();
  CHECK(make_folder(folder.path() / "root"));
  const Fd root(::open((folder.path() / "root").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  CHECK(root);
  MemorySource layer(ByteView(data, size));
  sandbox::UnpackLimits limits{8 << 20, 1000};
  (void)sandbox::unpack_layer(layer, root.get(), limits);
  CHECK(list_folder(folder.path())->size() == 1);
  return 0;
}
