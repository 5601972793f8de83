// SPDX-License-Identifier: Apache-2.0
#include "vault/envelope.h"

#include <algorithm>

#include "base/check.h"
#include "crypto/aes_gcm.h"

namespace redoubt::vault {
namespace {

constexpr std::array<std::uint8_t, 8> kMagic = {'R', 'E', 'D', 'O', 'U', 'B', 'T', 0};
constexpr std::uint8_t kEnvelopeVersion = 1;
constexpr std::uint8_t kAes256GcmStream = 1;
constexpr std::size_t kKeyUriBytesMax = 1024, kWrappedKeyBytesMax = 8192, kContextBytesMax = 4096;

void put_field(Bytes& out, ByteView field, std::size_t bytes_max) {
  CHECK(field.size() <= bytes_max);
  out.push_back(static_cast<std::uint8_t>(field.size() >> 8));
  out.push_back(static_cast<std::uint8_t>(field.size()));
  out.insert(out.end(), field.begin(), field.end());
}

tl::unexpected<Error> malformed(const char* what) {
  return fail(ErrorCode::tampered, std::string("not a sealed object: ") + what, {},
              "the object was changed or cut short, or a newer release wrote it");
}

// Reads a header from its start; each step answers whether the bytes were there.
class HeaderReader {
 public:
  explicit HeaderReader(ByteView bytes) : rest_(bytes) {}
  std::size_t left() const { return rest_.size(); }

  bool take(MutableByteView into) {
    if (rest_.size() < into.size()) return false;
    std::copy_n(rest_.begin(), into.size(), into.begin());
    rest_ = rest_.subspan(into.size());
    return true;
  }

  bool take_field(Bytes& into, std::size_t bytes_max) {
    std::array<std::uint8_t, 2> length{};
    if (!take(length)) return false;
    const std::size_t size = (std::size_t{length[0]} << 8) | length[1];
    if (size == 0 || size > bytes_max) return false;
    into.resize(size);
    return take(into);
  }

 private:
  ByteView rest_;
};

}  // namespace

Bytes bound_part(const EnvelopeHeader& header) {
  Bytes out(kMagic.begin(), kMagic.end());
  out.push_back(kEnvelopeVersion);
  out.push_back(kAes256GcmStream);
  out.push_back(header.chunk_bits);
  out.insert(out.end(), header.nonce_prefix.begin(), header.nonce_prefix.end());
  put_field(out, header.context, kContextBytesMax);
  return out;
}

Bytes encode_header(const EnvelopeHeader& header) {
  Bytes out = bound_part(header);
  put_field(out, view_of(header.key_uri), kKeyUriBytesMax);
  put_field(out, header.wrapped_key, kWrappedKeyBytesMax);
  return out;
}

Result<ParsedHeader> parse_header(ByteView bytes) {
  HeaderReader reader(bytes);
  ParsedHeader parsed;
  std::array<std::uint8_t, 8> magic{};
  std::array<std::uint8_t, 3> kinds{};
  if (!reader.take(magic) || magic != kMagic) return malformed("wrong first bytes");
  if (!reader.take(kinds)) return malformed("it ends in its header");
  if (kinds[0] != kEnvelopeVersion) return malformed("unknown version");
  if (kinds[1] != kAes256GcmStream) return malformed("unknown algorithm");
  if (kinds[2] < kChunkBitsMin || kinds[2] > kChunkBitsMax) return malformed("chunk size out of bounds");
  parsed.header.chunk_bits = kinds[2];
  Bytes uri;
  if (!reader.take(parsed.header.nonce_prefix) || !reader.take_field(parsed.header.context, kContextBytesMax) ||
      !reader.take_field(uri, kKeyUriBytesMax) || !reader.take_field(parsed.header.wrapped_key, kWrappedKeyBytesMax)) {
    return malformed("it ends in its header");
  }
  parsed.header.key_uri = to_text(uri);
  parsed.size = bytes.size() - reader.left();
  return parsed;
}

std::array<std::uint8_t, 12> chunk_nonce(const EnvelopeHeader& header, std::uint32_t index, bool last) {
  std::array<std::uint8_t, 12> nonce{};
  std::copy(header.nonce_prefix.begin(), header.nonce_prefix.end(), nonce.begin());
  for (int i = 0; i < 4; ++i) nonce[kNoncePrefixBytes + i] = static_cast<std::uint8_t>(index >> (24 - 8 * i));
  nonce[11] = last ? 1 : 0;
  return nonce;
}

Result<std::uint64_t> plaintext_size(std::uint64_t chunks_bytes, std::size_t chunk_bytes) {
  const std::uint64_t sealed_chunk = chunk_bytes + crypto::kAesGcmTagBytes;
  const std::uint64_t chunks = chunks_bytes / sealed_chunk + (chunks_bytes % sealed_chunk != 0 ? 1 : 0);
  const std::uint64_t last = chunks == 0 ? 0 : chunks_bytes - (chunks - 1) * sealed_chunk;
  // Only the empty plaintext has an empty last chunk.
  const bool possible = chunks > 0 && chunks <= (std::uint64_t{1} << 32) && last >= crypto::kAesGcmTagBytes &&
                        (last > crypto::kAesGcmTagBytes || chunks == 1);
  if (!possible) return fail(ErrorCode::tampered, "a sealed object was cut short or extended");
  return chunks_bytes - chunks * crypto::kAesGcmTagBytes;
}

}  // namespace redoubt::vault
