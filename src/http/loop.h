// SPDX-License-Identifier: Apache-2.0
//
// A server as a member of a reactor: accepts, hands events to connections, and drops those that are late.
#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <vector>

#include "http/connection.h"
#include "http/reactor.h"

namespace redoubt::http::detail {

class Loop final : public Reactor::Member {
 public:
  // On a socket of its own, or on that of `before`, which is not drained yet.
  static Result<std::unique_ptr<Loop>> start(ServerOptions options, Handler& handler, const Loop* before = nullptr);
  ~Loop() override;

  std::uint16_t port() const { return port_; }
  std::size_t connections() const { return open_; }
  Status replace_certificate(const std::string& certificate_pem, const Secret& private_key_pem);
  bool drain(std::chrono::milliseconds time_max);

 private:
  Loop(std::shared_ptr<Reactor> reactor, Shared shared, Fd listener, Fd strangers, std::uint16_t port);
  void on_events(std::uint64_t id, std::uint32_t events) override;
  bool on_turn() override;
  void join();
  void tick();
  void look_after_some();
  void accept_some(int most);
  void watch(int operation, int fd, std::uint64_t id, std::uint32_t events) const;
  void serve_strangers(int most);
  bool make_place();
  bool accept_one();
  void admit(Fd client, std::string peer);
  void serve(std::uint64_t id, std::uint32_t events);
  void settle(std::uint64_t id, Connection& connection);
  void forget(std::uint64_t id);
  void close_listener();
  void start_drain();
  void stop();
  Result<Fd> listener_again() const;
  std::vector<std::uint64_t> ids() const;

  const std::shared_ptr<Reactor> reactor_;
  Shared shared_;
  Fd listener_;
  Fd strangers_;  // an epoll within the reactor's, for connections that have asked for nothing yet
  const std::uint16_t port_;
  std::mutex mutex_;  // guards tls_, drained_
  std::condition_variable changed_;
  std::shared_ptr<const crypto::TlsServerContext> tls_;
  bool drained_ = false;
  std::atomic<bool> drain_asked_ = false;
  std::atomic<std::size_t> open_ = 0;
  std::uint64_t first_id_ = 0, next_id_ = 0;  // numbers of the reactor: the first is the listener's, then come the strangers and the connections
  int known_ = 0;  // connections that were served in this turn and are no strangers
  bool some_wait_ = false, some_come_ = false;  // strangers, new connections
  std::map<std::uint64_t, std::unique_ptr<Connection>> connections_;
  std::map<std::string, std::size_t> per_source_;
  SteadyTime next_tick_{};
  int to_look_after_ = 0;            // how many connections more, until the next tick
  std::uint64_t looked_after_ = 0;  // the last one of this round
  bool listening_ = true;
};

}  // namespace redoubt::http::detail
