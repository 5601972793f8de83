// SPDX-License-Identifier: Apache-2.0
//
// A new wrapping for the data key of a sealed object, after its KMS key was rotated. The chunks stay as they are.
#pragma once

#include <filesystem>
#include <functional>

#include "provider/object_store.h"
#include "vault/sealing.h"

namespace redoubt::vault {

// Whether a wrapping is by the newest version of its key.
using IsCurrent = std::function<bool(ByteView wrapped_key)>;

// Replaces the object by the same one with its data key wrapped anew; false where that is not needed. A process killed at any
// instant leaves the one or the other. tampered when the object is of another key or its wrapping does not open.
Result<bool> rewrap_file(const std::filesystem::path& path, const SealingKey& key, const IsCurrent& is_current);

// The same for an object of any store, which gets the whole object again where the wrapping has to change.
Result<bool> rewrap_object(provider::ObjectStore& store, const std::string& object, const SealingKey& key, const IsCurrent& is_current);

// SHA-256 of a sealed object without its wrapping: it names one writing, whatever key version wraps it.
Result<Digest> sealed_digest(ByteView sealed);
Result<Digest> sealed_digest(const RandomAccess& sealed);
// The header of a sealed object alone; tampered for anything else.
Result<ParsedHeader> read_header(const RandomAccess& sealed);

}  // namespace redoubt::vault
