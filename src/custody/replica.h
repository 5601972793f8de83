// SPDX-License-Identifier: Apache-2.0
//
// The second store: every sealed object as it is, under the same key. What differs between the two is found by listing both and by
// comparing headers, since an object never changes but for the wrapping of its data key; `deep` compares every byte.
#pragma once

#include "custody/stores.h"

namespace redoubt::custody {

struct ReplicaDifferences {
  std::vector<std::string> missing;  // in the replica: the lag
  std::vector<std::string> stale;    // wrapped by an older version of the key there
  std::vector<std::string> deleted;  // by right here, and still there
  std::vector<std::string> differing;  // not the same object: one of the two was changed
  std::vector<std::string> unknown;  // there, and never here
  std::uint64_t objects = 0;         // here

  bool in_sync() const { return missing.empty() && stale.empty() && deleted.empty() && differing.empty() && unknown.empty(); }
};

struct ReplicaOptions {
  bool deep = false;  // read every object on both sides
};

Result<ReplicaDifferences> compare_replica(provider::ObjectStore& primary, provider::ObjectStore& replica, const View& view, const ReplicaOptions& options, Progress& progress);

struct Replicated {
  std::uint64_t copied = 0, bytes = 0, rewrapped = 0, removed = 0;
};
// Makes the replica as the primary is; interrupted, the next call goes on where it was. tampered, before anything is copied, when an object
// differs: the good one of the two is for a person to find.
Result<Replicated> replicate(provider::ObjectStore& primary, provider::ObjectStore& replica, const View& view, Progress& progress);

struct Recovered {
  std::uint64_t copied = 0, bytes = 0;
  std::vector<std::string> damaged;  // here, that were replaced
};
// Puts back what the primary lacks or what is damaged in it (keys with their places' prefixes); what was deleted by right stays away, and so does what
// is `archived`.
Result<Recovered> recover(provider::ObjectStore& primary, provider::ObjectStore& replica, const View& view, const std::vector<std::string>& damaged, Progress& progress, const std::set<std::string>& archived = {});

}  // namespace redoubt::custody
