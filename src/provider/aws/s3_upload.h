// SPDX-License-Identifier: Apache-2.0
//
// One multipart upload: parts go up side by side, and nothing of it is left unless it was completed.
#pragma once

#include <deque>
#include <future>

#include "provider/aws/api/client.h"

namespace redoubt::provider::aws {

class S3Upload {
 public:
  // `base` names the bucket and the path, `create_headers` go with the first request alone.
  static Result<std::unique_ptr<S3Upload>> begin(Client& client, RestRequest base, const http::Headers& create_headers, int parts_at_once);
  ~S3Upload();  // gives it up unless it is complete

  // Takes the next part; waits while too many are on their way.
  Status add(Bytes part);
  // `headers` say under which condition it becomes the object.
  Status complete(const http::Headers& headers);
  // It became the object although no answer said so: nothing is given up.
  void is_complete() { complete_ = true; }

 private:
  struct Part {
    std::string etag, checksum;
  };
  S3Upload(Client& client, RestRequest base, std::string id, int parts_at_once)
      : client_(client), base_(std::move(base)), id_(std::move(id)), parts_at_once_(static_cast<std::size_t>(parts_at_once)) {}
  RestRequest request(const char* operation, const char* method) const;
  Result<Part> send(int number, Bytes bytes) const;
  Status settle_oldest();
  Status ask_to_complete(const RestRequest& last);

  Client& client_;
  RestRequest base_;
  std::string id_;
  std::size_t parts_at_once_;
  std::deque<std::future<Result<Part>>> under_way_;
  std::vector<Part> done_;
  int count_ = 0;
  bool complete_ = false;
};

}  // namespace redoubt::provider::aws
