// SPDX-License-Identifier: Apache-2.0
//
// One exchange over libcurl, as client.cc composes them: no redirect is followed, nothing is tried again.
#pragma once

#include "http/client.h"

namespace redoubt::http::detail {

struct Range {
  std::uint64_t first = 0, length = 0;
};

struct Transfer {
  std::string method, url;
  std::vector<std::string> header_lines;
  const std::string* body = nullptr;  // of the request
  Source* upload = nullptr;           // instead of `body`
  std::uint64_t upload_bytes = 0;
  std::optional<Range> range;
  std::uint64_t bytes_max = 0;  // of a successful answer's body
};

// What has reached the caller's sink over all exchanges of one request.
struct Delivery {
  Sink& sink;
  std::uint64_t bytes = 0;
  std::optional<ClientResponse> response = {};  // the first one whose body began
};

// Answers any status. Bytes go into the delivery only when the status is a success and, where a range was asked for, the
// range is that one; the body of an error or a redirect is dropped.
Result<ClientResponse> perform(const ClientOptions& options, const Transfer& transfer, Delivery& delivery);

}  // namespace redoubt::http::detail
