// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <cerrno>

#include "base/file.h"
#include "provider/object_store.h"

namespace redoubt::provider {

Status ObjectStore::adopt(std::string_view key, const std::filesystem::path& file) {
  {
    const auto reader = TRY(FileReader::open_regular(file, Links::refuse));
    TRY(put(key, *reader, PutMode::create_only));
  }
  return ::unlink(file.c_str()) == 0 ? Status() : fail_errno(errno, "remove", file.string());
}

}  // namespace redoubt::provider
