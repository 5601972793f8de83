// SPDX-License-Identifier: Apache-2.0
//
// What a job in SageMaker gives back: whatever the archive holds, every file that comes out has a name that stays in its folder.
#include "base/check.h"
#include "base/file.h"
#include "provider/aws/job_archive.h"

using namespace redoubt;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  MemorySource source(ByteView(data, size));
  const auto files = provider::aws::unpack_archive(source, "fuzz", {.bytes_max = 1 << 20, .files_max = 64});
  if (!files) return 0;
  for (const auto& file : *files) {
    CHECK(is_safe_relative_path(file.path));
    const auto opened = file.open();
    CHECK(opened);
    Bytes contents((*opened)->size());
    CHECK((*opened)->read_at(0, contents));
  }
  return 0;
}
