// SPDX-License-Identifier: Apache-2.0
//
// Where credentials come from, in the order of AWS's own tools: the environment, the profile's files, a web identity, SSO, the
// profile's process, the container, the instance. What was named explicitly and is broken is an error that names it; it is
// never passed over for the next.
#pragma once

#include <functional>
#include <memory>
#include <mutex>

#include "base/json.h"
#include "http/keep_alive_client.h"
#include "provider/aws/api/environment.h"
#include "provider/aws/api/profile.h"
#include "provider/aws/api/sigv4.h"

namespace redoubt::provider::aws {

// One call of a service on the way to credentials: unsigned where `signer` is null, in the client's region where `region` is
// empty.
using CredentialCall = std::function<Result<Json>(const Credentials* signer, const std::string& region, std::string_view service,
                                                  std::string_view operation, const Json& input)>;

struct CredentialContext {
  Environment environment;
  Profiles profiles;
  std::string profile;              // the name that is in force
  bool profile_must_exist = false;  // it was named by an option or AWS_PROFILE
  bool profile_is_option = false;   // by an option: then it comes before the environment's keys
  std::string assume_role_arn = {};
  const Clock& clock;
  const http::KeepAliveClient& http;
  CredentialCall call;
};

// Gives credentials again whenever it is asked; each call may go to a service.
using CredentialSource = std::function<Result<Credentials>()>;

// The first source of the chain that is configured, opened. permission_denied with the places that were looked at when there
// is none.
Result<CredentialSource> find_credential_source(const CredentialContext& context);

// Holds credentials until shortly before they expire. Safe to use from several threads: one of them asks, the others wait.
class CredentialCache {
 public:
  CredentialCache(CredentialSource source, const Clock& clock) : source_(std::move(source)), clock_(clock) {}
  Result<Credentials> get();
  // A service said that these are expired; they are asked for anew unless that has been done meanwhile.
  void reject(const Credentials& credentials);

 private:
  const CredentialSource source_;
  const Clock& clock_;
  std::mutex mutex_;
  std::optional<Credentials> held_;
};

}  // namespace redoubt::provider::aws
