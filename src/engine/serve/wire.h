// SPDX-License-Identifier: Apache-2.0
//
// One client of a serving container: HTTP/1.1 over a socket that blocks up to a deadline. Requests pass the strict parser of
// http/parser.h.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "base/file.h"
#include "http/parser.h"

namespace redoubt::engine::serve {

struct WireLimits {
  http::ParserLimits parser = {.body_bytes_max = 6 << 20};  // SageMaker's limit of an invocation
  std::chrono::milliseconds idle_max{60'000};     // until a request begins
  std::chrono::milliseconds request_max{30'000};  // from its first byte to its last
  std::chrono::milliseconds send_max{30'000};     // without the client taking a byte
};

class Wire {
 public:
  Wire(Fd socket, WireLimits limits) : socket_(std::move(socket)), limits_(limits) {}

  // The next request; nothing when the client left or kept still for too long. A request that is no acceptable HTTP was
  // answered already, and nothing follows it.
  std::optional<http::Request> read();
  // A whole answer.
  void send(int status, std::string_view content_type, std::string_view body);
  // A streamed one: begin, write..., end. False when the client is gone.
  bool begin(std::string_view content_type);
  bool write(std::string_view bytes);
  void end();
  // Whether the client is still there to be answered.
  bool is_open() const;
  // No request after the one that is being answered.
  void close_after() { keep_alive_ = false; }
  bool keeps_alive() const { return keep_alive_; }
  int fd() const { return socket_.get(); }

 private:
  using Deadline = std::chrono::steady_clock::time_point;
  bool receive(Deadline deadline);
  bool transmit(std::string_view bytes);
  void refuse(const http::Refusal& refusal);
  bool read_body(const http::RequestHead& head, http::Request& request, Deadline deadline);
  std::string head_of(int status, std::string_view content_type) const;

  Fd socket_;
  WireLimits limits_;
  std::string received_;
  bool keep_alive_ = true;
};

}  // namespace redoubt::engine::serve
