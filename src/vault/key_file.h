// SPDX-License-Identifier: Apache-2.0
//
// A key file: 32 random bytes that whoever can read the file can use, so it must be readable by its owner alone. It opens a
// keyring, or an identity's signing key.
#pragma once

#include <filesystem>

#include "base/secret.h"

namespace redoubt::vault {

// Makes the file (mode 0600) and its folder (mode 0700); already_exists when it is there.
Result<Secret> make_key_file(const std::filesystem::path& path);

// permission_denied when the file belongs to somebody else, or group or others may touch it, or it is a link; not_found;
// invalid_argument when it is no key file.
Result<Secret> read_key_file(const std::filesystem::path& path);

}  // namespace redoubt::vault
