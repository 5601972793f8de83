// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/s3_object.h"

#include <fmt/format.h>

#include <algorithm>

#include "provider/aws/s3_object_store.h"

namespace redoubt::provider::aws {
namespace {

constexpr int kAttemptsMax = 4;  // of a block whose answer broke off in the middle, which the client does not ask for again

}  // namespace

Result<Bytes> S3Object::fetch(std::uint64_t index) const {
  const std::uint64_t first = index * options_.block_bytes, count = std::min<std::uint64_t>(options_.block_bytes, options_.size - first);
  RestRequest request = get_;
  request.headers.add("range", fmt::format("bytes={}-{}", first, first + count - 1));
  request.bytes_max = count;
  for (int attempt = 1;; ++attempt) {
    MemorySink sink;
    auto answer = client_.send(request, sink);
    if (answer) {
      auto bytes = sink.take();
      if (answer->status == 206 && bytes.size() == count) return bytes;
      answer = fail(ErrorCode::unavailable, fmt::format("S3 answered a range of {} bytes with {} (status {})", count, bytes.size(), answer->status));
    }
    if (answer.error().code == ErrorCode::unavailable && attempt < kAttemptsMax) continue;
    if (is_service_error(answer.error(), "PreconditionFailed")) {
      return fail(ErrorCode::unavailable, "the object was replaced while it was read", uri_, "turn on versioning for the bucket, then run this again");
    }
    return fail_s3(uri_, std::move(answer.error()));
  }
}

void S3Object::forget_some(std::uint64_t index) const {
  // What lies behind a reader goes first; the end of an object is asked for early by readers that check it.
  while (blocks_.size() > static_cast<std::size_t>(options_.blocks_ahead) * 2 + 2) {
    const auto first = blocks_.begin();
    if (first->first < index) {
      blocks_.erase(first);
    } else {
      blocks_.erase(std::prev(blocks_.end()));
    }
  }
}

Result<S3Object::Block> S3Object::block(std::uint64_t index) const {
  const std::uint64_t blocks = (options_.size + options_.block_bytes - 1) / options_.block_bytes;
  std::shared_future<Result<Block>> wanted;
  {
    const std::lock_guard lock(mutex_);
    const auto start = [&](std::uint64_t which) {
      if (blocks_.contains(which)) return;
      blocks_.emplace(which, std::async(std::launch::async, [this, which]() -> Result<Block> { return std::make_shared<const Bytes>(TRY(fetch(which))); }).share());
    };
    start(index);
    const bool goes_on = index == newest_ || index == newest_ + 1;
    for (int ahead = 1; goes_on && ahead <= options_.blocks_ahead && index + static_cast<std::uint64_t>(ahead) < blocks; ++ahead) start(index + static_cast<std::uint64_t>(ahead));
    newest_ = index;
    wanted = blocks_.at(index);
    forget_some(index);
  }
  auto got = wanted.get();
  if (!got) {
    const std::lock_guard lock(mutex_);
    blocks_.erase(index);  // the next reader tries again
  }
  return got;
}

Status S3Object::read_at(std::uint64_t offset, MutableByteView into) const {
  if (offset > options_.size || into.size() > options_.size - offset) return fail(ErrorCode::invalid_argument, "a read beyond the end", uri_);
  while (!into.empty()) {
    const auto bytes = TRY(block(offset / options_.block_bytes));
    const std::size_t begin = offset % options_.block_bytes, count = std::min(into.size(), bytes->size() - begin);
    std::copy_n(bytes->begin() + static_cast<std::ptrdiff_t>(begin), count, into.begin());
    into = into.subspan(count);
    offset += count;
  }
  return {};
}

}  // namespace redoubt::provider::aws
