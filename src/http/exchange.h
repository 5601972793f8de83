// SPDX-License-Identifier: Apache-2.0
//
// One request's answer on its way from any thread to the server's thread.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "http/bell.h"
#include "http/message.h"

namespace redoubt::http::detail {

class Exchange {
 public:
  Exchange(std::uint64_t connection, std::shared_ptr<Bell> bell, std::size_t stream_bytes_max)
      : connection_(connection), bell_(std::move(bell)), stream_bytes_max_(stream_bytes_max) {}

  // The answering side; see Responder.
  void send(Response response);
  void begin(int status, Headers headers);
  Status write(std::string_view bytes);
  void end();
  void abort();
  void on_abort(std::function<void()> callback);
  void on_drain(std::function<void()> callback);
  void dropped();

  // The server's side.
  struct Output {
    std::optional<Response> whole;  // the answer of `send`
    std::optional<Response> begun;  // status and headers of `begin`
    std::string bytes;              // what `write` queued
    bool ended = false;             // nothing more will come
    bool aborted = false;           // cut the connection
  };
  Output take();
  // Whether something was said since the last `take`.
  bool has_news() const { return news_; }
  void client_left();

 private:
  void cut();
  void tell();

  const std::uint64_t connection_;
  const std::shared_ptr<Bell> bell_;
  const std::size_t stream_bytes_max_;
  std::mutex mutex_;
  Output output_;
  bool started_ = false, ended_ = false, gone_ = false;
  std::atomic<bool> news_ = false;
  std::function<void()> on_abort_, on_drain_;
};

}  // namespace redoubt::http::detail
