// SPDX-License-Identifier: Apache-2.0
#include "cli/endpoint_trail.h"

namespace redoubt::cli {

void EndpointTrail::step() {
  const auto told = ask();
  if (!told) return;
  if (!*told) log_trail_problem(told->error());
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
