// SPDX-License-Identifier: Apache-2.0
//
// Who may come to the endpoint besides its keys (`deploy.access`), and the audit of those who may not.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>

#include "cli/session.h"
#include "gateway/access.h"
#include "gateway/gateway.h"
#include "gateway/refusal_log.h"

namespace redoubt::cli {

class EndpointAccess {
 public:
  // Reads the files and fetches the key set that the options name; without them nothing is served.
  static Result<std::unique_ptr<EndpointAccess>> create(const Json& options, const Clock& clock);
  Status configure(gateway::GatewayOptions& options) const;
  // The endpoint's own certificate and key where files are named; nothing otherwise.
  Result<std::optional<std::pair<std::string, Secret>>> certificate() const;
  const gateway::TokenIssuer* tokens() const { return tokens_.get(); }
  // Takes over a key set that has changed: a file at each call, one from the network every five minutes. What can't be had leaves the
  // set before in place, and is logged.
  void refresh();

 private:
  EndpointAccess(gateway::AccessOptions options, const Clock& clock) : options_(std::move(options)), clock_(clock) {}
  Result<std::string> key_set() const;

  const gateway::AccessOptions options_;
  const Clock& clock_;
  std::unique_ptr<gateway::TokenIssuer> tokens_;
  TimePoint fetched_{};  // by the monotonic clock
};

// Brings what was refused since the last call to the log and, as one entry, to the ledger. An address is somebody's: the ledger, from
// which nothing is ever deleted, holds a keyed hash of it.
Status record_refusals(Session& session, const std::string& environment, gateway::RefusalLog& refusals);

}  // namespace redoubt::cli
