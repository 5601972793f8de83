// SPDX-License-Identifier: Apache-2.0
//
// Who may come to the endpoint besides its keys (`deploy.access`), and the audit of those who may not.
#pragma once

#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "cli/session.h"
#include "gateway/access.h"
#include "gateway/gateway.h"
#include "gateway/refusal_log.h"

namespace redoubt::cli {

class EndpointAccess {
 public:
  // Reads the files that the options name; without them nothing is served. Keys from the network are waited for a moment: an issuer that
  // can't be reached keeps nobody out who comes with something else than a token. `metrics` outlive this.
  static Result<std::unique_ptr<EndpointAccess>> create(const Json& options, const Clock& clock, gateway::GatewayMetrics& metrics);
  // What would be wrong with the files that the options name, without asking an issuer: for who wants to know it before a training.
  static Status check_files(const Json& options, const Clock& clock);
  Status configure(gateway::GatewayOptions& options) const;
  // The endpoint's own certificate and key where files are named; nothing otherwise.
  Result<std::optional<std::pair<std::string, Secret>>> certificate() const;
  const gateway::TokenIssuer* tokens() const { return tokens_.get(); }
  // Takes over a file of keys that has changed. What can't be read leaves the set before in place, and is logged.
  void refresh();
  // Tells that fetching the issuer's keys began to fail or succeeded again, for the ledger, in order; what could not be told, at the next call.
  Status tell_changes(const std::function<Status(const Json& change)>& tell);

 private:
  EndpointAccess(gateway::AccessOptions options, const Clock& clock) : options_(std::move(options)), clock_(clock) {}
  Result<std::unique_ptr<gateway::TokenIssuer>> issuer_of_file() const;
  Status check_certificate() const;
  Status check_client_authorities() const;
  Status take_keys(gateway::GatewayMetrics& metrics);
  void hear(const Status& fetched, std::size_t keys);

  const gateway::AccessOptions options_;
  const Clock& clock_;
  std::unique_ptr<gateway::TokenIssuer> tokens_;
  std::mutex mutex_;  // guards what follows; of the thread that fetches and the one that takes
  bool is_failing_ = false;
  std::deque<Json> changes_;
  std::unique_ptr<gateway::IssuerKeys> fetched_;  // where keys come from the network; its thread uses what stands above
};

// Brings what was refused since the last call to the log and, as one entry, to the ledger. An address is somebody's: the ledger, from
// which nothing is ever deleted, holds a keyed hash of it. What can't be told counts at the next call.
Status record_refusals(Session& session, const std::string& environment, gateway::RefusalLog& refusals);
// Likewise whether the keys of tokens could be fetched.
Status record_issuer_changes(Session& session, const std::string& environment, EndpointAccess& access);

}  // namespace redoubt::cli
