// SPDX-License-Identifier: Apache-2.0
//
// One client's connection: handshake, then request after request, each read whole before it is handled and answered whole
// before the next is looked at. Runs on the server's thread only.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "crypto/tls.h"
#include "http/exchange.h"
#include "http/parser.h"
#include "http/server.h"

namespace redoubt::http::detail {

using SteadyTime = std::chrono::steady_clock::time_point;

// What all connections of a server share.
struct Shared {
  ServerOptions options;
  ParserLimits parser_limits;
  Handler& handler;
  std::shared_ptr<Bell> bell;
  std::size_t body_bytes = 0;  // held by all requests together
  SteadyTime now{};            // of this turn of the loop
  std::string date = {};       // the Date header's value
  bool draining = false;
};

class Connection {
 public:
  Connection(std::uint64_t id, Fd fd, std::string peer, std::unique_ptr<crypto::TlsConnection> tls, Shared& shared);
  ~Connection();

  // After epoll reported `events` (0: the bell was rung). Afterwards ask closed() and interest().
  void on_events(std::uint32_t events);
  // Drops it when a deadline is over.
  void on_tick();
  // Finishes what is under way and closes; at once when nothing is.
  void drain();

  bool closed() const { return phase_ == Phase::closed; }
  std::uint32_t interest() const;
  std::uint32_t armed = 0;  // what the loop last told epoll
  int fd() const { return fd_.get(); }
  const std::string& peer() const { return peer_; }

 private:
  enum class Phase { handshake, head, body, answer, linger, closed };

  void run();
  bool step();
  bool step_handshake();
  void note_client();
  bool step_head();
  bool step_body();
  bool step_answer();
  bool step_linger();

  bool read_more();
  bool flush();
  bool fill_from_source();
  void note_progress();
  void take_output(Exchange::Output output);
  void start_body(RequestHead head);
  void dispatch();
  void answer_now(Response response);
  void refuse(Refusal refusal);
  void queue_head(const Response& response, bool streamed);
  void queue_whole(Response response);
  void finish_answer();
  void expect_request(int ms_max);
  void start_linger();
  void close();
  void set_deadline(int ms_max);

  const std::uint64_t id_;
  Fd fd_;
  const std::string peer_;
  std::unique_ptr<crypto::TlsConnection> tls_;
  Shared& shared_;
  Phase phase_ = Phase::handshake;
  SteadyTime deadline_ = SteadyTime::max();
  bool readable_ = true, writable_ = true;

  std::shared_ptr<const ClientCertificate> client_;
  std::string in_;           // bytes of the client not yet taken
  std::size_t checked_ = 0;  // how much of in_ was searched for the end of the head
  bool head_begun_ = false;
  Request request_;
  BodyParser body_parser_;
  std::size_t body_charge_ = 0;      // this connection's part of Shared::body_bytes
  std::optional<Response> verdict_;  // the refusal that waits for the body to be read off

  std::shared_ptr<Exchange> exchange_;
  bool is_head_ = false, http_1_0_ = false, keep_alive_ = true, chunked_ = false, complete_ = false;
  std::shared_ptr<const RandomAccess> source_;
  std::uint64_t source_offset_ = 0, source_rest_ = 0;

  std::string out_;
  std::size_t out_sent_ = 0;
  std::uint64_t queued_total_ = 0, sent_total_ = 0, marker_ = 0;  // marker_: what has to be sent until send_deadline_
  SteadyTime send_deadline_ = SteadyTime::max();
};

}  // namespace redoubt::http::detail
