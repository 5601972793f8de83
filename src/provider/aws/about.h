// SPDX-License-Identifier: Apache-2.0
//
// What a provider adds to the client's errors: the resource that they are about, and the cure that belongs to it.
#pragma once

#include <string>

#include "base/json.h"
#include "base/result.h"

namespace redoubt::provider::aws {

// `resource` becomes `where`; the message keeps the service's code in front, so that is_service_error still tells. `hint` replaces
// the client's for not_found, permission_denied and invalid_argument, where the resource is what has to be put right.
inline tl::unexpected<Error> fail_about(const std::string& resource, Error error, const std::string& hint = {}) {
  error.where = resource;
  const bool is_the_resource_s = error.code == ErrorCode::not_found || error.code == ErrorCode::permission_denied || error.code == ErrorCode::invalid_argument;
  if (!hint.empty() && (is_the_resource_s || error.hint.empty())) error.hint = hint;
  return fail(std::move(error));
}

// An answer as it is, or such an error.
inline Result<Json> about(const std::string& resource, Result<Json> answer, const std::string& hint = {}) {
  if (answer) return answer;
  return fail_about(resource, std::move(answer.error()), hint);
}

}  // namespace redoubt::provider::aws
