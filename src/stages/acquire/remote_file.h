// SPDX-License-Identifier: Apache-2.0
//
// A file of a hub, read in place: block by block as it is asked for, nothing of it kept.
#pragma once

#include <array>
#include <list>
#include <mutex>

#include "base/stream.h"
#include "crypto/aes_gcm.h"
#include "crypto/hash.h"
#include "crypto/random.h"
#include "stages/acquire/hub_client.h"

namespace redoubt::stages::acquire {

// What was read is believed only once `finish` has seen the whole file and its digest: a block that is fetched again has to be the
// same, and the digest is of those blocks. Memory: kBlocksMax blocks, or the whole of a file without a SHA-256.
class RemoteFile final : public RandomAccess {
 public:
  struct Place {
    const HubClient& hub;
    std::string repository, commit;
  };
  static constexpr std::uint64_t kBlockBytes = 4 << 20;
  static constexpr std::size_t kBlocksMax = 8;

  // `place` must outlive it. gate_refused for a large file of which the hub gives no SHA-256; tampered for a small one that is not
  // what the hub says.
  static Result<std::unique_ptr<RemoteFile>> open(const Place& place, const HubFile& file, std::function<void(std::uint64_t)> fetched = {});

  std::uint64_t size() const override { return file_.size; }
  Status read_at(std::uint64_t offset, MutableByteView into) const override;
  // Fetches what nobody has read and compares the digest. The first error of any read is its error too.
  Status finish();

 private:
  using Tag = std::array<std::uint8_t, crypto::kAesGcmTagBytes>;
  struct Block {
    std::uint64_t number;
    Bytes bytes;
  };
  RemoteFile(const Place& place, const HubFile& file, std::function<void(std::uint64_t)> fetched) : place_(place), file_(file), fetched_(std::move(fetched)) {}
  Status read_whole();
  Status receive(std::uint64_t offset, std::uint64_t length, Sink& into) const;
  Result<const Bytes*> block(std::uint64_t number) const;
  Status take(std::uint64_t number, ByteView bytes) const;
  Tag tag_of(std::uint64_t number, ByteView bytes) const;
  std::uint64_t length_of(std::uint64_t number) const { return std::min(kBlockBytes, file_.size - number * kBlockBytes); }
  std::uint64_t count() const { return (file_.size + kBlockBytes - 1) / kBlockBytes; }
  std::string where() const { return place_.repository + "/" + file_.path; }

  const Place& place_;
  HubFile file_;
  std::function<void(std::uint64_t)> fetched_;
  mutable std::mutex mutex_;  // guards all that follows
  mutable std::optional<Error> failed_;
  mutable std::list<Block> blocks_;  // the newest first
  // Of the blocks that were seen: only this process compares them, so a MAC under a key of its own (GMAC, the block's number as the nonce)
  // says as much as a second SHA-256 of every byte, in a fraction of its time.
  Secret key_ = crypto::random_secret(crypto::kAesGcmKeyBytes);
  mutable std::vector<std::optional<Tag>> tags_;
  mutable crypto::Sha256 hash_;      // of the blocks before hashed_
  mutable std::uint64_t hashed_ = 0;
};

}  // namespace redoubt::stages::acquire
