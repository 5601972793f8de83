// SPDX-License-Identifier: Apache-2.0
//
// Models that the mirror does not have, from another hub: fetched into quarantine, checked against that hub's digests, scanned, and
// only then kept and served. Who asks while a model is fetched waits for that one fetch.
#pragma once

#include <atomic>

#include "hub/store.h"

namespace redoubt::hub {

// The other hub. Safe to call from several threads.
class Upstream {
 public:
  struct Entry {
    std::string path;
    std::uint64_t size = 0;
    std::string blob_id;           // git's
    std::optional<Digest> sha256;  // of a large file
  };
  virtual ~Upstream() = default;
  // The commit that a revision names; not_found.
  virtual Result<std::string> resolve(const std::string& repository, const std::string& revision) = 0;
  virtual Result<std::vector<Entry>> list(const std::string& repository, const std::string& commit) = 0;
  virtual Status download(const std::string& repository, const std::string& commit, const Entry& entry, Sink& into) = 0;
};

class PullThrough {
 public:
  struct Options {
    std::shared_ptr<Upstream> upstream;
    std::chrono::seconds fresh_for{600};      // a branch is asked for again after that long
    std::uint64_t bytes_max = 256ull << 30;   // of a model
  };
  PullThrough(Options options, Store& store, Scan scan, const Clock& clock) : options_(std::move(options)), store_(store), scan_(std::move(scan)), clock_(clock) {}

  // Whether the store can answer for that revision without asking the other hub.
  bool is_fresh(const std::string& id, const std::string& revision) const;
  // Brings the revision into the store. not_found where the other hub has none, gate_refused with the findings in `where`, one a
  // line, for a model that does not pass the scan (remembered until the branch names another commit), unavailable where the
  // other hub does not answer and nothing is kept.
  Status fetch(const std::string& id, const std::string& revision);

 private:
  Result<Repository> download(const std::string& id, const std::string& commit, std::vector<Digest>& added);
  Result<RepositoryFile> download_file(const std::string& id, const std::string& commit, const Upstream::Entry& entry, std::atomic<bool>& is_new);
  Status take(const std::string& id, const std::string& commit);
  Status refusal(const std::string& id, const std::string& commit) const;

  Options options_;
  Store& store_;
  Scan scan_;
  const Clock& clock_;
  mutable std::mutex mutex_;
  std::map<std::string, std::vector<std::string>> refused_;  // "OWNER/NAME@commit" -> findings
};

}  // namespace redoubt::hub
