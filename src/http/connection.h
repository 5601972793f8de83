// SPDX-License-Identifier: Apache-2.0
//
// One client's connection: the handshake, what was agreed to be spoken over it, and its end. Runs on the server's thread only.
#pragma once

#include <memory>
#include <string>

#include "http/session.h"

namespace redoubt::http::detail {

class Connection {
 public:
  Connection(std::uint64_t id, Fd fd, std::string peer, std::unique_ptr<crypto::TlsConnection> tls, Shared& shared);

  // After epoll reported `events` (0: the bell was rung). Afterwards ask closed() and interest().
  void on_events(std::uint32_t events);
  // Drops it when a deadline is over.
  void on_tick();
  // Finishes what is under way and closes; soon when nothing is, since a request may be on its way.
  void drain();

  // Closes it now, for another's sake.
  void give_way() { close(); }

  bool closed() const { return phase_ == Phase::closed; }
  // See Session; it stays so while the connection lingers.
  bool is_known() const { return is_known_ || (phase_ == Phase::session && session_->is_known()); }
  // Whether nobody loses an answer by its end.
  bool may_give_way() const { return !is_known() || (phase_ == Phase::session && session_->is_quiet()); }
  SteadyTime used() const { return used_; }  // when something came last
  std::uint32_t interest() const;
  std::uint32_t armed = 0;       // what the loop last told epoll
  bool among_strangers = true;  // which epoll that was
  int fd() const { return transport_.fd(); }
  const std::string& peer() const { return peer_; }

 private:
  enum class Phase { handshake, session, linger, closed };

  void run();
  void act(Session::Next next);
  Session::Next step();
  Session::Next step_handshake();
  std::shared_ptr<const ClientCertificate> client() const;
  void start_linger();
  void close();
  void set_deadline(int ms_max);

  const std::uint64_t id_;
  const std::string peer_;
  Shared& shared_;
  Transport transport_;
  std::unique_ptr<Session> session_;
  Phase phase_ = Phase::handshake;
  SteadyTime deadline_ = SteadyTime::max();  // of the handshake and of lingering
  SteadyTime used_;
  bool is_known_ = false;
};

}  // namespace redoubt::http::detail
