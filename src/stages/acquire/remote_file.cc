// SPDX-License-Identifier: Apache-2.0
#include "stages/acquire/remote_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/counting_sink.h"

namespace redoubt::stages::acquire {
namespace {

constexpr const char* kHint = "nothing of it is believed; try again, and look into the hub if it happens twice";

// Cuts what comes into blocks of one size.
class Blocks final : public Sink {
 public:
  explicit Blocks(std::function<Status(ByteView)> take) : take_(std::move(take)) {}
  Status write(ByteView bytes) override {
    count += bytes.size();
    while (!bytes.empty()) {
      const std::size_t taken = std::min<std::size_t>(bytes.size(), RemoteFile::kBlockBytes - block_.size());
      block_.insert(block_.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(taken));
      bytes = bytes.subspan(taken);
      if (block_.size() == RemoteFile::kBlockBytes) TRY(flush());
    }
    return {};
  }
  Status flush() {
    if (block_.empty()) return {};
    TRY(take_(block_));
    block_.clear();
    return {};
  }
  std::uint64_t count = 0;

 private:
  std::function<Status(ByteView)> take_;
  Bytes block_;
};

}  // namespace

Result<std::unique_ptr<RemoteFile>> RemoteFile::open(const Place& place, const HubFile& file, std::function<void(std::uint64_t)> fetched) {
  std::unique_ptr<RemoteFile> remote(new RemoteFile(place, file, std::move(fetched)));
  if (file.sha256) {
    remote->tags_.resize(remote->count());
  } else {
    TRY(remote->read_whole());
  }
  return remote;
}

Status RemoteFile::read_whole() {
  if (file_.size > kSmallFileBytesMax) return fail(ErrorCode::gate_refused, "the hub gives no SHA-256 of a large file", where());
  MemorySink sink;
  TRY(receive(0, file_.size, sink));
  Bytes bytes = sink.take();
  if (bytes.size() != file_.size) return fail(ErrorCode::tampered, fmt::format("the hub sent {} bytes of {}", bytes.size(), file_.size), where(), kHint);
  if (crypto::git_blob_id(bytes) != file_.blob_id) return fail(ErrorCode::tampered, "the file is not what the hub says it is: its digest differs", where(), kHint);
  if (fetched_) fetched_(bytes.size());
  blocks_.push_back({0, std::move(bytes)});
  return {};
}

// Asks again for the rest as long as each time something comes.
Status RemoteFile::receive(std::uint64_t offset, std::uint64_t length, Sink& into) const {
  CountingSink counting(into);
  while (true) {
    const std::uint64_t begun = counting.count();
    if (begun == length && begun > 0) return {};
    auto sent = place_.hub.download(place_.repository, place_.commit, file_, offset + begun, length - begun, counting);
    if (sent || sent.error().code != ErrorCode::unavailable || counting.count() == begun) return sent;
  }
}

// A block that was just fetched: the same as before, and in its turn a part of the file's digest.
Status RemoteFile::take(std::uint64_t number, ByteView bytes) const {
  if (bytes.size() != length_of(number)) return fail(ErrorCode::tampered, fmt::format("the hub sent {} bytes of {}", number * kBlockBytes + bytes.size(), file_.size), where(), kHint);
  const Tag tag = tag_of(number, bytes);
  if (tags_[number] && *tags_[number] != tag) return fail(ErrorCode::tampered, "the hub sends other bytes the second time", where(), kHint);
  if (!tags_[number] && fetched_) fetched_(bytes.size());
  tags_[number] = tag;
  if (number != hashed_) return {};
  hash_.update(bytes);
  ++hashed_;
  return {};
}

RemoteFile::Tag RemoteFile::tag_of(std::uint64_t number, ByteView bytes) const {
  std::array<std::uint8_t, crypto::kAesGcmNonceBytes> nonce{};
  std::memcpy(nonce.data(), &number, sizeof number);
  Tag tag;
  crypto::aes_gcm_seal_into(key_, nonce, {}, bytes, tag);
  return tag;
}

Result<const Bytes*> RemoteFile::block(std::uint64_t number) const {
  const auto known = std::find_if(blocks_.begin(), blocks_.end(), [&](const Block& one) { return one.number == number; });
  if (known != blocks_.end()) {
    blocks_.splice(blocks_.begin(), blocks_, known);
    return &blocks_.front().bytes;
  }
  MemorySink sink;
  TRY(receive(number * kBlockBytes, length_of(number), sink));
  Bytes bytes = sink.take();
  TRY(take(number, bytes));
  if (blocks_.size() == kBlocksMax) blocks_.pop_back();
  blocks_.push_front({number, std::move(bytes)});
  return &blocks_.front().bytes;
}

Status RemoteFile::read_at(std::uint64_t offset, MutableByteView into) const {
  if (offset > file_.size || into.size() > file_.size - offset) return fail(ErrorCode::invalid_argument, "a read beyond the end", where());
  const std::scoped_lock lock(mutex_);
  if (failed_) return fail(*failed_);
  if (!file_.sha256) {
    if (!into.empty()) std::memcpy(into.data(), blocks_.front().bytes.data() + offset, into.size());
    return {};
  }
  while (!into.empty()) {
    const std::uint64_t number = offset / kBlockBytes, within = offset % kBlockBytes;
    auto found = block(number);
    if (!found) {
      failed_ = found.error();
      return fail(std::move(found.error()));
    }
    const std::size_t taken = std::min<std::size_t>(into.size(), (*found)->size() - within);
    std::memcpy(into.data(), (*found)->data() + within, taken);
    into = into.subspan(taken);
    offset += taken;
  }
  return {};
}

Status RemoteFile::finish() {
  const std::scoped_lock lock(mutex_);
  if (failed_) return fail(*failed_);
  if (!file_.sha256) return {};
  if (hashed_ < count()) {
    const std::uint64_t begin = hashed_ * kBlockBytes;
    blocks_.clear();
    Blocks blocks([&](ByteView bytes) { return take(hashed_, bytes); });
    TRY(receive(begin, file_.size - begin, blocks));
    TRY(blocks.flush());
  }
  if (hashed_ != count() || hash_.finish() != *file_.sha256) return fail(ErrorCode::tampered, "the file is not what the hub says it is: its digest (SHA-256) differs", where(), kHint);
  return {};
}

}  // namespace redoubt::stages::acquire
