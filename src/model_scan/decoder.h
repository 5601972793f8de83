// SPDX-License-Identifier: Apache-2.0
//
// Compressed files read as what they hold: gzip, zlib, raw deflate, bzip2, xz and LZMA, zstd, LZ4 frames. Memory is bounded whatever
// a file's header asks for.
#pragma once

#include <memory>
#include <optional>

#include "base/stream.h"

namespace redoubt::model_scan {

enum class Codec { deflate, zlib, gzip, bzip2, xz, lzma, zstd, lz4 };
const char* to_string(Codec codec);
// By the first bytes; zlib's two are proven by decoding a little.
std::optional<Codec> codec_of(ByteView start);

// What came out of a whole pass.
struct Decoded {
  std::uint64_t bytes = 0;
  bool is_whole = false;      // the stream ended as its format ends
  bool has_trailing = false;  // bytes stand behind its end
  bool is_bomb = false;       // given up: so little makes so much
};

// The contents as a file. They are decoded again from the start for each step back, so read on, not back and forth; the first and last
// 64 KiB, and all of what is small, stay in memory. Reads beyond what was decoded are invalid_argument, too many steps back
// limit_exceeded.
class DecodedObject final : public RandomAccess {
 public:
  // Decodes everything once. `object` must live longer. Errors are those of reading it.
  static Result<std::unique_ptr<DecodedObject>> open(const RandomAccess& object, std::uint64_t begin, std::uint64_t end, Codec codec);
  ~DecodedObject() override;
  std::uint64_t size() const override { return decoded_.bytes; }
  Status read_at(std::uint64_t offset, MutableByteView into) const override;
  const Decoded& decoded() const { return decoded_; }
  std::uint32_t crc32() const { return crc32_; }

 private:
  struct Stream;
  DecodedObject(const RandomAccess& object, std::uint64_t begin, std::uint64_t end, Codec codec);
  Status run_once();
  const RandomAccess& object_;
  std::uint64_t begin_, end_;
  Codec codec_;
  Decoded decoded_;
  Bytes head_, tail_;  // all of it in head_ where it is small
  std::uint32_t crc32_ = 0;
  mutable std::unique_ptr<Stream> stream_;
  mutable std::uint64_t at_ = 0, work_ = 0;
};

}  // namespace redoubt::model_scan
