// SPDX-License-Identifier: Apache-2.0
#include "provider/kms.h"

namespace redoubt::provider {

Bytes encode_context(const EncryptionContext& context) {
  Bytes out;
  const auto put = [&out](std::string_view text) {
    for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<std::uint8_t>(text.size() >> shift));
    out.insert(out.end(), text.begin(), text.end());
  };
  for (const auto& [key, value] : context) {
    put(key);
    put(value);
  }
  return out;
}

}  // namespace redoubt::provider
