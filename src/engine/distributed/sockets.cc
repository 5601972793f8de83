// SPDX-License-Identifier: Apache-2.0
#include "engine/distributed/sockets.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <thread>

namespace redoubt::engine::distributed {
namespace {

constexpr auto kPause = std::chrono::milliseconds(100);  // between two tries
constexpr auto kTryMax = std::chrono::seconds(10);

struct FreeAddresses {
  void operator()(addrinfo* list) const { ::freeaddrinfo(list); }
};
using Addresses = std::unique_ptr<addrinfo, FreeAddresses>;

Addresses addresses_of(const std::string& host, const std::string& port) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (::getaddrinfo(host.c_str(), port.c_str(), &hints, &list) != 0) return nullptr;
  return Addresses(list);
}

bool is_loopback(const sockaddr* address) {
  if (address->sa_family == AF_INET)
    return (ntohl(reinterpret_cast<const sockaddr_in*>(address)->sin_addr.s_addr) >> 24) == 127;
  return address->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr);
}

Status prepare(int fd) {
  const int on = 1;
  (void)::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // a small frame goes at once
  (void)::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  return set_non_blocking(fd);
}

Result<Fd> call_once(const addrinfo& address, Deadline deadline) {
  Fd socket(::socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return fail_errno(errno, "making a socket", "ranks");
  TRY(prepare(socket.get()));
  if (::connect(socket.get(), address.ai_addr, address.ai_addrlen) == 0) return socket;
  if (errno != EINPROGRESS) return fail_errno(errno, "calling a rank", "");
  pollfd waiting{socket.get(), POLLOUT, 0};
  if (::poll(&waiting, 1, milliseconds_to(deadline)) == 0) return fail(ErrorCode::unavailable, "no answer");
  int error = 0;
  socklen_t size = sizeof error;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0)
    return fail_errno(error, "calling a rank", "");
  return socket;
}

}  // namespace

bool is_loopback(const std::string& host) {
  const auto list = addresses_of(host, "1");
  for (const addrinfo* address = list.get(); address; address = address->ai_next)
    if (!is_loopback(address->ai_addr)) return false;
  return list != nullptr;
}

Result<Listener> listen_on(std::uint16_t port, Reach reach) {
  const bool everywhere = reach == Reach::everywhere;
  // One socket for both families; a machine without IPv6 has none of its addresses.
  Fd socket(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in6 six{};
  six.sin6_family = AF_INET6, six.sin6_port = htons(port), six.sin6_addr = in6addr_any;
  sockaddr_in four{};
  four.sin_family = AF_INET, four.sin_port = htons(port);
  four.sin_addr.s_addr = htonl(everywhere ? INADDR_ANY : INADDR_LOOPBACK);
  const bool use_six = everywhere && static_cast<bool>(socket);
  if (!use_six) socket = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return fail_errno(errno, "making a socket", "ranks");
  const int on = 1, off = 0;
  (void)::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (use_six) (void)::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  const auto* address = use_six ? reinterpret_cast<const sockaddr*>(&six) : reinterpret_cast<const sockaddr*>(&four);
  socklen_t size = use_six ? sizeof six : sizeof four;
  if (::bind(socket.get(), address, size) != 0 || ::listen(socket.get(), 128) != 0)
    return fail_errno(errno, "listening for the other ranks", "port " + std::to_string(port));
  sockaddr_storage bound{};
  size = sizeof bound;
  if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&bound), &size) != 0)
    return fail_errno(errno, "listening for the other ranks", "port " + std::to_string(port));
  const auto taken = bound.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6*>(&bound)->sin6_port
                                                 : reinterpret_cast<const sockaddr_in*>(&bound)->sin_port;
  return Listener{std::move(socket), ntohs(taken)};
}

Result<Caller> accept_from(const Listener& listener, Deadline deadline) {
  pollfd waiting{listener.socket.get(), POLLIN, 0};
  const int ready = ::poll(&waiting, 1, milliseconds_to(deadline));
  if (ready == 0) return fail(ErrorCode::unavailable, "nobody called in time");
  sockaddr_storage from{};
  socklen_t size = sizeof from;
  Fd socket(ready < 0 ? -1 : ::accept4(listener.socket.get(), reinterpret_cast<sockaddr*>(&from), &size, SOCK_CLOEXEC));
  if (!socket) return fail_errno(errno, "taking a rank's call", "ranks");
  TRY(prepare(socket.get()));
  char name[NI_MAXHOST] = {};
  if (::getnameinfo(reinterpret_cast<sockaddr*>(&from), size, name, sizeof name, nullptr, 0, NI_NUMERICHOST) != 0)
    return fail(ErrorCode::internal, "a caller has no address");
  std::string address = name;
  if (address.starts_with("::ffff:")) address.erase(0, 7);  // an IPv4 address behind a socket for both
  return Caller{std::move(socket), std::move(address)};
}

Result<Fd> call(const std::string& host, std::uint16_t port, Deadline deadline) {
  std::string why = "its name is not known";
  while (true) {
    const auto list = addresses_of(host, std::to_string(port));
    for (const addrinfo* address = list.get(); address; address = address->ai_next) {
      auto socket = call_once(*address, std::min(deadline, std::chrono::steady_clock::now() + kTryMax));
      if (socket) return socket;
      why = socket.error().message;
    }
    if (std::chrono::steady_clock::now() + kPause >= deadline)
      return fail(ErrorCode::unavailable, "nobody answers: " + why, host + ":" + std::to_string(port));
    std::this_thread::sleep_for(kPause);
  }
}

}  // namespace redoubt::engine::distributed
