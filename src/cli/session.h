// SPDX-License-Identifier: Apache-2.0
//
// An open workspace as a command sees it: its ledger, its identities, and the providers that compose.cc made for it.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/problem.h"
#include "cli/command.h"
#include "cli/duty.h"
#include "custody/access_log.h"
#include "custody/stores.h"
#include "governance/notes.h"
#include "governance/recorder.h"
#include "governance/workspace.h"
#include "ledger/evidence.h"
#include "provider/alarms.h"
#include "provider/aws/account_findings.h"
#include "provider/endpoint_host.h"
#include "provider/endpoint_monitor.h"
#include "provider/image_findings.h"
#include "provider/image_store.h"
#include "provider/job_runner.h"
#include "provider/model_registry.h"
#include "provider/notifier.h"

namespace redoubt::cli {

// What this process is in the access log: the command as it was typed, without options ("vault get"). Said once, before any session.
void set_command_name(std::string name);

// What `init` is told.
struct InitOptions {
  std::vector<governance::Workspace::NewIdentity> identities;  // empty: operator and reviewer
};

class Providers;

void log_trail_problem(const Error& error);

class Session {
 public:
  // Makes the workspace and its ledger, or goes on with a making that was cut off. already_exists, or the errors of
  // Workspace::create.
  static Result<std::unique_ptr<Session>> create(const GlobalOptions& options, const InitOptions& init);
  // Opens it: unseals the keyring, checks the ledger's head and that the acting identity is known.
  // In AWS it acts with the rights that reading needs, unless `duty` says more.
  static Result<std::unique_ptr<Session>> open(const GlobalOptions& options, Duty duty = Duty::audit);
  ~Session();
  // What a restored workspace is checked with before its ledger's anchor is believed.
  struct UnpackedParts {
    std::string workspace;  // its id
    ledger::LedgerOptions ledger;
    crypto::PublicKey ledger_key;
  };
  static Result<UnpackedParts> open_unpacked(const GlobalOptions& options);
  // What is wrong with the ledger of a workspace that does not open; empty also where not even the ledger's key can be read.
  static Problems check_ledger(const GlobalOptions& options);

  // Another step's rights in AWS from now on; errors of aws::Client::act_as.
  Status act_for(Duty duty);
  // What is elsewhere, and whoever tells the audit trail, is waited for no longer, by any thread: for a process that has to end.
  void give_up_services();
  // permission_denied unless the identity's roles allow it; tampered, of all that is more than reading, where the identities are not
  // those that the ledger tells of.
  Status require(governance::Permission permission) const;
  // That alone: for whoever tells others about them.
  const Status& identities_settled() const;
  // The recorder of the acting identity's steps; unlocks its key.
  Result<governance::StepRecorder*> recorder();
  // Whether what a step gave, under that name, is still in its store; an error where the store does not say.
  Result<bool> holds(const std::string& output, const Digest& digest);
  // Appends what happened outside the seven steps ("secret", "key", "alarm"): signed like a step, never reused.
  Result<Digest> record_event(const std::string& step, const Json& result, const std::map<std::string, Digest>& outputs = {});
  // The same for a change of secrets or of the endpoint's keys: `body` makes it and answers the event's result, and the event
  // carries the digests of what was written, so that an older file put back is noticed.
  Result<Digest> record_change(const std::string& step, const std::function<Result<Json>()>& body);
  // Whether there is an audit trail outside of the workspace.
  bool keeps_trail() const;
  // Brings what the ledger has and the audit trail has not to the trail, where there is one; answers how many entries. unavailable where
  // another process has been telling it for too long. It is done at the end of a session that recorded something too, where a failure is only
  // logged: the next time tells what this one could not.
  Result<std::uint64_t> mirror_audit();
  // The same as a call for another thread, one at a time, that ends before the session; errors of opening the trail.
  Result<std::function<Result<std::uint64_t>()>> audit_mirroring();
  // The key that signs models (ECDSA P-256); made on first use.
  Result<crypto::SigningKey> model_key();
  const crypto::SigningKey& ledger_key() const;

  const std::string& identity() const;
  governance::Workspace& workspace();
  provider::ObjectStore& objects();
  vault::ArtifactStore& store();
  Providers& providers();
  // What the vault's rules work on; the events are the acting identity's.
  Result<custody::Stores> stores();
  // What the ledger says about stored data now.
  Result<custody::View> custody();
  custody::AccessLog& access_log();
  // The newest head of the access log that the ledger tells of.
  Result<custody::AccessHead> anchored_access();
  provider::SecretStore& secrets();
  ledger::EvidenceLog& evidence();
  ledger::LedgerOptions ledger_options() const;
  governance::Notes& notes();
  const Clock& clock() const;

  // From now on these providers, in this workspace: what pipeline::load_providers answers. The ledger tells of the change.
  Status use_providers(const Json& config);
  // Whether the workspace remembers other providers than the ledger told of last: an older note was put back.
  Problems check_providers();
  // Whether an interface of the providers ("objects") is served from outside of the workspace, by a service that may not answer.
  bool is_far(const char* interface) const;

  // Opened at first use. The registry is brought up to date with the ledger at each call; a changed file is tampered.
  Result<provider::ModelRegistry*> registry();
  Status rebuild_registry();
  // What differs between the registry and the ledger; empty when nothing does. An error where they can't be compared.
  Result<Problems> check_registry();
  Result<provider::ImageStore*> images();
  Result<provider::ImageFindings*> registry_findings();
  Result<provider::EndpointHost*> endpoint_host();
  Result<provider::EndpointMonitor*> endpoint_monitor();  // null where the endpoint's own process watches
  Result<std::vector<provider::aws::AccountFinding>> account_findings();
  Result<provider::JobRunner*> runner(std::string_view step);  // who runs its jobs

  // The alarms of an environment's endpoint; `earlier` are those that an older program saved elsewhere.
  Result<std::unique_ptr<provider::Alarms>> alarms(const std::string& environment, int interval_s, const Json& earlier);
  // The webhook that hears of alarms; null where none is named. Errors of WebhookNotifier::create.
  Result<std::unique_ptr<provider::Notifier>> notifier(const std::string& url, const std::string& ca_file, const std::string& secret_name);

  // A sealed signing key of the workspace, made at its first use.
  Result<crypto::SigningKey> workspace_key(const std::string& name, crypto::SignatureAlgorithm algorithm);

 private:
  struct State;
  explicit Session(std::unique_ptr<State> state);
  static Result<std::unique_ptr<Session>> open_workspace(const GlobalOptions& options, Duty duty);
  enum class LedgerMode { open, open_or_create };
  Status open_ledger(LedgerMode mode);
  void settle_identities();
  Status open_providers();
  Status use_layers();
  Status watch_reads();
  Status tell_remade(const std::map<std::string, Digest>& outputs);
  Status remember_providers();
  Result<bool> has_entries();
  std::unique_ptr<State> state_;
};

}  // namespace redoubt::cli
