// SPDX-License-Identifier: Apache-2.0
//
// What a pipeline step says about itself, and its form as a statement. Steps that build or train something (`image`,
// `train`) speak SLSA provenance v1, so that foreign tools read them; all others use urn:redoubt:predicate:<step>:v1
// (docs/formats/attestation.md). Both forms carry the same fields and turn back into the same StepRecord.
//
// How steps name each other: `register` has the inputs "statement:acquire", "statement:data", "statement:image",
// "statement:train" and "statement:evaluate"; `review` has "statement:register"; `deploy` has "statement:review". The value
// is the digest of that statement (attest::digest_of, ledger::Evidence::digest).
#pragma once

#include <map>
#include <string>

#include "attest/statement.h"
#include "base/clock.h"

namespace redoubt::attest {

inline constexpr const char* kSlsaProvenanceType = "https://slsa.dev/provenance/v1";

struct StepRecord {
  std::string step;       // "acquire", "data", "image", "train", "evaluate", "register", "review", "deploy", "alarm"...
  Digest input_key = {};  // hash over everything that decides the result: equal keys, equal outputs
  std::map<std::string, Digest> inputs = {};   // what went in, by digest
  std::map<std::string, Digest> outputs = {};  // what came out, by digest; the statement's subjects
  Json parameters = Json::object();            // an object; no personal data, no secret
  std::string identity = {};                   // the name of the identity whose key signs
  TimePoint started{}, finished{};
  Json result = Json::object();  // an object: what the step found (metrics, gate, decision, name and version)

  bool operator==(const StepRecord&) const = default;
};

// What training gave, and how the evaluation names it: an adapter, which belongs beside its base, or a whole model, which stands in its place.
struct TrainedWeights {
  const char* output = "adapter";  // of the step `train`
  const char* input = "adapter";   // of the step `evaluate`

  bool is_adapter() const { return std::string_view(output) == "adapter"; }
};
TrainedWeights trained_weights(const StepRecord& train);

// The predicate type that a step's statement has.
std::string step_predicate_type(std::string_view step);

// The subjects are the outputs; without outputs the inputs; without both the input key under the step's name.
// invalid_argument when a name or the identity is empty, a step is not [a-z][a-z0-9-]*, or parameters or result is no
// object.
Result<Statement> to_statement(const StepRecord& record);

// The record in a statement that to_statement made; anything else (other members, subjects that don't match) is
// invalid_argument.
Result<StepRecord> to_step_record(const Statement& statement);

}  // namespace redoubt::attest
