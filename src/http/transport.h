// SPDX-License-Identifier: Apache-2.0
//
// A socket with TLS over it: what came, what waits to be sent, and how long that may wait. Runs on the server's thread only.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "crypto/tls.h"
#include "http/body_room.h"
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
  const SteadyTime& now;                    // of this turn of the reactor
  BodyRoom body_room = BodyRoom(options.body_bytes_total_max);  // of all requests together
  std::string date = {};                    // the Date header's value
  std::string head_lines = {};              // the headers of every answer as HTTP/1.1 writes them, Date among them
  std::vector<Header> head_fields = {};     // the same without Date, as HTTP/2 names them
  std::vector<std::uint8_t> scratch = {};   // what was read last, whoever read it
  bool draining = false;

  void name_fields();
  void set_date(std::string text);
};

// What waits at one moment has a time to go, however it trickles; then the next moment counts.
class SendWatch {
 public:
  void note(std::uint64_t sent_total, std::size_t waiting, SteadyTime now, int ms_max);
  bool is_late(SteadyTime now) const { return now >= deadline_; }

 private:
  std::uint64_t marker_ = 0;  // what has to be sent until the deadline
  SteadyTime deadline_ = SteadyTime::max();
};

// A header's text comes from handlers; a line break in it would start another header.
void append_header(std::string& out, std::string_view name, std::string_view value);
std::string without_controls(std::string_view text);

class Transport {
 public:
  enum class Outcome { done, wait, broken };
  static constexpr std::size_t kOutLow = 64 << 10;  // below this more is taken from an answer

  Transport(Fd fd, std::unique_ptr<crypto::TlsConnection> tls, Shared& shared);

  Outcome handshake();
  // What came, valid until any connection reads again.
  Outcome read(std::string_view& bytes);
  // Text put here is sent by `flush`.
  std::string& out() { return out_; }
  std::size_t waiting() const { return out_.size() - out_sent_; }
  // One write. `done` when nothing waits or the socket may take more, `wait` when it is full.
  Outcome flush();
  // From time to time: lets go of memory where nothing was read or sent since the last call.
  void rest();
  // The same at once, where the client lets us wait in the middle of a head.
  void let_go();
  // Whether what waits has waited too long.
  bool is_late() const { return watch_.is_late(shared_.now); }

  // Says that no more will be sent, in TLS and in TCP.
  void shut();
  void say_goodbye();
  // Throws away what still comes after `shut`.
  Outcome discard();

  bool readable = false, writable = true;  // false: epoll has to tell
  int fd() const { return fd_.get(); }
  const crypto::TlsConnection& tls() const { return *tls_; }

 private:
  Fd fd_;
  std::unique_ptr<crypto::TlsConnection> tls_;
  Shared& shared_;
  bool broken_ = false;  // the client closed, or the connection failed
  bool used_ = true, rests_ = false;
  std::string out_;
  std::size_t out_sent_ = 0;
  std::uint64_t sent_total_ = 0;
  SendWatch watch_;
};

}  // namespace redoubt::http::detail
