// SPDX-License-Identifier: Apache-2.0
#include "model_scan/decoder.h"

#include <bzlib.h>
#include <lz4frame.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>

#include "model_scan/byte_reader.h"
#include "model_scan/crc32.h"

namespace redoubt::model_scan {
namespace {

constexpr std::size_t kChunk = 64 << 10, kKept = 8 << 20, kTail = (64 << 10) + 64;
constexpr std::uint64_t kDecodedMax = 64ull << 30, kFreely = 256ull << 20, kRatioMax = 250, kMemoryMax = 64 << 20;
constexpr int kZstdWindowLogMax = 26;

}  // namespace

enum class DecodeStep { more, end, bad };

struct DecodeProgress {
  std::size_t used = 0, made = 0;
  DecodeStep step = DecodeStep::more;
};

// One stream of a format; a file may hold several one after the other.
class StreamDecoder {
 public:
  virtual ~StreamDecoder() = default;
  virtual DecodeProgress decode(ByteView in, MutableByteView out) = 0;
};

namespace {

class Inflate final : public StreamDecoder {
 public:
  explicit Inflate(int window_bits) { ready_ = inflateInit2(&stream_, window_bits) == Z_OK; }
  ~Inflate() override { inflateEnd(&stream_); }
  DecodeProgress decode(ByteView in, MutableByteView out) override {
    if (!ready_) return {0, 0, DecodeStep::bad};
    stream_.next_in = const_cast<Bytef*>(in.data());
    stream_.avail_in = static_cast<uInt>(in.size());
    stream_.next_out = out.data();
    stream_.avail_out = static_cast<uInt>(out.size());
    const int code = inflate(&stream_, Z_NO_FLUSH);
    const DecodeStep step = code == Z_STREAM_END ? DecodeStep::end : code == Z_OK || code == Z_BUF_ERROR ? DecodeStep::more : DecodeStep::bad;
    return {in.size() - stream_.avail_in, out.size() - stream_.avail_out, step};
  }

 private:
  z_stream stream_{};
  bool ready_ = false;
};

class Bunzip final : public StreamDecoder {
 public:
  Bunzip() { ready_ = BZ2_bzDecompressInit(&stream_, 0, 0) == BZ_OK; }
  ~Bunzip() override { BZ2_bzDecompressEnd(&stream_); }
  DecodeProgress decode(ByteView in, MutableByteView out) override {
    if (!ready_) return {0, 0, DecodeStep::bad};
    stream_.next_in = const_cast<char*>(reinterpret_cast<const char*>(in.data()));
    stream_.avail_in = static_cast<unsigned>(in.size());
    stream_.next_out = reinterpret_cast<char*>(out.data());
    stream_.avail_out = static_cast<unsigned>(out.size());
    const int code = BZ2_bzDecompress(&stream_);
    return {in.size() - stream_.avail_in, out.size() - stream_.avail_out, code == BZ_STREAM_END ? DecodeStep::end : code == BZ_OK ? DecodeStep::more : DecodeStep::bad};
  }

 private:
  bz_stream stream_{};
  bool ready_ = false;
};

class Unxz final : public StreamDecoder {
 public:
  explicit Unxz(bool is_alone) {
    ready_ = (is_alone ? lzma_alone_decoder(&stream_, kMemoryMax) : lzma_stream_decoder(&stream_, kMemoryMax, 0)) == LZMA_OK;
  }
  ~Unxz() override { lzma_end(&stream_); }
  DecodeProgress decode(ByteView in, MutableByteView out) override {
    if (!ready_) return {0, 0, DecodeStep::bad};
    stream_.next_in = in.data();
    stream_.avail_in = in.size();
    stream_.next_out = out.data();
    stream_.avail_out = out.size();
    const lzma_ret code = lzma_code(&stream_, LZMA_RUN);
    return {in.size() - stream_.avail_in, out.size() - stream_.avail_out, code == LZMA_STREAM_END ? DecodeStep::end : code == LZMA_OK || code == LZMA_BUF_ERROR ? DecodeStep::more : DecodeStep::bad};
  }

 private:
  lzma_stream stream_ = LZMA_STREAM_INIT;
  bool ready_ = false;
};

class Unzstd final : public StreamDecoder {
 public:
  Unzstd() : context_(ZSTD_createDCtx()) {
    if (context_ != nullptr) ZSTD_DCtx_setParameter(context_, ZSTD_d_windowLogMax, kZstdWindowLogMax);
  }
  ~Unzstd() override { ZSTD_freeDCtx(context_); }
  DecodeProgress decode(ByteView in, MutableByteView out) override {
    if (context_ == nullptr) return {0, 0, DecodeStep::bad};
    ZSTD_inBuffer from{in.data(), in.size(), 0};
    ZSTD_outBuffer to{out.data(), out.size(), 0};
    const std::size_t left = ZSTD_decompressStream(context_, &to, &from);
    return {from.pos, to.pos, ZSTD_isError(left) ? DecodeStep::bad : left == 0 ? DecodeStep::end : DecodeStep::more};
  }

 private:
  ZSTD_DCtx* context_;
};

class Unlz4 final : public StreamDecoder {
 public:
  Unlz4() {
    if (LZ4F_isError(LZ4F_createDecompressionContext(&context_, LZ4F_VERSION))) context_ = nullptr;
  }
  ~Unlz4() override { LZ4F_freeDecompressionContext(context_); }
  DecodeProgress decode(ByteView in, MutableByteView out) override {
    if (context_ == nullptr) return {0, 0, DecodeStep::bad};
    std::size_t used = in.size(), made = out.size();
    const std::size_t left = LZ4F_decompress(context_, out.data(), &made, in.data(), &used, nullptr);
    if (LZ4F_isError(left)) return {0, 0, DecodeStep::bad};
    return {used, made, left == 0 ? DecodeStep::end : DecodeStep::more};
  }

 private:
  LZ4F_dctx* context_ = nullptr;
};

std::unique_ptr<StreamDecoder> make_decoder(Codec codec) {
  switch (codec) {
    case Codec::deflate: return std::make_unique<Inflate>(-MAX_WBITS);
    case Codec::zlib: return std::make_unique<Inflate>(MAX_WBITS);
    case Codec::gzip: return std::make_unique<Inflate>(MAX_WBITS + 16);
    case Codec::bzip2: return std::make_unique<Bunzip>();
    case Codec::xz: return std::make_unique<Unxz>(false);
    case Codec::lzma: return std::make_unique<Unxz>(true);
    case Codec::zstd: return std::make_unique<Unzstd>();
    case Codec::lz4: return std::make_unique<Unlz4>();
  }
  return nullptr;
}

// Whether the bytes behind one stream begin another, which Python's readers of the format go on with.
bool goes_on(Codec codec, ByteView rest) {
  const auto next = codec_of(rest);
  return next == codec && codec != Codec::deflate && codec != Codec::zlib && codec != Codec::lzma;
}

bool is_zlib(ByteView start) {
  if (start.size() < 8 || start[0] != 0x78 || (start[0] * 256 + start[1]) % 31 != 0 || (start[1] & 0x20) != 0) return false;
  Inflate inflate(MAX_WBITS);
  std::uint8_t out[512];
  const DecodeProgress progress = inflate.decode(start, out);
  return progress.step != DecodeStep::bad && progress.made > 0;
}

}  // namespace

const char* to_string(Codec codec) {
  switch (codec) {
    case Codec::deflate: return "deflate";
    case Codec::zlib: return "zlib";
    case Codec::gzip: return "gzip";
    case Codec::bzip2: return "bzip2";
    case Codec::xz: return "xz";
    case Codec::lzma: return "LZMA";
    case Codec::zstd: return "zstd";
    case Codec::lz4: return "LZ4";
  }
  return "unknown";
}

std::optional<Codec> codec_of(ByteView start) {
  if (starts_with(start, "\x1f\x8b")) return Codec::gzip;
  if (start.size() > 3 && starts_with(start, "BZh") && start[3] >= '1' && start[3] <= '9') return Codec::bzip2;
  if (starts_with(start, std::string_view("\xfd" "7zXZ\0", 6))) return Codec::xz;
  if (starts_with(start, std::string_view("\x5d\0\0", 3)) && start.size() > 13) return Codec::lzma;
  if (starts_with(start, "\x28\xb5\x2f\xfd") || (start.size() > 3 && (start[0] & 0xf0) == 0x50 && starts_with(start.subspan(1), "\x2a\x4d\x18"))) return Codec::zstd;
  if (starts_with(start, "\x04\x22\x4d\x18")) return Codec::lz4;
  if (is_zlib(start)) return Codec::zlib;
  return std::nullopt;
}

struct DecodedObject::Stream {
  Stream(const RandomAccess& object, std::uint64_t begin, std::uint64_t end, Codec kind) : in(object, begin, end), codec(kind), decoder(make_decoder(kind)) {}

  // Fills as much of `out` as there is; less at the end alone.
  Result<std::size_t> read(MutableByteView out) {
    std::size_t made = 0;
    while (made < out.size() && !ended) {
      const std::size_t count = static_cast<std::size_t>(std::min<std::uint64_t>(kChunk, in.left()));
      const auto* bytes = count == 0 ? nullptr : in.peek(count);
      if (in.error()) return fail(*in.error());
      const DecodeProgress progress = decoder->decode(ByteView(bytes, bytes == nullptr ? 0 : count), out.subspan(made));
      in.advance(progress.used);
      made += progress.made;
      if (progress.step == DecodeStep::end) {
        end_stream();
      } else if (progress.step == DecodeStep::bad || (progress.used == 0 && progress.made == 0)) {
        ended = true;
      }
    }
    return made;
  }

  void end_stream() {
    const std::size_t count = static_cast<std::size_t>(std::min<std::uint64_t>(64, in.left()));
    const auto* rest = count == 0 ? nullptr : in.peek(count);
    if (rest != nullptr && goes_on(codec, ByteView(rest, count))) {
      decoder = make_decoder(codec);
      return;
    }
    ended = is_whole = true;
    has_trailing = count > 0;
  }

  ByteReader in;
  Codec codec;
  std::unique_ptr<StreamDecoder> decoder;
  bool ended = false, is_whole = false, has_trailing = false;
};

DecodedObject::DecodedObject(const RandomAccess& object, std::uint64_t begin, std::uint64_t end, Codec codec) : object_(object), begin_(begin), end_(end), codec_(codec) {}
DecodedObject::~DecodedObject() = default;

Result<std::unique_ptr<DecodedObject>> DecodedObject::open(const RandomAccess& object, std::uint64_t begin, std::uint64_t end, Codec codec) {
  std::unique_ptr<DecodedObject> decoded(new DecodedObject(object, begin, end, codec));
  TRY(decoded->run_once());
  return decoded;
}

Status DecodedObject::run_once() {
  Stream stream(object_, begin_, end_, codec_);
  Bytes chunk(kChunk);
  while (true) {
    const std::size_t count = TRY(stream.read(chunk));
    if (count == 0) break;
    const ByteView made(chunk.data(), count);
    crc32_ = model_scan::crc32(crc32_, made);
    if (head_.size() < kKept) head_.insert(head_.end(), made.begin(), made.begin() + static_cast<std::ptrdiff_t>(std::min(count, kKept - head_.size())));
    tail_.insert(tail_.end(), made.begin(), made.end());
    if (tail_.size() > 2 * kTail) tail_.erase(tail_.begin(), tail_.end() - static_cast<std::ptrdiff_t>(kTail));
    decoded_.bytes += count;
    decoded_.is_bomb = decoded_.bytes > kDecodedMax || (decoded_.bytes > kFreely && decoded_.bytes / kRatioMax > end_ - begin_);
    if (decoded_.is_bomb) break;
  }
  decoded_.is_whole = stream.is_whole && !decoded_.is_bomb;
  decoded_.has_trailing = stream.has_trailing;
  if (decoded_.bytes > kKept) {
    head_.resize(kTail);
    head_.shrink_to_fit();
  } else {
    tail_ = {};
  }
  return {};
}

Status DecodedObject::read_at(std::uint64_t offset, MutableByteView into) const {
  if (offset > size() || into.size() > size() - offset) return fail(ErrorCode::invalid_argument, "a read beyond the end");
  const auto copy_from = [&](const Bytes& kept, std::uint64_t start) {
    std::copy_n(kept.begin() + static_cast<std::ptrdiff_t>(offset - start), into.size(), into.begin());
    return Status{};
  };
  if (offset + into.size() <= head_.size()) return copy_from(head_, 0);
  if (!tail_.empty() && offset >= size() - tail_.size()) return copy_from(tail_, size() - tail_.size());
  if (stream_ == nullptr || offset < at_) {
    stream_ = std::make_unique<Stream>(object_, begin_, end_, codec_);
    at_ = 0;
  }
  Bytes skipped(std::min<std::uint64_t>(kChunk, offset - at_));
  const std::uint64_t work_max = 16 * size() + (1ull << 30);
  while (at_ < offset) {
    const std::size_t count = TRY(stream_->read(MutableByteView(skipped).first(static_cast<std::size_t>(std::min<std::uint64_t>(skipped.size(), offset - at_)))));
    if (count == 0) return fail(ErrorCode::invalid_argument, "the compressed data ended before");
    at_ += count;
    if ((work_ += count) > work_max) return fail(ErrorCode::limit_exceeded, "the compressed data would have to be decoded too often");
  }
  const std::size_t count = TRY(stream_->read(into));
  at_ += count;
  work_ += count;
  return count == into.size() ? Status{} : fail(ErrorCode::invalid_argument, "the compressed data ended before");
}

}  // namespace redoubt::model_scan
