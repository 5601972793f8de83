// SPDX-License-Identifier: Apache-2.0
//
// Objects in a bucket, encrypted by S3 under a KMS key around whatever seals them. The bucket keeps versions: a reader stays with
// the one it opened. What goes up carries a SHA-256 that S3 compares; what comes down in one piece is compared with it too, and of
// what comes in several the length, while vault/ checks each chunk of the contents.
#pragma once

#include <atomic>
#include <memory>

#include "provider/aws/api/client.h"
#include "provider/object_store.h"

namespace redoubt::provider::aws {

struct S3ObjectStoreOptions {
  std::string bucket;
  std::string prefix = {};    // before each key: "" or "a/b/"
  std::string kms_key;        // alias, id or ARN, for SSE-KMS
  std::string owner = {};     // the account that must own the bucket; empty: not asked
  std::size_t part_bytes = 16 << 20;  // of a multipart upload, at least 5 MiB; also what a longer object is told by
  int parts_at_once = 4;              // going up
  std::size_t start_bytes = 128 << 10;  // of an object that come with its opening
  std::size_t block_bytes = 4 << 20;  // of a ranged read
  int blocks_ahead = 4;               // fetched while a reader goes forward
  bool keep_versions = true;          // of what is removed, until the bucket's lifecycle ends them; false: they go with it
};

class S3ObjectStore final : public ObjectStore {
 public:
  // Does not ask S3 anything. invalid_argument for a name that is no bucket's or a prefix that is none.
  static Result<std::unique_ptr<S3ObjectStore>> create(S3ObjectStoreOptions options, Client& client);

  // Objects that fit a part go in one request, longer ones as a multipart upload, which is given up whole on any failure; one
  // that a killed process left is given up by the next put of the key a day later, or by the bucket's lifecycle rule. At most
  // 10,000 parts (about 450 GB).
  // Each object carries a mark of the put that made it, so that one whose answer was lost is not taken for somebody else's.
  Status put(std::string_view key, Source& contents, PutMode mode) override;
  // One request, which also brings the object's start: a small object is there with it. not_found is said of the object alone, a
  // bucket or a key of KMS that is missing is invalid_argument.
  Result<std::unique_ptr<RandomAccess>> open(std::string_view key) override;
  Result<std::vector<std::string>> list(std::string_view prefix) override;
  Status remove(std::string_view key) override;

 private:
  S3ObjectStore(S3ObjectStoreOptions options, Client& client) : options_(std::move(options)), client_(client) {}
  Result<std::string> path_of(std::string_view key) const;
  std::string uri_of(std::string_view key) const;
  Status give_up_old_uploads(std::string_view key);
  Status remove_version(std::string_view key, const std::string& version);
  Status remove_versions(std::string_view key);
  RestRequest request(std::string operation, std::string method, std::string path) const;
  http::Headers write_headers(PutMode mode, const std::string& mark) const;
  Result<RestAnswer> head(std::string_view key) const;
  Status put_whole(std::string_view key, Bytes contents, PutMode mode, const std::string& mark);
  Status put_parts(std::string_view key, Bytes first, Source& rest, PutMode mode, const std::string& mark);
  Status judge_put(std::string_view key, Status status, PutMode mode, const std::string& mark);

  S3ObjectStoreOptions options_;
  Client& client_;
};

// An error of S3 about s3://BUCKET/KEY, with the cure. For the parts of the store.
tl::unexpected<Error> fail_s3(const std::string& uri, Error error);

}  // namespace redoubt::provider::aws
