// SPDX-License-Identifier: Apache-2.0
//
// A blob on its way in: hashed and sealed as it is written, into a sealed file of its own that outlives the process, so that
// what has come need not come again. Nothing plain touches the disk.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>

#include "base/direct_file.h"
#include "crypto/paired_hash.h"
#include "vault/sealing.h"

namespace redoubt::vault {

class PendingBlob final : public Sink {
 public:
  // Goes on with what is in `file`: its whole chunks are sealed anew under a fresh data key (a cut-off chunk was sealed under a
  // nonce that must not be used again), so that costs reading, not fetching.
  // Blobs that come at once share a `pairing`.
  static Result<std::unique_ptr<PendingBlob>> begin(std::filesystem::path file, const SealingKey& key, const provider::EncryptionContext& context,
                                                    const Digest& expected, crypto::HashPairing& pairing);
  ~PendingBlob() override;
  std::uint64_t bytes() const { return bytes_; }  // of the blob so far, with those of earlier processes
  Status write(ByteView bytes) override;
  // tampered when the blob is not the expected one; then the file is gone.
  Status finish();
  void discard();
  const std::filesystem::path& file() const { return file_; }
  const Digest& expected() const { return expected_; }

 private:
  PendingBlob(std::filesystem::path file, const Digest& expected, crypto::HashPairing& pairing) : file_(std::move(file)), expected_(expected), hash_(pairing) {}
  Status seal(bool last);
  Status start(const SealingKey& key, const provider::EncryptionContext& context);
  Status take_up(const std::filesystem::path& old, const SealingKey& key, const provider::EncryptionContext& context);

  std::filesystem::path file_;
  Digest expected_;
  std::unique_ptr<DirectFile> sealed_;
  std::optional<ChunkSealer> sealer_;  // none once the last chunk was sealed
  crypto::PairedSha256 hash_;
  Bytes piece_;  // a chunk, which is sealed when the next one begins: only the end tells which is the last
  std::uint64_t bytes_ = 0;
};

}  // namespace redoubt::vault
