// SPDX-License-Identifier: Apache-2.0
#include "provider/endpoint_host.h"

namespace redoubt::provider {

Json EndpointStatus::to_json() const {
  Json json = {{"running", running}, {"pid", pid}, {"state", state}, {"url", url}, {"ca_file", ca_file}, {"model", name},
          {"version", version}, {"deployment", deployment}, {"error", error}, {"started", started},
          {"looks_begun", looks_begun}, {"looks_done", looks_done}};
  if (drain_s > 0) json["drain_s"] = drain_s;
  if (!candidate.empty()) json["candidate"] = candidate;
  if (!rollout.empty()) json["rollout"] = rollout;
  return json;
}

}  // namespace redoubt::provider
