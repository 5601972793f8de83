// SPDX-License-Identifier: Apache-2.0
//
// What an account shows of a version besides its package: a model card in SageMaker's schema, and lineage from every input
// to the release. Views of the ledger: written again, nothing stands there twice.
#pragma once

#include <map>
#include <string>

#include "provider/aws/api/client.h"
#include "provider/model_registry.h"

namespace redoubt::provider::aws {

// card.json of a release (stages/publish/model_card.h) as SageMaker's model card schema has it; its texts are cut to what the
// schema allows.
Json model_card_content(const Json& card);

struct CardOptions {
  std::string workspace;
  std::string kms_key = {};  // empty: SageMaker's own
};
// Creates the version's card, or a new version of it where the contents or the state differ. Answers its ARN.
Result<std::string> publish_model_card(Client& client, const Json& card, const CardOptions& options);

struct Lineage {
  std::string workspace;
  std::string name, version, release;         // "sha256:..."
  std::string statement;                      // digest of the register statement
  std::map<std::string, std::string> inputs;  // "model", "data", "image", "adapter"... -> "sha256:..."
};
// An artifact for each input and the release, an action for the registration, and what contributed to what.
Status record_lineage(Client& client, const Lineage& lineage);

}  // namespace redoubt::provider::aws
