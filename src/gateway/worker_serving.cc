// SPDX-License-Identifier: Apache-2.0
//
// A worker's life: started and ended by its slot's thread, heard by the reactor's.
#include <sys/epoll.h>

#include <algorithm>

#include "base/log.h"
#include "gateway/worker_message.h"
#include "gateway/worker_slot.h"

namespace redoubt::gateway {
namespace {

constexpr auto kTellMax = milliseconds(2);  // of what listeners do on the reactor's thread at once; the rest is the slot's thread's

template <typename Event>
std::uint64_t request_id_of(const Event& event) {
  if constexpr (requires { event.id; }) return event.id;
  return 0;
}

void tell(GenerateListener& listener, const WorkerEvent& event) {
  if (const auto* started = std::get_if<RequestStarted>(&event)) listener.on_started(started->prompt_tokens);
  if (const auto* token = std::get_if<RequestToken>(&event)) listener.on_token(token->piece);
  if (const auto* text = std::get_if<RequestText>(&event)) listener.on_text(text->text);
  if (const auto* done = std::get_if<RequestDone>(&event)) {
    listener.on_times(done->times);
    listener.on_done(done->end);
  }
  if (const auto* failed = std::get_if<RequestFailed>(&event)) listener.on_error(failed->error);
}

}  // namespace

// Between two workers: what waits in the queue has its deadline all the same.
bool WorkerPool::pause(Slot& slot, int ms) {
  const auto end = Steady::now() + milliseconds(ms);
  while (Steady::now() < end) {
    Calls calls;
    {
      std::unique_lock lock(mutex_);
      const auto tick = std::min(end, Steady::now() + milliseconds(kTickMs));
      if (slot.changed.wait_until(lock, tick, [this] { return stopping_; })) return false;
      expire(&slot, calls);
    }
    for (auto& call : calls) call();
  }
  return true;
}

// False when the pool stops.
bool WorkerPool::await_wanted(Slot& slot) {
  std::unique_lock lock(mutex_);
  slot.changed.wait(lock, [&] { return stopping_ || slot.wanted; });
  return !stopping_;
}

// A slot's thread: one worker after another, for as long as the pool lives.
void WorkerPool::keep_worker(Slot& slot) {
  int wait_ms = 0;
  for (;;) {
    if (wait_ms > 0 && !pause(slot, wait_ms)) return;
    if (!await_wanted(slot)) return;
    auto process = factory_();
    auto why = Error{ErrorCode::unavailable, "the worker could not be started", std::string(kWorkerWhere)};
    bool was_ready = false, was_wanted = true;
    if (!process) {
      why = process.error();
    } else if (auto connection = WorkerConnection::create(std::move(process->socket))) {
      why = attend(slot, std::move(*connection));
      std::lock_guard lock(mutex_);
      was_ready = slot.ready;
      was_wanted = slot.wanted && !slot.dismissed;
    }
    end_worker(slot, why);
    if (process && process->kill) process->kill();
    if (process && process->wait) process->wait();
    std::lock_guard lock(mutex_);
    if (stopping_) return;
    if (!was_wanted) {
      wait_ms = 0;
      continue;
    }
    ++restarts_;
    wait_ms = was_ready ? options_.restart_ms : std::clamp(wait_ms * 2, options_.restart_ms, options_.restart_ms_max);
    spdlog::warn("engine worker ended: {}", why.message);
  }
}

// While the reactor serves the worker, until that fails or the pool stops.
Error WorkerPool::attend(Slot& slot, std::unique_ptr<WorkerConnection> connection) {
  std::unique_lock lock(mutex_);
  slot.connection = std::move(connection);
  slot.started = Steady::now();
  slot.ended.reset();
  reactor_->ring(slot.id);
  for (;;) {
    slot.changed.wait(lock, [&] { return stopping_ || slot.ended || slot.is_aside; });
    if (!slot.is_aside) return slot.ended ? *slot.ended : Error{ErrorCode::unavailable, "the endpoint stops", std::string(kWorkerWhere)};
    {
      const auto told = std::exchange(slot.told, {});
      lock.unlock();
      for (const auto& [listener, event] : told) tell(*listener, event);
    }
    lock.lock();
    slot.is_aside = false;
    reactor_->ring(slot.id);
  }
}

void WorkerPool::on_events(std::uint64_t id, std::uint32_t events) {
  auto& slot = *slots_[id - first_id_];
  if (auto served = events == 0 ? go_on(slot) : serve(slot, events); !served) give_up(slot, served.error());
}

// It was rung for: a connection is new, its thread told what it had to tell, or lines wait to be sent.
Status WorkerPool::go_on(Slot& slot) {
  {
    std::lock_guard lock(mutex_);
    if (!slot.connection || slot.ended || slot.is_aside) return {};
    slot.served = slot.connection;
  }
  listen(slot, !TRY(slot.served->send_queued()));
  return {};
}

void WorkerPool::listen(Slot& slot, bool is_full) {
  const std::uint32_t wanted = is_full ? EPOLLIN | EPOLLOUT : EPOLLIN;
  if (slot.armed != wanted) reactor_->watch(slot.armed == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, slot.served->fd(), slot.id, wanted);
  slot.armed = wanted;
}

Status WorkerPool::serve(Slot& slot, std::uint32_t events) {
  if (slot.armed == 0) return {};
  if (events & EPOLLOUT) listen(slot, !TRY(slot.served->send_queued()));
  if ((events & ~std::uint32_t{EPOLLOUT}) == 0) return {};
  const auto read = slot.served->read([&](std::string_view line) { return handle_line(slot, line); });
  send_unsent(false);
  tell_heard(slot);
  return read;
}

void WorkerPool::give_up(Slot& slot, const Error& why) {
  if (slot.armed != 0) reactor_->watch(EPOLL_CTL_DEL, slot.served->fd(), slot.id, 0);
  slot.armed = 0;
  slot.served.reset();
  std::lock_guard lock(mutex_);
  slot.ended = why;
  slot.changed.notify_all();
}

// What is short at once. The rest on the slot's thread, so that it holds nobody up; until it is told nothing more of the worker is read.
void WorkerPool::tell_heard(Slot& slot) {
  if (slot.heard.empty()) {
    slot.takes_long = false;
    return;
  }
  const auto end = Steady::now() + kTellMax;
  auto next = slot.heard.begin();
  for (; next != slot.heard.end() && !slot.takes_long; ++next) {
    tell(*next->first, next->second);
    slot.takes_long = Steady::now() >= end;
  }
  slot.heard.erase(slot.heard.begin(), next);
  slot.takes_long = false;
  if (slot.heard.empty()) return;
  reactor_->watch(EPOLL_CTL_DEL, slot.served->fd(), slot.id, 0);
  slot.armed = 0;
  std::lock_guard lock(mutex_);
  slot.told.swap(slot.heard);
  slot.is_aside = true;
  slot.changed.notify_all();
}

bool WorkerPool::on_turn() {
  if (reactor_->now() < next_tick_) return false;
  next_tick_ = reactor_->now() + http::Reactor::kTick;
  for (auto& slot : slots_)
    if (slot->armed != 0)
      if (auto well = watch(*slot); !well) give_up(*slot, well.error());
  return false;
}

// Who hears of it is told once all lines that came together are looked at: workers get their next requests before.
Status WorkerPool::handle_line(Slot& slot, std::string_view line) {
  auto event = TRY(slot.reader.read(line));
  std::shared_ptr<GenerateListener> listener;
  {
    std::lock_guard lock(mutex_);
    listener = TRY(handle_event(slot, event));
  }
  if (listener) slot.heard.emplace_back(std::move(listener), std::move(event));
  return {};
}

// Who hears of it, with the lock held; null: nobody.
Result<std::shared_ptr<GenerateListener>> WorkerPool::handle_event(Slot& slot, WorkerEvent& event) {
  if (const auto* ready = std::get_if<WorkerReady>(&event)) {
    TRY(become_ready(slot, *ready));
    return nullptr;
  }
  if (!slot.ready) return broken_worker("the worker spoke before it was ready");
  if (std::holds_alternative<WorkerPong>(event)) {
    slot.ponged = Steady::now();
    return nullptr;
  }
  const auto found = jobs_.find(std::visit([](const auto& one) { return request_id_of(one); }, event));
  if (found == jobs_.end() || found->second.slot != &slot) return broken_worker("the worker answered a request that it does not have");
  auto& job = found->second;
  job.heard = Steady::now();
  slot.takes_long |= job.texts > 0;
  if (std::holds_alternative<RequestStarted>(event)) return job.listener;
  if (const auto* token = std::get_if<RequestToken>(&event)) {
    job.handed_on = true;
    tokens_ += std::max<std::size_t>(1, token->piece.logprobs.size());
    return job.cancelled ? nullptr : job.listener;
  }
  if (const auto* text = std::get_if<RequestText>(&event)) {
    if (job.texts_heard >= job.texts || text->index != static_cast<int>(job.texts_heard)) return broken_worker("the worker read a text that is not the next");
    if (text->length != slot.embedding_length) return broken_worker("an embedding has not its numbers");
    job.handed_on = true;
    ++job.texts_heard;
    return job.cancelled ? nullptr : job.listener;
  }
  if (auto* done = std::get_if<RequestDone>(&event)) {
    done->times.waited = job.waited;
    done->times.worked = std::chrono::duration_cast<std::chrono::microseconds>(job.heard - job.since);
    if (!job.cancelled && job.listener && job.texts_heard < job.texts) return broken_worker("the worker left a text out");
    if (!job.cancelled && job.texts == 0) services_.push_back(std::chrono::duration_cast<milliseconds>(job.heard - job.since));
  }
  if (services_.size() > kServicesMax) services_.pop_front();
  auto listener = std::move(job.listener);
  queue_of(job).end(job.payer);
  --(job.texts > 0 ? slot.reading : slot.running);
  jobs_.erase(found);
  assign();
  if (jobs_.empty()) changed_.notify_all();
  return listener;
}

Status WorkerPool::become_ready(Slot& slot, const WorkerReady& ready) {
  if (slot.ready) return broken_worker("the worker says twice that it is ready");
  slot.capacity = ready.slots;
  slot.knows_scopes = ready.knows_scopes;
  slot.embedding_length = ready.embedding_length;
  known_ = std::make_shared<const WorkerReady>(ready);
  if (!has_ready()) ready_since_ = Steady::now();
  slot.ready = true;
  slot.failed = slot.lost = false;
  slot.pinged = slot.ponged = Steady::now();
  last_failure_.reset();
  assign();
  changed_.notify_all();
  return {};
}

// Deadlines, once a tick: of the start, of pings, of requests.
Status WorkerPool::watch(Slot& slot) {
  Calls calls;
  {
    std::lock_guard lock(mutex_);
    if (!slot.wanted && slot.running + slot.reading == 0) {
      slot.dismissed = true;
      slot.ready = false;  // who comes from now on waits for another
      return broken_worker("the worker is no longer needed");
    }
    auto now = Steady::now();
    if (!slot.ready && now - slot.started > milliseconds(options_.start_ms_max)) return broken_worker("the worker did not become ready in time");
    for (const auto& [id, job] : jobs_)
      if (job.slot == &slot && now - job.heard > milliseconds(options_.silence_ms_max))
        return broken_worker("the worker hangs on a request");
    if (slot.ready && now - slot.pinged > milliseconds(options_.ping_ms)) {
      if (slot.ponged >= slot.pinged || slot.pings == 0) {
        slot.pinged = now;
        ask(slot, ping_line(++slot.pings));
      } else if (now - slot.pinged > milliseconds(options_.pong_ms_max)) {
        return broken_worker("the worker does not answer a ping");
      }
    }
    expire(&slot, calls);
  }
  send_unsent(false);
  for (auto& call : calls) call();
  return {};
}

// Which of a lost worker's requests nobody has seen anything of. Listeners are asked without the lock; only the slot's thread speaks to them now.
std::set<std::uint64_t> WorkerPool::unseen(const Slot& slot) {
  std::vector<std::pair<std::uint64_t, std::shared_ptr<GenerateListener>>> asked;
  std::set<std::uint64_t> found;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [id, job] : jobs_) {
      if (job.slot != &slot || !job.listener || job.retried || job.cancelled || stopping_) continue;
      if (job.handed_on) asked.emplace_back(id, job.listener);
      else found.insert(id);
    }
  }
  for (const auto& [id, listener] : asked)
    if (listener->forget()) found.insert(id);
  return found;
}

// The worker is gone: its requests go back to the head of the queue, once, if nothing of them was seen.
void WorkerPool::end_worker(Slot& slot, const Error& why) {
  Calls calls;
  const auto again = unseen(slot);
  {
    std::lock_guard lock(mutex_);
    const bool was_dismissed = std::exchange(slot.dismissed, false);
    slot.failed = slot.wanted && !was_dismissed;
    slot.lost = slot.failed && slot.ready;
    if (slot.failed) last_failure_ = why;
    slot.ready = false;
    slot.running = slot.capacity = slot.reading = slot.embedding_length = 0;
    slot.pings = 0;
    for (auto at = jobs_.rbegin(); at != jobs_.rend(); ++at) {
      auto& [id, job] = *at;
      if (job.slot != &slot || job.cancelled || !again.contains(id)) continue;
      job.slot = nullptr;
      job.retried = true;
      job.handed_on = false;
      job.texts_heard = 0;
      job.since = Steady::now();
      queue_of(job).end(job.payer);
      queue_of(job).add_again(id, job.payer);
    }
    std::erase_if(jobs_, [&](auto& entry) {
      auto& job = entry.second;
      if (job.slot != &slot) return false;
      queue_of(job).end(job.payer);
      if (job.listener)
        calls.push_back([listener = job.listener, why] {
          listener->on_error({ErrorCode::unavailable, why.message, why.where});
        });
      return true;
    });
    slot.connection.reset();
    assign();
    changed_.notify_all();
  }
  send_unsent(false);
  for (auto& call : calls) call();
}

}  // namespace redoubt::gateway
