// SPDX-License-Identifier: Apache-2.0
//
// The providers of one workspace. compose.cc is the one place that knows which implementation stands behind an interface.
#pragma once

#include <memory>
#include <string>

#include "base/clock.h"
#include "base/json.h"
#include "cli/command.h"
#include "cli/duty.h"
#include "governance/notes.h"
#include "governance/workspace.h"
#include "provider/alarms.h"
#include "provider/audit_sink.h"
#include "provider/aws/account_findings.h"
#include "provider/aws/api/client.h"
#include "provider/endpoint_host.h"
#include "provider/endpoint_monitor.h"
#include "provider/image_findings.h"
#include "provider/image_store.h"
#include "provider/job_runner.h"
#include "provider/model_registry.h"
#include "provider/notifier.h"

namespace redoubt::provider::aws {
class SagemakerRegistry;
struct SagemakerEndpointOptions;
}

namespace redoubt::cli {

class Providers {
 public:
  // As `config` says, which is what pipeline::load_providers answers; what it does not name is embedded in the workspace. Both
  // references must outlive it. Errors of each provider's create.
  static Result<std::unique_ptr<Providers>> create(const Json& config, governance::Workspace& workspace, const Clock& clock, Duty duty);
  ~Providers();

  // From now on AWS is asked with that duty's role, where `aws.roles` names one.
  Status act_for(Duty duty);

  // What is elsewhere is waited for no longer: aws::Client::give_up.
  void give_up();

  const Json& config() const;
  provider::ObjectStore& objects();
  vault::ArtifactStore& artifacts();
  provider::SecretStore& secrets();

  // The store that objects go to, without what stands behind it.
  provider::ObjectStore& first_objects();
  // A store by its URI: "file:/FOLDER", whose folder must be there (unavailable), or "s3://BUCKET/PREFIX?kms_key=KEY".
  Result<provider::ObjectStore*> store_at(const std::string& uri);
  // What stands behind the first store from now on; null: nothing.
  void set_layers(provider::ObjectStore* replica, provider::ObjectStore* archive);
  // Artifacts below a prefix of a store, sealed by a key of their own; without a URI by the workspace's.
  Result<vault::ArtifactStore*> artifacts_in(provider::ObjectStore& store, const std::string& prefix, const std::string& key_uri);
  // Is told of every object that is read in clear, whatever store gives it; the key carries its prefix.
  void on_read(vault::ArtifactStore::OnRead hook);
  // The URI of a new key of its own, where the workspace's keys are kept, and its keeper.
  std::string own_key_uri(const std::string& id) const;
  Result<provider::Kms*> keeper_of(const std::string& key_uri);
  // Opened at first use.
  Result<provider::ImageStore*> images();
  // What the registry that images go to finds in them; null where it does not scan.
  Result<provider::ImageFindings*> registry_findings();
  // Who runs the jobs of a step ("train", "evaluate").
  Result<provider::JobRunner*> runner(std::string_view step);
  Result<provider::ModelRegistry*> registry();
  // Forgets the registry's contents, which the ledger can give again.
  Status discard_registry();
  // Where versions are served; `options` are those that an endpoint's own process is started with.
  Result<provider::EndpointHost*> endpoint_host(const GlobalOptions& options);
  // What compares an endpoint's captures with its baseline; null where the endpoint's own process does.
  Result<provider::EndpointMonitor*> endpoint_monitor();
  // What the account's guards have found; unsupported where no provider is AWS's.
  Result<std::vector<provider::aws::AccountFinding>> account_findings();
  // Where the ledger's entries are told besides; null where nowhere.
  Result<provider::AuditSink*> audit_sink();
  // The alarms of an environment's endpoint, which is looked at every `interval_s`. `notes` outlives them; `earlier` is what there was
  // before they had a note of their own.
  Result<std::unique_ptr<provider::Alarms>> alarms(const std::string& environment, int interval_s, governance::Notes& notes, const Json& earlier);
  // Who hears of alarms: the topic of alarms that are evaluated here, else the webhook; null where none is named. Errors of their create.
  Result<std::unique_ptr<provider::Notifier>> notifier(const std::string& url, const std::string& ca_file, const std::string& secret_name);

 private:
  struct State;
  Result<provider::aws::Client*> aws();  // as the block `aws` says
  Status open_stores();
  vault::SealingKey sealing_key() const;
  void open_artifacts();
  Result<std::unique_ptr<provider::ObjectStore>> open_bucket(const Json& options, bool keep_versions = true);
  Result<provider::JobRunner*> sagemaker(const Json& options);
  Result<provider::aws::SagemakerRegistry*> sagemaker_registry(const Json& options);
  provider::aws::SagemakerEndpointOptions sagemaker_endpoint_options(const Json& options) const;
  Result<provider::ObjectStore*> endpoint_models(const Json& options);
  explicit Providers(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace redoubt::cli
