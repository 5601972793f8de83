// SPDX-License-Identifier: Apache-2.0
//
// A model's files out of a hub into the vault, several at once, each in one pass: what comes is hashed, sealed and written as it
// comes. A file that breaks off goes on at its next byte, in this run or in a later one.
#pragma once

#include <atomic>
#include <mutex>

#include "base/progress.h"
#include "stages/acquire/hub_client.h"
#include "vault/artifact_store.h"

namespace redoubt::stages::acquire {

class Downloads {
 public:
  struct Source {
    const HubClient& hub;
    std::string repository, commit;
  };
  Downloads(Source source, vault::ArtifactStore& store, Progress& progress) : source_(std::move(source)), store_(store), progress_(progress) {}

  // All of them, in their order. tampered for a size or a digest that is not the hub's, gate_refused for a large file of which
  // the hub gives no SHA-256.
  Result<std::vector<vault::ArtifactFile>> run(const std::vector<HubFile>& files);

 private:
  class Counted;
  Result<Digest> fetch(const HubFile& file);
  Result<Digest> fetch_small(const HubFile& file);
  Status fetch_known(const HubFile& file, const Digest& digest);
  Status receive(const HubFile& file, vault::PendingBlob& blob);
  Result<bool> is_here(const HubFile& file);
  Status check(const HubFile& file, std::uint64_t size, bool is_the_same) const;
  std::string where(const HubFile& file) const { return source_.repository + "/" + file.path; }
  void advance(std::uint64_t bytes);

  Source source_;
  vault::ArtifactStore& store_;
  Progress& progress_;
  bool in_background_ = false;  // whether what comes is hashed, sealed and written by a thread beside the one that receives it
  std::mutex mutex_;
  std::uint64_t done_ = 0;
};

}  // namespace redoubt::stages::acquire
