// SPDX-License-Identifier: Apache-2.0
//
// SLSA provenance v1 (https://slsa.dev/spec/v1.0/provenance): the predicate that says how an artifact was built.
#pragma once

#include <map>
#include <string>

#include "attest/statement.h"
#include "base/clock.h"

namespace redoubt::attest {

struct Provenance {
  std::string build_type;                      // a URI: how to read the parameters
  Json external_parameters = Json::object();   // what the person who started the build chose
  Json internal_parameters = Json::object();   // what the builder added
  std::map<std::string, Digest> dependencies;  // resolvedDependencies, by name
  std::string builder_id;                      // a URI: who is trusted to have built it so
  std::string invocation_id;
  TimePoint started{}, finished{};
};

// The predicate's JSON.
Json to_predicate(const Provenance& provenance);
// Members that SLSA v1 knows and Redoubt doesn't (byproducts, builder version) and vendor extensions are ignored, as SLSA
// asks.
Result<Provenance> parse_provenance(const Json& predicate, std::string_view where);

}  // namespace redoubt::attest
