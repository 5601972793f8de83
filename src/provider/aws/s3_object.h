// SPDX-License-Identifier: Apache-2.0
//
// One version of an object, read in blocks by ranged requests; the next blocks are fetched while a reader goes forward. Its start
// came with the request that found it.
#pragma once

#include <future>
#include <map>
#include <mutex>

#include "provider/aws/api/client.h"

namespace redoubt::provider::aws {

inline constexpr std::string_view kSha256Mark = "x-amz-meta-redoubt-sha256";  // of an object that went up in one piece, in base64

struct S3Range {
  Bytes bytes;
  std::uint64_t size = 0;  // of the whole object
  http::Headers headers;
};
// Up to `count` bytes from `first`; asked for again where the answer breaks off. What covers a whole object is compared with the
// SHA-256 that went up with it: tampered where it differs every time.
Result<S3Range> get_range(Client& client, const RestRequest& get, std::uint64_t first, std::uint64_t count);

class S3Object final : public RandomAccess {
 public:
  struct Options {
    std::uint64_t size = 0;
    Bytes start = {};
    std::size_t block_bytes = 4 << 20;
    int blocks_ahead = 4;
  };
  // `get` names bucket, path and the version; `uri` is for errors.
  S3Object(Client& client, RestRequest get, std::string uri, Options options)
      : client_(client), get_(std::move(get)), uri_(std::move(uri)), options_(options) {}

  std::uint64_t size() const override { return options_.size; }
  Status read_at(std::uint64_t offset, MutableByteView into) const override;

 private:
  using Block = std::shared_ptr<const Bytes>;
  Result<Bytes> fetch(std::uint64_t index) const;
  Result<Block> block(std::uint64_t index) const;
  void forget_some(std::uint64_t index) const;  // with the lock

  Client& client_;
  RestRequest get_;
  std::string uri_;
  Options options_;
  mutable std::mutex mutex_;
  mutable std::map<std::uint64_t, std::shared_future<Result<Block>>> blocks_;
  mutable std::uint64_t newest_ = UINT64_MAX;  // the block that was asked for last
};

}  // namespace redoubt::provider::aws
