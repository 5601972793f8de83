// SPDX-License-Identifier: Apache-2.0
//
// What a provider adds to the client's errors: the resource that they are about, and the cure that belongs to it.
#pragma once

#include <string>

#include "base/json.h"
#include "base/result.h"

namespace redoubt::provider::aws {

// Puts the resource's own cure where the client knows none or none as good. A denial keeps the client's, which names the missing
// action, and has the resource's behind it; what is wrong with the credentials themselves no policy cures.
inline void add_cure(Error& error, const std::string& hint) {
  if (hint.empty()) return;
  const bool is_denial = error.code == ErrorCode::permission_denied && error.hint.starts_with("allow ");
  const bool is_the_resource_s = error.code == ErrorCode::not_found || error.code == ErrorCode::invalid_argument;
  if (is_denial) {
    error.hint += "; " + hint;
  } else if (is_the_resource_s || error.hint.empty()) {
    error.hint = hint;
  }
}

// `resource` becomes `where`; the message keeps the service's code in front, so that is_service_error still tells. `hint` is added as
// above.
inline tl::unexpected<Error> fail_about(const std::string& resource, Error error, const std::string& hint = {}) {
  error.where = resource;
  add_cure(error, hint);
  return fail(std::move(error));
}

// An answer as it is, or such an error.
inline Result<Json> about(const std::string& resource, Result<Json> answer, const std::string& hint = {}) {
  if (answer) return answer;
  return fail_about(resource, std::move(answer.error()), hint);
}

}  // namespace redoubt::provider::aws
