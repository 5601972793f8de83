// SPDX-License-Identifier: Apache-2.0
//
// Named secrets with versions, as Secrets Manager has them. Guarantee: nothing is stored in clear; a value read was put
// under that name. Names: [A-Za-z0-9._-] parts joined by '/', at most 256 bytes.
#pragma once

#include <optional>
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
  bool operator==(const SecretInfo&) const = default;
};

// A stored secret that does not open: its name in the store, which need not be the secret's, and why.
struct UnreadableSecret {
  std::string name;
  Error error;
};

constexpr std::size_t kSecretBytesMax = 65'536;
constexpr std::chrono::hours kSecretAgeMax{90 * 24};  // a token that was put longer ago is due for another

enum class Removal {
  recoverable,  // as long as the store says; a store that keeps nothing removes for ever
  at_once,
};

bool is_secret_name(std::string_view name);
// What `put` refuses, for every store alike: invalid_argument for a bad name or an empty value, limit_exceeded for a long one.
Status check_secret(std::string_view name, const Secret& value);

class SecretStore {
 public:
  virtual ~SecretStore() = default;
  // A new version; the one before stays readable until the next put (as AWSPREVIOUS does). Values of 1 to 65,536 bytes. Of many puts
  // at once each takes a number of its own. A name that was removed begins at 1, or goes on where it ended while it can be taken back.
  virtual Result<SecretInfo> put(std::string_view name, const Secret& value) = 0;
  virtual Result<Secret> get(std::string_view name) = 0;  // the newest version; not_found
  virtual Result<Secret> get_previous(std::string_view name) = 0;
  virtual Result<std::vector<SecretInfo>> list() = 0;
  // Until when a put takes the name back with what it held; nothing where that is over at once. not_found.
  virtual Result<std::optional<TimePoint>> remove(std::string_view name, Removal how = Removal::recoverable) = 0;
  // Where the store can make the next value itself, has it made and waits until it counts. Nothing where it can't: put one.
  // unavailable where the store's maker fails or does not end; the value before is still the newest then.
  virtual Result<std::optional<SecretInfo>> rotate(std::string_view name) = 0;
  // Which of them are not as they were put. A service that keeps secrets answers for itself: none of its values is read for this.
  virtual Result<std::vector<UnreadableSecret>> verify_all() = 0;
};

}  // namespace redoubt::provider
