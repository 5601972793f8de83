// SPDX-License-Identifier: Apache-2.0
//
// Small texts in an object store: what is written down beside the things that are made.
#pragma once

#include <string>

#include "provider/object_store.h"

namespace redoubt::provider::aws {

constexpr std::uint64_t kObjectTextBytesMax = 16 << 20;

// not_found, or limit_exceeded beyond kObjectTextBytesMax.
Result<std::string> get_text(ObjectStore& objects, const std::string& key);
Status put_text(ObjectStore& objects, const std::string& key, const std::string& text);
// Writes nothing where the same text is there.
Status put_text_if_new(ObjectStore& objects, const std::string& key, const std::string& text);
Status remove_if_there(ObjectStore& objects, const std::string& key);

}  // namespace redoubt::provider::aws
