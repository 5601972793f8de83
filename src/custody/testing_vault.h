// SPDX-License-Identifier: Apache-2.0
//
// For tests: a vault over a real ledger in a folder of the test, with stores in memory, whose clock the test moves.
#pragma once

#include "custody/deletion.h"
#include "governance/testing_release.h"
#include "provider/testing/failing.h"

namespace redoubt::custody {

class VaultFixture : public governance::ReleaseFixture {
 public:
  // `identity` signs what follows.
  Result<std::uint64_t> record(const Json& event) {
    attest::StepRecord record;
    record.step = kVaultStep;
    record.identity = identity;
    record.started = record.finished = clock.now();
    record.result = event;
    record.input_key = crypto::sha256(dump_json(event) + std::to_string(++events));
    return TRY(evidence->append(record, keys.at(identity))).index;
  }
  Stores stores() {
    Stores out;
    out.evidence = evidence.get();
    out.objects = [this](const std::string& role) -> Result<provider::ObjectStore*> { return role == kObjects ? first : &archive_objects; };
    out.artifacts = [this](const std::string& role, const Place&) -> Result<vault::ArtifactStore*> { return role == kObjects ? &store : &archive_store; };
    out.record = [this](const Json& event) { return record(event); };
    return out;
  }
  View view() {
    auto view = View::replay(*evidence);
    CHECK(view.has_value());
    return std::move(*view);
  }
  // A version of one file with that text.
  NamedVersion put(const std::string& name, const std::string& text, const std::string& kind = "data") {
    const Digest digest = artifact(kind.c_str(), text);
    const auto number = view().next_number(name);
    CHECK(record({{"action", "put"}, {"name", name}, {"version", number}, {"artifact", digest.tagged()}, {"kind", kind}, {"files", 1}, {"bytes", text.size()}}).has_value());
    return *view().find(Target{name, number, {}});
  }
  bool has(const Digest& artifact) { return *store.has(artifact); }

  std::string identity = "operator";
  int events = 0;
  provider::ObjectStore* first = &objects;
  provider::testing::FakeObjectStore archive_objects;
  vault::ArtifactStore archive_store{archive_objects, {"workspace-1", {&kms, "fake:default"}, folder.path()}};
};

}  // namespace redoubt::custody
