// SPDX-License-Identifier: Apache-2.0
#include "engine/serve/wire.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

namespace redoubt::engine::serve {
namespace {

constexpr std::size_t kReadBytes = 64 << 10;

// Whether the socket is ready before the deadline.
bool wait_for(int fd, short events, std::chrono::steady_clock::time_point deadline) {
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    pollfd poll{fd, events, 0};
    const int ready = ::poll(&poll, 1, static_cast<int>(std::clamp<std::int64_t>(left, 0, 1 << 30)));
    if (ready >= 0 || errno != EINTR) return ready > 0;
  }
}

}  // namespace

bool Wire::receive(Deadline deadline) {
  if (!wait_for(socket_.get(), POLLIN, deadline)) return false;
  const auto before = received_.size();
  received_.resize(before + kReadBytes);
  const auto count = ::recv(socket_.get(), received_.data() + before, kReadBytes, 0);
  received_.resize(before + static_cast<std::size_t>(std::max<ssize_t>(0, count)));
  return count > 0;
}

bool Wire::transmit(std::string_view bytes) {
  while (!bytes.empty()) {
    if (!wait_for(socket_.get(), POLLOUT, std::chrono::steady_clock::now() + limits_.send_max)) return keep_alive_ = false;
    const auto count = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (count <= 0) return keep_alive_ = false;
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
  return true;
}

void Wire::refuse(const http::Refusal& refusal) {
  keep_alive_ = false;
  send(refusal.status, "text/plain; charset=utf-8", std::string(refusal.why) + "\n");
}

std::optional<http::Request> Wire::read() {
  auto deadline = std::chrono::steady_clock::now() + limits_.idle_max;
  std::size_t checked = 0;
  bool begun = !received_.empty();
  while (true) {
    if (begun && checked == 0) deadline = std::chrono::steady_clock::now() + limits_.request_max;
    const auto end = http::find_head_end(received_, checked, limits_.parser);
    if (!end) return refuse(end.error()), std::nullopt;
    if (*end > 0) {
      auto head = http::parse_head(std::string_view(received_).substr(0, *end), limits_.parser);
      received_.erase(0, *end);
      if (!head) return refuse(head.error()), std::nullopt;
      http::Request request = std::move(head->request);
      keep_alive_ = keep_alive_ && head->keep_alive;
      if (!read_body(*head, request, deadline)) return std::nullopt;
      return request;
    }
    checked = received_.size();
    if (!receive(deadline)) {
      if (begun) refuse({408, "the request did not come in time"});
      return std::nullopt;
    }
    if (!std::exchange(begun, true)) deadline = std::chrono::steady_clock::now() + limits_.request_max;
  }
}

bool Wire::read_body(const http::RequestHead& head, http::Request& request, Deadline deadline) {
  http::BodyParser parser(head, limits_.parser.body_bytes_max);
  if (head.expects_continue && !parser.done() && received_.empty() && !transmit("HTTP/1.1 100 Continue\r\n\r\n")) return false;
  while (true) {
    const auto used = parser.consume(received_, request.body);
    if (!used) return refuse(used.error()), false;
    received_.erase(0, *used);
    if (parser.done()) return true;
    if (!receive(deadline)) return refuse({408, "the request did not come in time"}), false;
  }
}

std::string Wire::head_of(int status, std::string_view content_type) const {
  return "HTTP/1.1 " + std::to_string(status) + " " + std::string(http::reason_of(status)) + "\r\nContent-Type: " + std::string(content_type) +
         "\r\nConnection: " + (keep_alive_ ? "keep-alive" : "close") + "\r\n";
}

void Wire::send(int status, std::string_view content_type, std::string_view body) {
  (void)transmit(head_of(status, content_type) + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body));
}

bool Wire::begin(std::string_view content_type) { return transmit(head_of(200, content_type) + "Transfer-Encoding: chunked\r\n\r\n"); }

bool Wire::write(std::string_view bytes) {
  if (bytes.empty()) return true;  // an empty chunk would be the end
  char size[20];
  std::snprintf(size, sizeof size, "%zx\r\n", bytes.size());
  return transmit(size + std::string(bytes) + "\r\n");
}

void Wire::end() { (void)transmit("0\r\n\r\n"); }

bool Wire::is_open() const {
  pollfd poll{socket_.get(), POLLRDHUP, 0};
  return ::poll(&poll, 1, 0) == 0;
}

}  // namespace redoubt::engine::serve
