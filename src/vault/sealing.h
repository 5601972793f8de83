// SPDX-License-Identifier: Apache-2.0
//
// Sealed streams. Guarantee: what a reader gives out was sealed under the same KMS key for the same context, byte for byte
// and whole; anything else is tampered. Every object has a data key of its own, wrapped by the KMS under the context.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/stream.h"
#include "provider/kms.h"
#include "vault/envelope.h"

namespace redoubt::vault {

// Which key of which KMS seals. A reader opens only what this very key wrapped: a header may not send it to another's key.
// The KMS must outlive every object made with it.
struct SealingKey {
  provider::Kms* kms = nullptr;
  std::string uri;  // "local:default"
};

// Seals chunk by chunk in memory of one chunk.
class ChunkSealer {
 public:
  // Draws a data key and wraps it.
  static Result<ChunkSealer> create(const SealingKey& key, const provider::EncryptionContext& context,
                                    std::uint8_t chunk_bits = kChunkBitsDefault);
  const Bytes& header() const { return header_bytes_; }
  std::size_t chunk_bytes() const { return header_.chunk_bytes(); }
  // The next chunk; all but the last are exactly chunk_bytes() long. limit_exceeded after 2^32 chunks.
  Result<ByteView> seal(ByteView plaintext, bool last);

 private:
  ChunkSealer(EnvelopeHeader header, Secret data_key);
  EnvelopeHeader header_;
  Secret data_key_;
  Bytes header_bytes_, bound_, sealed_;
  std::uint64_t next_ = 0;
};

// Seals what is written to it. Without `finish` the object is cut short and no reader opens it.
class SealingSink final : public Sink {
 public:
  // `to` must outlive the sink; the header is written at once.
  static Result<std::unique_ptr<SealingSink>> create(const SealingKey& key, const provider::EncryptionContext& context,
                                                     Sink& to, std::uint8_t chunk_bits = kChunkBitsDefault);
  ~SealingSink() override { wipe_memory(pending_); }
  Status write(ByteView bytes) override;
  Status finish();

 private:
  SealingSink(ChunkSealer sealer, Sink& to) : sealer_(std::move(sealer)), to_(to) {}
  ChunkSealer sealer_;
  Sink& to_;
  Bytes pending_;  // 1 to chunk_bytes() bytes once anything was written: the last chunk is known only at the end
};

// Gives the sealed form of what a source holds, for whoever pulls.
class SealingSource final : public Source {
 public:
  // `from` must outlive this source.
  static Result<std::unique_ptr<SealingSource>> create(const SealingKey& key, const provider::EncryptionContext& context,
                                                       Source& from, std::uint8_t chunk_bits = kChunkBitsDefault);
  ~SealingSource() override;
  Result<std::size_t> read(MutableByteView into) override;

 private:
  SealingSource(ChunkSealer sealer, Source& from);
  Status refill();
  ChunkSealer sealer_;
  Source& from_;
  Bytes current_, next_;  // one chunk read ahead, to know which is the last
  std::size_t next_size_ = 0;
  bool primed_ = false, ended_ = false;
  ByteView ready_;
};

// Opens a sealed object; each read verifies the chunks it touches. Safe to call from several threads.
class SealedReader final : public RandomAccess {
 public:
  // Reads and verifies the header and the last chunk, so that a cut or extended object is refused at once.
  static Result<std::unique_ptr<SealedReader>> open(std::unique_ptr<RandomAccess> sealed, const SealingKey& key,
                                                    const provider::EncryptionContext& context);
  std::uint64_t size() const override { return size_; }
  Status read_at(std::uint64_t offset, MutableByteView into) const override;

 private:
  SealedReader(std::unique_ptr<RandomAccess> sealed, ParsedHeader parsed, Secret data_key, std::uint64_t size);
  Status open_chunk(std::uint64_t index, Bytes& sealed, MutableByteView into) const;
  std::uint64_t chunks() const;
  std::size_t chunk_size(std::uint64_t index) const;

  std::unique_ptr<RandomAccess> sealed_;
  EnvelopeHeader header_;
  std::uint64_t start_;
  Secret data_key_;
  std::uint64_t size_;
  Bytes bound_;
};

// Gives out, in their order, the whole chunks of an object whose sealing was cut off, up to the first that does not verify, and
// answers how many bytes they hold. What was sealed at the end of an object (the last chunk) is not among them. tampered for
// a header that is not this key's and context's.
Result<std::uint64_t> read_cut_off(const RandomAccess& sealed, const SealingKey& key, const provider::EncryptionContext& context,
                                   const std::function<Status(ByteView)>& each);

// Whole small objects. `open` refuses more than `bytes_max` bytes of plaintext.
Result<Bytes> seal_bytes(const SealingKey& key, const provider::EncryptionContext& context, ByteView plaintext);
Result<Bytes> open_bytes(const SealingKey& key, const provider::EncryptionContext& context, ByteView sealed,
                         std::uint64_t bytes_max);

}  // namespace redoubt::vault
