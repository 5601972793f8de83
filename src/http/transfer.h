// SPDX-License-Identifier: Apache-2.0
//
// One exchange over libcurl, as client.cc composes them: no redirect is followed, nothing is tried again.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>

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
  bool verbatim = false;        // the path keeps its dots, and a 206 is a success: the caller signed and judges for itself
  bool direct = false;          // no proxy, whatever the environment says
  const std::atomic<bool>* given_up = nullptr;  // breaks the exchange off within a second or two
  bool once = false;            // on a connection of its own: libcurl sends what a kept one lost a second time
};

// What has reached the caller's sink over all exchanges of one request.
struct Delivery {
  Sink& sink;
  std::uint64_t bytes = 0;
  std::optional<ClientResponse> response = {};  // the first one whose body began
  std::string* error_body = nullptr;            // gets the first bytes of a body that is no success
  bool reached = false;                         // whether any byte of a request was sent
};

// Handles of libcurl that keep their connections open from one exchange to the next. Safe to use from several threads; each
// exchange has a handle of its own.
class HandlePool {
 public:
  HandlePool();
  ~HandlePool();
  // A handle in its first state but for its open connections; null when there is no memory.
  void* take();
  void give_back(void* handle);

 private:
  std::mutex mutex_;
  std::vector<void*> idle_;
};

// Of an exchange that was given up.
Error given_up_error(const std::string& where);

// Answers any status. Bytes go into the delivery only when the status is a success and, where a range was asked for, the
// range is that one; the body of an error or a redirect is dropped, or goes to `error_body`. Without a pool the connection is
// closed afterwards.
Result<ClientResponse> perform(const ClientOptions& options, const Transfer& transfer, Delivery& delivery, HandlePool* pool = nullptr);

}  // namespace redoubt::http::detail
