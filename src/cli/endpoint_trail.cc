// SPDX-License-Identifier: Apache-2.0
#include "cli/endpoint_trail.h"

#include "base/log.h"

namespace redoubt::cli {

void EndpointTrail::step() {
  const auto told = ask();
  if (!told) return;
  if (!*told) spdlog::error("the audit trail is not up to date: {} ({})", told->error().message, told->error().where);
  (void)ask();
}

std::optional<Status> EndpointTrail::ask() {
  return telling_.ask("trail", [this]() -> Result<std::function<Status()>> {
    auto mirror = TRY(session_.audit_mirroring());
    return std::function([mirror]() -> Status {
      TRY(mirror());
      return {};
    });
  });
}

}  // namespace redoubt::cli
