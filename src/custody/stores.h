// SPDX-License-Identifier: Apache-2.0
//
// What the vault's rules work on: the stores, the artifacts in them, and the ledger that each decision goes into first.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/progress.h"
#include "custody/rules.h"
#include "custody/view.h"
#include "provider/model_registry.h"
#include "provider/object_store.h"
#include "vault/artifact_store.h"

namespace redoubt::custody {

inline constexpr const char *kObjects = "objects", *kArchive = "archive";

struct Stores {
  // A whole store by its role ("objects", "archive"); not_found where none is named.
  std::function<Result<provider::ObjectStore*>(const std::string& role)> objects;
  // The artifacts of one place in it.
  std::function<Result<vault::ArtifactStore*>(const std::string& role, const Place& place)> artifacts;
  // Appends an event of the step "vault"; answers its entry.
  std::function<Result<std::uint64_t>(const Json& event)> record;
  ledger::EvidenceLog* evidence = nullptr;
};

// What releases that are waiting for review, approved or deployed stand on: every input and output of their chains.
class Needs {
 public:
  static Result<Needs> of_releases(ledger::EvidenceLog& evidence, provider::ModelRegistry& registry);
  // "tiny/0.1.0 (Approved)"; empty when no release needs it.
  std::string why(const Digest& digest) const;
  const std::map<Digest, std::string>& all() const { return why_; }

 private:
  std::map<Digest, std::string> why_;
};

// Artifacts of the pipeline that are in the store and that nobody named, as versions without a name: kind, size and when they were
// recorded last.
Result<std::vector<NamedVersion>> unnamed_artifacts(const Stores& stores, const View& view);

// The objects that would go with some artifacts of one place: their manifests, and those of their files that no other artifact there
// names and that no release stands on. Keys carry the place's prefix.
struct ObjectList {
  std::vector<Digest> manifests, blobs;
  std::uint64_t shared = 0;  // files that stay for others

  std::vector<std::string> keys(const Place& place) const;
};
Result<ObjectList> objects_to_remove(vault::ArtifactStore& artifacts, const std::set<Digest>& going, const Needs& needs);

// Objects that lie in the archive alone, with their places' prefixes: what an artifact that lies here names, too, is not among them.
Result<std::set<std::string>> archived_objects(const Stores& stores, const View& view);

// Objects that the ledger names after an entry: whatever went before by right may be there again.
Result<std::set<std::string>> written_after(const Stores& stores, std::uint64_t entry);

// Copies a sealed object as it is and reads it back; tampered when what arrived is something else. Answers its bytes.
Result<std::uint64_t> copy_object(provider::ObjectStore& from, provider::ObjectStore& to, const std::string& key, provider::PutMode mode);

// Announces in the ledger that objects go, takes them away and says that it is done. Killed at any instant, `finish` goes on.
// `event` holds what the first entry says besides; long lists take several entries. `announced` is called between the ledger's word and the
// first object that goes.
Status remove_objects(const Stores& stores, const Place& place, const std::string& from, const ObjectList& list, const Json& event, const std::function<Status()>& announced = {});
// What was announced and not done, such as by a process that was killed; answers how many objects went.
Result<std::uint64_t> finish(const Stores& stores, const View& view);

// Moves an artifact's objects to the archive, or back. Answers the bytes that were copied.
Result<std::uint64_t> archive(const Stores& stores, const NamedVersion& version, const Needs& needs, const std::string& why);
Result<std::uint64_t> unarchive(const Stores& stores, const NamedVersion& version);

}  // namespace redoubt::custody
