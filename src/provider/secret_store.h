// SPDX-License-Identifier: Apache-2.0
//
// Named secrets with versions, as Secrets Manager has them. Guarantee: nothing is stored in clear; a value read was put
// under that name. Names: [A-Za-z0-9._-] parts joined by '/', at most 256 bytes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/secret.h"

namespace redoubt::provider {

struct SecretInfo {
  std::string name;
  int version = 0;      // counts from 1
  TimePoint changed{};  // when this version was put
};

constexpr std::size_t kSecretBytesMax = 65'536;

bool is_secret_name(std::string_view name);
// What `put` refuses, for every store alike: invalid_argument for a bad name or an empty value, limit_exceeded for a long one.
Status check_secret(std::string_view name, const Secret& value);

class SecretStore {
 public:
  virtual ~SecretStore() = default;
  // A new version; the one before stays readable until the next put (as AWSPREVIOUS does). Values of 1 to 65,536 bytes.
  virtual Result<SecretInfo> put(std::string_view name, const Secret& value) = 0;
  virtual Result<Secret> get(std::string_view name) = 0;  // the newest version; not_found
  virtual Result<Secret> get_previous(std::string_view name) = 0;
  virtual Result<std::vector<SecretInfo>> list() = 0;
  virtual Status remove(std::string_view name) = 0;
};

}  // namespace redoubt::provider
