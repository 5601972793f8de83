// SPDX-License-Identifier: Apache-2.0
//
// The dynamic section of an ELF file. What is read is bounded by the file.
#include "base/check.h"
#include "base/file.h"
#include "fuzz_input.h"
#include "stages/image/elf.h"

using namespace redoubt;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto folder = *TemporaryFolder::create();
  const auto file = folder.path() / "program";
  CHECK(write_file(file, ByteView(data, size)));
  const auto found = stages::image::read_elf(file);
  if (!found) return 0;
  for (const auto& name : found->needed) CHECK(name.size() < size && name.find('\0') == name.npos);
  return 0;
}
