// SPDX-License-Identifier: Apache-2.0
//
// What a hosting container answers: GET /ping, and POST /invocations with a chat, a completion or Hugging Face's inputs.
#pragma once

#include <atomic>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "engine/serve/decoder.h"
#include "engine/serve/wire.h"
#include "openai/answer.h"
#include "openai/request.h"

namespace redoubt::engine::serve {

// One answer, as Decoder::generate gives it.
using Generate = std::function<Result<openai::GenerateEnd>(const openai::GenerateRequest&, const OnPiece& on_piece)>;

struct ContainerOptions {
  std::uint16_t port = 8080;  // on every address; 0: the system chooses
  std::size_t connections_max = 256;
  WireLimits wire = {};
  openai::RequestLimits requests = {};
  std::string model = "model";               // its name in answers, where the request names none
  std::vector<std::string> control_tokens = {};  // texts that the tokenizer reads as control tokens; no message may hold one
};

class Container {
 public:
  // unavailable when the port is taken.
  static Result<std::unique_ptr<Container>> listen(ContainerOptions options, Generate generate);
  ~Container();

  std::uint16_t port() const { return port_; }
  // Serves until `stop` becomes readable, then finishes the requests that are under way.
  Status run(int stop);

 private:
  Container(ContainerOptions options, Generate generate, Fd listener, std::uint16_t port)
      : options_(std::move(options)), generate_(std::move(generate)), listener_(std::move(listener)), port_(port) {}
  void accept_one();
  void serve(Wire& wire);
  void handle(const http::Request& request, Wire& wire);
  void invoke(const http::Request& request, Wire& wire);
  void answer(const openai::CompletionRequest& request, Wire& wire);
  void join_ended();

  // A connection and its thread.
  struct Client {
    std::thread thread;
    std::atomic<bool> busy = false, ended = false;
    int fd = -1;
  };
  ContainerOptions options_;
  Generate generate_;
  Fd listener_;
  const std::uint16_t port_;
  std::atomic<bool> draining_ = false;
  std::atomic<std::uint64_t> next_answer_ = 1;
  std::mutex mutex_;  // guards the descriptors of clients_ against a close while they are shut down
  std::list<Client> clients_;
};

}  // namespace redoubt::engine::serve
