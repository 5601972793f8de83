// SPDX-License-Identifier: Apache-2.0
#include "cli/endpoint_trail.h"

#include "base/log.h"

namespace redoubt::cli {

void EndpointTrail::step() {
  const auto begin = [this] {
    return telling_.ask("trail", [this] { return Result<std::function<Status()>>([this] { return tell(); }); });
  };
  const auto told = begin();
  if (!told) return;
  if (!*told) spdlog::error("the audit trail is not up to date: {} ({})", told->error().message, told->error().where);
  (void)begin();
}

Status EndpointTrail::tell() {
  if (session_ == nullptr) session_ = TRY(Session::open(options_, Duty::serve));
  TRY(session_->mirror_audit());
  return {};
}

}  // namespace redoubt::cli
