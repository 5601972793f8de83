// SPDX-License-Identifier: Apache-2.0
#include "http/server.h"

#include "http/loop.h"

namespace redoubt::http {

Result<std::unique_ptr<Server>> Server::start(ServerOptions options, Handler& handler) {
  auto loop = TRY(detail::Loop::start(std::move(options), handler));
  return std::unique_ptr<Server>(new Server(std::move(loop)));
}

Result<std::unique_ptr<Server>> Server::succeed(const Server& before, ServerOptions options, Handler& handler) {
  auto loop = TRY(detail::Loop::start(std::move(options), handler, before.loop_.get()));
  return std::unique_ptr<Server>(new Server(std::move(loop)));
}

Server::Server(std::unique_ptr<detail::Loop> loop) : loop_(std::move(loop)) {}
Server::~Server() = default;
std::uint16_t Server::port() const { return loop_->port(); }
std::size_t Server::connections() const { return loop_->connections(); }
bool Server::drain(std::chrono::milliseconds time_max) { return loop_->drain(time_max); }

Status Server::replace_certificate(const std::string& certificate_pem, const Secret& private_key_pem) {
  return loop_->replace_certificate(certificate_pem, private_key_pem);
}

}  // namespace redoubt::http
