// SPDX-License-Identifier: Apache-2.0
#include "http/loop.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "http/source.h"

namespace redoubt::http::detail {
namespace {

constexpr std::uint64_t kListener = 0, kStrangers = 1, kConnections = 2;  // after the first number of the server
constexpr int kAcceptsBeforeDrain = 1024, kStrangersPerTurn = 32;
// So many of those who have asked for nothing yet, then it is looked again for those who have: whoever opens thousands of connections and
// sends something over all of them at once makes the others wait for two handshakes. Where those who have keep the thread busy, an eighth.
constexpr int newcomers_per_turn(int known) { return std::min(kStrangersPerTurn, 2 + known / 8); }
// Going through all connections at once would hold every request up where there are thousands: a round over 10,000 takes a second.
constexpr int kLooksPerTick = 1024, kLooksPerTurn = 32;

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

Result<Address> address_of(const std::string& host, std::uint16_t port) {
  Address address;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&address.storage);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
  if (inet_pton(AF_INET, host.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    address.size = sizeof *v4;
  } else if (inet_pton(AF_INET6, host.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    address.size = sizeof *v6;
  } else {
    return fail(ErrorCode::invalid_argument, "this is no IPv4 or IPv6 address", host, "listen on 127.0.0.1, ::1 or 0.0.0.0");
  }
  return address;
}

Result<Fd> listen_on(const Address& address, const std::string& where) {
  Fd listener(socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!listener) return fail_errno(errno, "making a socket", where);
  const int on = 1;
  setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(listener.get(), reinterpret_cast<const sockaddr*>(&address.storage), address.size) != 0 ||
      listen(listener.get(), 1024) != 0)
    return fail(ErrorCode::unavailable, std::string("cannot listen: ") + std::strerror(errno), where, "choose another port");
  return listener;
}

std::uint16_t port_of(int fd) {
  Address address;
  address.size = sizeof address.storage;
  getsockname(fd, reinterpret_cast<sockaddr*>(&address.storage), &address.size);
  return ntohs(address.storage.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&address.storage)->sin6_port
                                                     : reinterpret_cast<sockaddr_in*>(&address.storage)->sin_port);
}

std::string text_of_address(const sockaddr_storage& storage) {
  char text[INET6_ADDRSTRLEN] = "";
  if (storage.ss_family == AF_INET6)
    inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6*>(&storage)->sin6_addr, text, sizeof text);
  else
    inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(&storage)->sin_addr, text, sizeof text);
  return text;
}

// IMF-fixdate of RFC 9110 section 5.6.7.
std::string http_date() {
  std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[40];
  auto size = std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts);
  return {text, size};
}

crypto::TlsServerOptions tls_options(const ServerOptions& options, const std::string& certificate_pem, const Secret& private_key_pem) {
  return {certificate_pem, private_key_pem, options.allow_tls_1_2, options.client_certificates, options.client_roots_pem, options.http_2 == Http2::offered};
}

}  // namespace

Result<std::unique_ptr<Loop>> Loop::start(ServerOptions options, Handler& handler, const Loop* before) {
  auto tls = TRY(crypto::TlsServerContext::create(tls_options(options, options.certificate_pem, options.private_key_pem)));
  const auto address = TRY(address_of(options.host, options.port));
  auto listener = before != nullptr ? TRY(before->listener_again()) : TRY(listen_on(address, options.host + ":" + std::to_string(options.port)));
  auto reactor = options.reactor;
  if (reactor == nullptr) reactor = TRY(Reactor::create());
  Fd strangers(epoll_create1(EPOLL_CLOEXEC));
  if (!strangers) return fail_errno(errno, "making an epoll", options.host);
  options.private_key_pem = {};
  auto port = port_of(listener.get());
  ParserLimits limits{options.head_bytes_max, options.target_bytes_max, options.headers_max, options.body_bytes_max};
  Shared shared{std::move(options), limits, handler, reactor->bell(), reactor->now()};
  std::unique_ptr<Loop> loop(new Loop(std::move(reactor), std::move(shared), std::move(listener), std::move(strangers), port));
  loop->tls_ = std::move(tls);
  loop->shared_.name_fields();
  loop->reactor_->call([raw = loop.get()] { raw->join(); });
  return loop;
}

Loop::Loop(std::shared_ptr<Reactor> reactor, Shared shared, Fd listener, Fd strangers, std::uint16_t port)
    : reactor_(std::move(reactor)), shared_(std::move(shared)), listener_(std::move(listener)), strangers_(std::move(strangers)), port_(port) {}

Loop::~Loop() { stop(); }

void Loop::join() {
  first_id_ = reactor_->join(*this);
  next_id_ = first_id_ + kConnections;
  reactor_->watch(EPOLL_CTL_ADD, listener_.get(), first_id_ + kListener, EPOLLIN);
  reactor_->watch(EPOLL_CTL_ADD, strangers_.get(), first_id_ + kStrangers, EPOLLIN);
}

// The queue of those who connect is the socket's, so that nobody in it is lost whichever of its descriptors is closed.
Result<Fd> Loop::listener_again() const {
  Fd again;
  reactor_->call([&] {
    if (listener_) again = Fd(fcntl(listener_.get(), F_DUPFD_CLOEXEC, 0));
  });
  if (!again) return fail(ErrorCode::unavailable, "the server before listens no more", shared_.options.host);
  return again;
}

void Loop::stop() {
  reactor_->call([this] {
    close_listener();
    for (auto id : ids()) forget(id);
    reactor_->leave(first_id_);
  });
}

Status Loop::replace_certificate(const std::string& certificate_pem, const Secret& private_key_pem) {
  auto fresh = TRY(crypto::TlsServerContext::create(tls_options(shared_.options, certificate_pem, private_key_pem)));
  std::lock_guard lock(mutex_);
  tls_ = std::move(fresh);
  return {};
}

bool Loop::drain(std::chrono::milliseconds time_max) {
  drain_asked_ = true;
  reactor_->ring(first_id_ + kStrangers);
  bool finished;
  {
    std::unique_lock lock(mutex_);
    finished = changed_.wait_for(lock, time_max, [this] { return drained_; });
  }
  stop();
  return finished;
}

void Loop::on_events(std::uint64_t id, std::uint32_t events) {
  if (id == first_id_ + kListener) {
    some_come_ = true;
  } else if (id == first_id_ + kStrangers) {
    some_wait_ |= events != 0;
  } else {
    known_ += events != 0;
    serve(id, events);
  }
}

bool Loop::on_turn() {
  const int newcomers = newcomers_per_turn(std::exchange(known_, 0));
  if (std::exchange(some_wait_, false)) serve_strangers(newcomers);
  if (std::exchange(some_come_, false)) accept_some(newcomers);
  if (shared_.now >= next_tick_) tick();
  look_after_some();
  if (drain_asked_ && !shared_.draining) start_drain();
  if (shared_.draining && connections_.empty()) {
    std::lock_guard lock(mutex_);
    drained_ = true;
    changed_.notify_all();
  }
  return to_look_after_ > 0;
}

// Among the strangers.
void Loop::watch(int operation, int fd, std::uint64_t id, std::uint32_t events) const {
  epoll_event event{};
  event.events = events;
  event.data.u64 = id;
  epoll_ctl(strangers_.get(), operation, fd, &event);
}

void Loop::serve_strangers(int most) {
  std::array<epoll_event, kStrangersPerTurn> events;
  const auto count = epoll_wait(strangers_.get(), events.data(), most, 0);
  for (int i = 0; i < count; ++i) serve(events[static_cast<std::size_t>(i)].data.u64, events[static_cast<std::size_t>(i)].events);
}

void Loop::tick() {
  next_tick_ = shared_.now + Reactor::kTick;
  shared_.set_date(http_date());
  if (!listening_ && listener_) {
    reactor_->watch(EPOLL_CTL_ADD, listener_.get(), first_id_ + kListener, EPOLLIN);
    listening_ = true;
  }
  to_look_after_ = kLooksPerTick;
}

void Loop::look_after_some() {
  for (int i = 0; i < kLooksPerTurn && to_look_after_ > 0; ++i, --to_look_after_) {
    const auto next = connections_.upper_bound(looked_after_);
    if (next == connections_.end()) {
      looked_after_ = to_look_after_ = 0;
      return;
    }
    looked_after_ = next->first;
    next->second->on_tick();
    settle(next->first, *next->second);
  }
}

std::vector<std::uint64_t> Loop::ids() const {
  std::vector<std::uint64_t> all;
  all.reserve(connections_.size());
  for (const auto& [id, connection] : connections_) all.push_back(id);
  return all;
}

void Loop::accept_some(int most) {
  for (int i = 0; i < most && listener_; ++i)
    if (!accept_one()) return;
}

bool Loop::accept_one() {
  Address address;
  address.size = sizeof address.storage;
  Fd client(
      accept4(listener_.get(), reinterpret_cast<sockaddr*>(&address.storage), &address.size, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (client) {
    const int on = 1;
    setsockopt(client.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    admit(std::move(client), text_of_address(address.storage));
    return true;
  }
  if (errno == ECONNABORTED || errno == EINTR) return true;
  if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
    // Out of descriptors: waiting for the next tick beats spinning on a listener that stays ready.
    reactor_->watch(EPOLL_CTL_DEL, listener_.get(), first_id_ + kListener, 0);
    listening_ = false;
  }
  return false;
}

void Loop::admit(Fd client, std::string peer) {
  const auto& options = shared_.options;
  const auto source = source_of(peer);
  const auto same = per_source_.find(source);
  if (options.connections_per_source_max > 0 && same != per_source_.end() &&
      same->second >= options.connections_per_source_max)
    return;
  if (connections_.size() >= options.connections_max && !make_place()) return;
  std::shared_ptr<const crypto::TlsServerContext> context;
  {
    std::lock_guard lock(mutex_);
    context = tls_;
  }
  auto tls = context->accept(client.get());
  if (!tls) return;
  auto id = next_id_++;
  ++per_source_[source];
  auto fd = client.get();
  auto connection = std::make_unique<Connection>(id, std::move(client), std::move(peer), std::move(*tls), shared_);
  auto& added = *(connections_[id] = std::move(connection));
  open_ = connections_.size();
  // Its first bytes are hardly there yet.
  added.armed = added.interest();
  watch(EPOLL_CTL_ADD, fd, id, added.armed);
}

// Where all places are taken, the oldest stranger gives way, else who has waited for nothing for longest, as nginx reuses connections:
// whoever holds them open without asking keeps nobody out. Requests under way stay.
bool Loop::make_place() {
  auto leaves = connections_.end();
  for (auto at = connections_.begin(); at != connections_.end(); ++at) {
    const auto& one = *at->second;
    if (!one.may_give_way()) continue;
    if (leaves == connections_.end() || !one.is_known() || one.used() < leaves->second->used()) leaves = at;
    if (!one.is_known()) break;
  }
  if (leaves == connections_.end()) return false;
  leaves->second->give_way();
  forget(leaves->first);
  return true;
}

void Loop::serve(std::uint64_t id, std::uint32_t events) {
  auto found = connections_.find(id);
  if (found == connections_.end()) return;
  found->second->on_events(events);
  settle(id, *found->second);
}

void Loop::settle(std::uint64_t id, Connection& connection) {
  if (connection.closed()) return forget(id);
  const auto wanted = connection.interest();
  if (connection.among_strangers && connection.is_known()) {
    watch(EPOLL_CTL_DEL, connection.fd(), id, 0);
    reactor_->watch(EPOLL_CTL_ADD, connection.fd(), id, wanted);
    connection.among_strangers = false;
  } else if (wanted != connection.armed) {
    connection.among_strangers ? watch(EPOLL_CTL_MOD, connection.fd(), id, wanted) : reactor_->watch(EPOLL_CTL_MOD, connection.fd(), id, wanted);
  }
  connection.armed = wanted;
}

void Loop::forget(std::uint64_t id) {
  auto node = connections_.extract(id);
  auto source = per_source_.find(source_of(node.mapped()->peer()));
  if (--source->second == 0) per_source_.erase(source);
  open_ = connections_.size();
}

// Where another server has the same socket, closing a descriptor of it ends no watch.
void Loop::close_listener() {
  if (listener_ && listening_) reactor_->watch(EPOLL_CTL_DEL, listener_.get(), first_id_ + kListener, 0);
  listener_.reset();
}

void Loop::start_drain() {
  accept_some(kAcceptsBeforeDrain);
  close_listener();
  shared_.draining = true;
  for (auto id : ids()) {
    auto& connection = *connections_.at(id);
    connection.drain();
    settle(id, connection);
  }
}

}  // namespace redoubt::http::detail
