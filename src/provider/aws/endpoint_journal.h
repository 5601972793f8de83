// SPDX-License-Identifier: Apache-2.0
//
// What an environment's endpoint is made of, written down in S3 before it is made (docs/formats/sagemaker.md). S3 tells at once what was
// written; SageMaker's tags and listings may tell late. So the configuration that an endpoint names says by its entry here which version
// serves, and what has to go one day is found here, whenever the program was cut off.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "provider/object_store.h"

namespace redoubt::provider::aws {

struct EndpointEntry {
  std::string config, model;              // names in SageMaker
  std::string files;                      // the key's prefix of the release's files, below the models' place
  std::string workspace;                  // whose it is
  std::string name, version, deployment;  // of the registry; the statement's digest
  std::string before;                     // the configuration that served before; empty: none
};

class EndpointJournal {
 public:
  // `models` holds the objects below the models' place and outlives it.
  EndpointJournal(ObjectStore& models, const std::string& environment) : models_(models), place_("made/" + environment + "/") {}

  // Durable when it returns; takes the place of an entry of the same configuration.
  Status put(const EndpointEntry& entry);
  // Nothing where no entry is; invalid_argument for one that can't be read.
  Result<std::optional<EndpointEntry>> find(const std::string& config);
  Result<std::vector<EndpointEntry>> all();
  Status remove(const std::string& config);

 private:
  std::string key_of(const std::string& config) const { return place_ + config + ".json"; }

  ObjectStore& models_;
  std::string place_;
};

}  // namespace redoubt::provider::aws
