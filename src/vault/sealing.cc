// SPDX-License-Identifier: Apache-2.0
#include "vault/sealing.h"

#include <algorithm>

#include "base/check.h"
#include "base/memory_object.h"
#include "crypto/aes_gcm.h"
#include "crypto/random.h"

namespace redoubt::vault {

Result<ChunkSealer> ChunkSealer::create(const SealingKey& key, const provider::EncryptionContext& context,
                                        std::uint8_t chunk_bits) {
  CHECK(key.kms != nullptr && chunk_bits >= kChunkBitsMin && chunk_bits <= kChunkBitsMax);
  EnvelopeHeader header;
  header.chunk_bits = chunk_bits;
  crypto::fill_random(header.nonce_prefix);
  header.context = provider::encode_context(context);
  header.key_uri = key.uri;
  auto data_key = crypto::random_secret(kDataKeyBytes);
  header.wrapped_key = TRY(key.kms->wrap(key.uri, data_key, context));
  return ChunkSealer(std::move(header), std::move(data_key));
}

ChunkSealer::ChunkSealer(EnvelopeHeader header, Secret data_key)
    : header_(std::move(header)),
      data_key_(std::move(data_key)),
      header_bytes_(encode_header(header_)),
      bound_(bound_part(header_)),
      sealed_(header_.chunk_bytes() + crypto::kAesGcmTagBytes) {}

Result<ByteView> ChunkSealer::seal(ByteView plaintext, bool last) {
  CHECK(plaintext.size() == chunk_bytes() || (last && plaintext.size() < chunk_bytes()));
  if (next_ > UINT32_MAX) return fail(ErrorCode::limit_exceeded, "an object holds at most 2^32 chunks");
  const auto nonce = chunk_nonce(header_, static_cast<std::uint32_t>(next_++), last);
  const auto into = MutableByteView(sealed_).first(plaintext.size() + crypto::kAesGcmTagBytes);
  crypto::aes_gcm_seal_into(data_key_, nonce, plaintext, bound_, into);
  return into;
}

Result<std::unique_ptr<SealingSink>> SealingSink::create(const SealingKey& key, const provider::EncryptionContext& context,
                                                         Sink& to, std::uint8_t chunk_bits) {
  auto sealer = TRY(ChunkSealer::create(key, context, chunk_bits));
  TRY(to.write(sealer.header()));
  return std::unique_ptr<SealingSink>(new SealingSink(std::move(sealer), to));
}

Status SealingSink::write(ByteView bytes) {
  const std::size_t chunk = sealer_.chunk_bytes();
  pending_.reserve(chunk);
  while (!bytes.empty()) {
    if (pending_.size() == chunk) {
      TRY(to_.write(TRY(sealer_.seal(pending_, false))));
      pending_.clear();
    }
    const std::size_t count = std::min(chunk - pending_.size(), bytes.size());
    pending_.insert(pending_.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(count));
    bytes = bytes.subspan(count);
  }
  return {};
}

Status SealingSink::finish() { return to_.write(TRY(sealer_.seal(pending_, true))); }

Result<std::unique_ptr<SealingSource>> SealingSource::create(const SealingKey& key,
                                                             const provider::EncryptionContext& context, Source& from,
                                                             std::uint8_t chunk_bits) {
  auto sealer = TRY(ChunkSealer::create(key, context, chunk_bits));
  return std::unique_ptr<SealingSource>(new SealingSource(std::move(sealer), from));
}

SealingSource::SealingSource(ChunkSealer sealer, Source& from)
    : sealer_(std::move(sealer)), from_(from), current_(sealer_.chunk_bytes()), next_(sealer_.chunk_bytes()) {
  ready_ = sealer_.header();
}

SealingSource::~SealingSource() {
  wipe_memory(current_);
  wipe_memory(next_);
}

namespace {

// Fills `into` unless the source ends first.
Result<std::size_t> read_full(Source& from, MutableByteView into) {
  std::size_t filled = 0;
  while (filled < into.size()) {
    const std::size_t count = TRY(from.read(into.subspan(filled)));
    if (count == 0) break;
    filled += count;
  }
  return filled;
}

}  // namespace

Status SealingSource::refill() {
  if (!primed_) {
    next_size_ = TRY(read_full(from_, next_));
    primed_ = true;
  }
  std::swap(current_, next_);
  const std::size_t size = next_size_;
  next_size_ = size == current_.size() ? TRY(read_full(from_, next_)) : 0;
  ended_ = next_size_ == 0;
  ready_ = TRY(sealer_.seal(ByteView(current_).first(size), ended_));
  return {};
}

Result<std::size_t> SealingSource::read(MutableByteView into) {
  if (ready_.empty() && !ended_) TRY(refill());
  const std::size_t count = std::min(into.size(), ready_.size());
  std::copy_n(ready_.begin(), count, into.begin());
  ready_ = ready_.subspan(count);
  return count;
}

namespace {

struct OpenedHeader {
  ParsedHeader parsed;
  Secret data_key;
};

Result<OpenedHeader> open_header(const RandomAccess& sealed, const SealingKey& key, const provider::EncryptionContext& context) {
  CHECK(key.kms != nullptr);
  Bytes start(static_cast<std::size_t>(std::min<std::uint64_t>(sealed.size(), kHeaderBytesMax)));
  TRY(sealed.read_at(0, start));
  auto parsed = TRY(parse_header(start));
  if (parsed.header.context != provider::encode_context(context)) {
    return fail(ErrorCode::tampered, "a sealed object stands under a name that is not its own");
  }
  if (parsed.header.key_uri != key.uri) {
    return fail(ErrorCode::tampered, "a sealed object names another key than the one this workspace seals with");
  }
  auto data_key = TRY(key.kms->unwrap(key.uri, parsed.header.wrapped_key, context));
  if (data_key.size() != kDataKeyBytes) return fail(ErrorCode::tampered, "a wrapped data key has the wrong length");
  return OpenedHeader{std::move(parsed), std::move(data_key)};
}

}  // namespace

Result<std::uint64_t> read_cut_off(const RandomAccess& sealed, const SealingKey& key, const provider::EncryptionContext& context,
                                   const std::function<Status(ByteView)>& each) {
  const auto opened = TRY(open_header(sealed, key, context));
  const auto& header = opened.parsed.header;
  const Bytes bound = bound_part(header);
  Bytes chunk(header.chunk_bytes() + crypto::kAesGcmTagBytes), plain(header.chunk_bytes());
  std::uint64_t given = 0;
  for (std::uint64_t at = opened.parsed.size, index = 0; sealed.size() - at >= chunk.size() && index <= UINT32_MAX; at += chunk.size(), ++index) {
    TRY(sealed.read_at(at, chunk));
    if (!crypto::aes_gcm_open_into(opened.data_key, chunk_nonce(header, static_cast<std::uint32_t>(index), false), chunk, bound, plain)) break;
    TRY(each(plain));
    given += plain.size();
  }
  wipe_memory(plain);
  return given;
}

Result<std::unique_ptr<SealedReader>> SealedReader::open(std::unique_ptr<RandomAccess> sealed, const SealingKey& key,
                                                         const provider::EncryptionContext& context) {
  auto [parsed, data_key] = TRY(open_header(*sealed, key, context));
  const std::uint64_t size = TRY(plaintext_size(sealed->size() - parsed.size, parsed.header.chunk_bytes()));
  std::unique_ptr<SealedReader> reader(new SealedReader(std::move(sealed), std::move(parsed), std::move(data_key), size));
  Bytes scratch;
  Bytes last(reader->chunk_size(reader->chunks() - 1));
  TRY(reader->open_chunk(reader->chunks() - 1, scratch, last));
  wipe_memory(last);
  return reader;
}

SealedReader::SealedReader(std::unique_ptr<RandomAccess> sealed, ParsedHeader parsed, Secret data_key, std::uint64_t size)
    : sealed_(std::move(sealed)),
      header_(std::move(parsed.header)),
      start_(parsed.size),
      data_key_(std::move(data_key)),
      size_(size),
      bound_(bound_part(header_)) {}

std::uint64_t SealedReader::chunks() const {
  return size_ == 0 ? 1 : (size_ + header_.chunk_bytes() - 1) >> header_.chunk_bits;
}

std::size_t SealedReader::chunk_size(std::uint64_t index) const {
  const std::uint64_t begin = index << header_.chunk_bits;
  return static_cast<std::size_t>(std::min<std::uint64_t>(header_.chunk_bytes(), size_ - begin));
}

Status SealedReader::open_chunk(std::uint64_t index, Bytes& sealed, MutableByteView into) const {
  sealed.resize(into.size() + crypto::kAesGcmTagBytes);
  TRY(sealed_->read_at(start_ + index * (header_.chunk_bytes() + crypto::kAesGcmTagBytes), sealed));
  const auto nonce = chunk_nonce(header_, static_cast<std::uint32_t>(index), index + 1 == chunks());
  return crypto::aes_gcm_open_into(data_key_, nonce, sealed, bound_, into);
}

Status SealedReader::read_at(std::uint64_t offset, MutableByteView into) const {
  if (offset > size_ || into.size() > size_ - offset) {
    return fail(ErrorCode::invalid_argument, "read beyond the end of a sealed object");
  }
  Bytes sealed, partial;
  while (!into.empty()) {
    const std::uint64_t index = offset >> header_.chunk_bits;
    const std::size_t skip = offset & (header_.chunk_bytes() - 1);
    const std::size_t whole = chunk_size(index);
    const std::size_t count = std::min(whole - skip, into.size());
    if (count == whole) {
      TRY(open_chunk(index, sealed, into.first(count)));
    } else {
      partial.resize(whole);
      TRY(open_chunk(index, sealed, partial));
      std::copy_n(partial.begin() + static_cast<std::ptrdiff_t>(skip), count, into.begin());
      wipe_memory(partial);
    }
    into = into.subspan(count);
    offset += count;
  }
  return {};
}

Result<Bytes> seal_bytes(const SealingKey& key, const provider::EncryptionContext& context, ByteView plaintext) {
  MemorySink out;
  auto sink = TRY(SealingSink::create(key, context, out));
  TRY(sink->write(plaintext));
  TRY(sink->finish());
  return out.take();
}

Result<Bytes> open_bytes(const SealingKey& key, const provider::EncryptionContext& context, ByteView sealed,
                         std::uint64_t bytes_max) {
  auto reader = TRY(SealedReader::open(std::make_unique<MemoryObject>(Bytes(sealed.begin(), sealed.end())), key, context));
  if (reader->size() > bytes_max) return fail(ErrorCode::limit_exceeded, "a sealed object is larger than expected");
  Bytes plaintext(static_cast<std::size_t>(reader->size()));
  TRY(reader->read_at(0, plaintext));
  return plaintext;
}

}  // namespace redoubt::vault
