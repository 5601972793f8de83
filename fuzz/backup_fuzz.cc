// SPDX-License-Identifier: Apache-2.0
#include "base/check.h"
#include "governance/backup_format.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto manifest = redoubt::governance::parse_backup_manifest(text);
  if (!manifest) return 0;
  CHECK(redoubt::governance::encode_backup_manifest(*manifest) == text);
  for (const auto& file : manifest->files) CHECK(redoubt::governance::is_backup_path(file.path));
  return 0;
}
