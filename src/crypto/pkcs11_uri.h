// SPDX-License-Identifier: Apache-2.0
//
// How a key in a token is named (RFC 7512): pkcs11:token=T;object=O?module-path=/usr/lib/softhsm/libsofthsm2.so
#pragma once

#include <optional>
#include <string>

#include "base/bytes.h"

namespace redoubt::crypto {

struct Pkcs11Uri {
  // What is named has to be equal; what is empty is not looked at.
  std::string token, manufacturer, serial, model, object;
  Bytes id;
  std::optional<std::uint64_t> slot;
  std::string module_path, module_name;  // of the library
  std::string pin_file;                  // pin-source=file:/...
};

// invalid_argument names the attribute: one that is not known, stands twice, is no text, or is `pin-value`, since a PIN does not
// belong on a command line.
Result<Pkcs11Uri> parse_pkcs11_uri(std::string_view uri);

}  // namespace redoubt::crypto
