// SPDX-License-Identifier: Apache-2.0
#include "http/reactor.h"

#include <signal.h>
#include <sys/epoll.h>

#include <array>
#include <cerrno>

namespace redoubt::http {
namespace {

constexpr int kMemberBits = 40;  // of a number; above them stands the member's
constexpr std::uint64_t kNobody = 0;
constexpr int kEventsPerTurn = 128;

}  // namespace

Result<std::shared_ptr<Reactor>> Reactor::create() {
  auto bell = TRY(detail::Bell::create());
  Fd epoll(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return fail_errno(errno, "making an epoll", "HTTP server");
  std::shared_ptr<Reactor> reactor(new Reactor(std::move(bell), std::move(epoll)));
  reactor->watch(EPOLL_CTL_ADD, reactor->bell_->fd(), kNobody, EPOLLIN | EPOLLET);
  reactor->thread_ = std::thread([raw = reactor.get()] { raw->run(); });
  return reactor;
}

Reactor::Reactor(std::shared_ptr<detail::Bell> bell, Fd epoll) : bell_(std::move(bell)), epoll_(std::move(epoll)) {}

Reactor::~Reactor() {
  stopping_ = true;
  ring(kNobody);
  thread_.join();
}

std::uint64_t Reactor::join(Member& member) {
  std::uint64_t number = 0;
  call([&] {
    number = members_.size();
    members_.push_back(&member);
  });
  return number << kMemberBits;
}

void Reactor::leave(std::uint64_t first) {
  call([&] { members_[first >> kMemberBits] = nullptr; });
}

void Reactor::call(const std::function<void()>& work) {
  if (is_here()) return work();
  Call call{&work};
  std::unique_lock lock(mutex_);
  calls_.push_back(&call);
  is_called_ = true;
  ring(kNobody);
  changed_.wait(lock, [&] { return call.is_done; });
}

void Reactor::watch(int operation, int fd, std::uint64_t id, std::uint32_t events) const {
  epoll_event event{};
  event.events = events;
  event.data.u64 = id;
  epoll_ctl(epoll_.get(), operation, fd, &event);
}

void Reactor::run() {
  // A client that closes while we write must not end the process.
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &blocked, nullptr);
  while (!stopping_) turn();
}

void Reactor::turn() {
  std::array<epoll_event, kEventsPerTurn> events;
  now_ = std::chrono::steady_clock::now();
  if (is_called_) work_off_calls();
  bell_->take(rung_);
  for (const auto id : rung_) tell(id, 0);
  bool is_busy = false;
  for (std::size_t i = 0; i < members_.size(); ++i)
    if (members_[i] != nullptr) is_busy |= members_[i]->on_turn();
  const bool sleeps = !is_busy && bell_->fall_asleep();
  const auto count = epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), sleeps ? int{kTick.count()} : 0);
  if (sleeps) bell_->awake();
  now_ = std::chrono::steady_clock::now();
  for (int i = 0; i < count; ++i) tell(events[static_cast<std::size_t>(i)].data.u64, events[static_cast<std::size_t>(i)].events);
}

void Reactor::work_off_calls() {
  std::unique_lock lock(mutex_);
  is_called_ = false;
  for (auto* call : std::exchange(calls_, {})) {
    lock.unlock();
    (*call->work)();
    lock.lock();
    call->is_done = true;
    changed_.notify_all();
  }
}

void Reactor::tell(std::uint64_t id, std::uint32_t events) {
  if (auto* member = members_[id >> kMemberBits]; member != nullptr) member->on_events(id, events);
}

}  // namespace redoubt::http
