// SPDX-License-Identifier: Apache-2.0
//
// ModelRegistry over SageMaker's model package groups (a name each) and model packages (a version each). The ledger is the
// authority here too: what a package says of itself in its metadata is what the ledger said; its approval status, which
// anybody with the console can change, is compared with that and never believed.
#pragma once

#include <memory>

#include "provider/aws/api/client.h"
#include "provider/model_registry.h"
#include "provider/object_store.h"

namespace redoubt::provider::aws {

struct SagemakerRegistryOptions {
  std::string workspace;               // its id: packages of other workspaces are not seen
  std::string group_prefix = "redoubt-";  // before every group's name
  std::string objects_uri;             // "s3://BUCKET/PREFIX/": where the keys of the object store lie
  // What a package is deployed from in SageMaker: "REGISTRY/REPOSITORY@sha256:...", and a place in S3 below which each release
  // lies under its digest. Both or none; without them a package is a record only.
  std::string image = {}, model_data_uri = {};
  std::string kms_key = {};            // of model cards; empty: SageMaker's own
};

// Safe to use from several threads; several processes must not apply at once (the workspace's lock sees to it).
class SagemakerRegistry final : public ModelRegistry {
 public:
  // `objects` keeps the metrics and the place in the ledger. Both must outlive the registry.
  static Result<std::unique_ptr<SagemakerRegistry>> create(SagemakerRegistryOptions options, Client& client, ObjectStore& objects);

  Result<std::uint64_t> entries_applied() override;
  // Checked as a whole before anything is written. Cut short, it is told again from where it was and ends at the same state:
  // a version that the same ledger entry added is not made twice.
  Status apply(const std::vector<RegistryChange>& changes) override;
  Result<ModelVersion> get(std::string_view name, std::string_view version) override;
  Result<std::vector<ModelVersion>> list() override;

  // Forgets the place in the ledger: the next apply tells everything again and puts right what differs.
  Status rewind();
  // Approval statuses that the ledger knows nothing of.
  Result<std::vector<OutsideDecision>> outside_decisions() override;
  Status restore(std::string_view name, std::string_view version) override;
  bool describes() const override { return true; }
  // A model card and lineage (sagemaker_records.h).
  Status describe(const ModelVersion& version, const Json& card, const std::map<std::string, std::string>& lineage) override;

  struct Package {
    ModelVersion version;
    std::uint64_t ledger_index = 0;  // of the entry that added it
    std::string arn, status, principal, changed, description;
    std::int64_t number = 0;         // SageMaker's own version
    bool is_new = false, is_changed = false;
  };

 private:
  SagemakerRegistry(SagemakerRegistryOptions options, Client& client, ObjectStore& objects)
      : options_(std::move(options)), client_(client), objects_(objects) {}
  std::string group_of(std::string_view name) const;
  Result<std::vector<Package>> packages(const std::string& group);
  Result<std::vector<Package>> all_packages();
  Result<Package> package(std::string_view name, std::string_view version);
  Result<Json> describe_package(const std::string& arn);
  Result<Json> properties_of(const Json& description);
  Result<Json> read_metrics(const std::string& key, const std::string& digest);
  Status write(Package& package);
  Status create_package(const Package& package, const std::string& metrics_digest);
  Status update_package(const Package& package, const std::string& metrics_digest);
  Status ensure_group(const std::string& group, const std::string& name);
  std::string metrics_key(const ModelVersion& version) const;
  Json metadata(const Package& package, const std::string& metrics_digest) const;

  SagemakerRegistryOptions options_;
  Client& client_;
  ObjectStore& objects_;
};

}  // namespace redoubt::provider::aws
