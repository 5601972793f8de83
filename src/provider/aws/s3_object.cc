// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/s3_object.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "crypto/hash.h"
#include "provider/aws/s3_object_store.h"

namespace redoubt::provider::aws {
namespace {

constexpr int kBlockAttemptsMax = 4;  // of a block whose answer broke off in the middle, which the client does not ask for again

std::uint64_t number_in(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && end == text.data() + text.size() ? number : UINT64_MAX;
}

// "bytes 0-99/1234" names the whole length; an answer without it is the whole object.
Status check_range(S3Range& range, std::uint64_t first, std::uint64_t count) {
  const auto* told = range.headers.find("content-range");
  const auto* length = range.headers.find("content-length");
  range.size = told != nullptr ? number_in(std::string_view(*told).substr(told->rfind('/') + 1)) : length != nullptr ? number_in(*length) : UINT64_MAX;
  const bool starts_there = told != nullptr ? told->starts_with(fmt::format("bytes {}-", first)) : first == 0;
  if (range.size == UINT64_MAX || !starts_there || first > range.size) return fail(ErrorCode::unavailable, "S3 answered with another range than was asked for");
  const std::uint64_t expected = std::min(count, range.size - first);
  if (range.bytes.size() != expected) {
    return fail(ErrorCode::unavailable, fmt::format("S3 answered a range of {} bytes with {}", expected, range.bytes.size()));
  }
  const auto* checksum = range.headers.find(kSha256Mark);
  if (checksum != nullptr && range.bytes.size() == range.size && to_base64(crypto::sha256(range.bytes).bytes()) != *checksum) {
    return fail(ErrorCode::tampered, "the object does not have the SHA-256 that it was put with");
  }
  return {};
}

}  // namespace

Result<S3Range> get_range(Client& client, const RestRequest& get, std::uint64_t first, std::uint64_t count) {
  RestRequest request = get;
  request.headers.add("range", fmt::format("bytes={}-{}", first, first + count - 1));
  request.bytes_max = count;
  for (int attempt = 1;; ++attempt) {
    MemorySink sink;
    auto answer = client.send(request, sink);
    Status whole = answer ? Status{} : fail(answer.error());
    S3Range range{sink.take(), 0, answer ? std::move(answer->headers) : http::Headers{}};
    if (answer) whole = check_range(range, first, count);
    if (whole) return range;
    const bool again = whole.error().code == ErrorCode::unavailable || whole.error().code == ErrorCode::tampered;
    if (!again || attempt == kBlockAttemptsMax) return fail(std::move(whole.error()));
  }
}

Result<Bytes> S3Object::fetch(std::uint64_t index) const {
  const std::uint64_t first = index * options_.block_bytes, count = std::min<std::uint64_t>(options_.block_bytes, options_.size - first);
  auto range = get_range(client_, get_, first, count);
  if (range && range->bytes.size() == count && range->size == options_.size) return std::move(range->bytes);
  if (range) return fail(ErrorCode::unavailable, "the object has another length than when it was opened", uri_, "run this again");
  if (is_service_error(range.error(), "PreconditionFailed")) {
    return fail(ErrorCode::unavailable, "the object was replaced while it was read", uri_, "turn on versioning for the bucket, then run this again");
  }
  return fail_s3(uri_, std::move(range.error()));
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
  if (offset < options_.start.size()) {
    const std::size_t count = std::min<std::size_t>(into.size(), options_.start.size() - static_cast<std::size_t>(offset));
    std::copy_n(options_.start.begin() + static_cast<std::ptrdiff_t>(offset), count, into.begin());
    into = into.subspan(count);
    offset += count;
  }
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
