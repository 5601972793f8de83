// SPDX-License-Identifier: Apache-2.0
//
// The format of a sealed object (docs/formats/envelope.md): a header and AES-256-GCM chunks chained as in STREAM (Hoang,
// Reyhanitabar, Rogaway and Vizár, "Online Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance", 2015): each
// nonce holds a random prefix, the chunk's number and whether it is the last, so that no chunk can be moved, dropped or
// added.
#pragma once

#include <array>

#include "base/bytes.h"
#include "provider/kms.h"

namespace redoubt::vault {

constexpr std::size_t kDataKeyBytes = 32;
constexpr std::size_t kNoncePrefixBytes = 7;
constexpr std::uint8_t kChunkBitsDefault = 16;  // 64 KiB
constexpr std::uint8_t kChunkBitsMin = 12, kChunkBitsMax = 22;
constexpr std::size_t kHeaderBytesMax = 16 << 10;

struct EnvelopeHeader {
  std::uint8_t chunk_bits = kChunkBitsDefault;  // a chunk holds 2^chunk_bits bytes of plaintext
  std::array<std::uint8_t, kNoncePrefixBytes> nonce_prefix{};
  Bytes context;        // provider::encode_context of what the object is
  std::string key_uri;  // the KMS key that wrapped the data key
  Bytes wrapped_key;    // what Kms::wrap answered

  std::size_t chunk_bytes() const { return std::size_t{1} << chunk_bits; }
};

// The part of the header that every chunk authenticates: all but the wrapping, which the KMS authenticates, so that a data
// key can be wrapped anew without touching the chunks.
Bytes bound_part(const EnvelopeHeader& header);
// The whole header. A field beyond its limit is a CHECK.
Bytes encode_header(const EnvelopeHeader& header);

struct ParsedHeader {
  EnvelopeHeader header;
  std::size_t size = 0;  // where the chunks start
};
// Parses the header at the start of `bytes`; tampered for anything that encode_header does not write.
Result<ParsedHeader> parse_header(ByteView bytes);

std::array<std::uint8_t, 12> chunk_nonce(const EnvelopeHeader& header, std::uint32_t index, bool last);

// How many plaintext bytes stand in that many bytes of chunks; tampered for a number that no plaintext gives.
Result<std::uint64_t> plaintext_size(std::uint64_t chunks_bytes, std::size_t chunk_bytes);

}  // namespace redoubt::vault
