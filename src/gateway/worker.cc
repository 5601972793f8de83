// SPDX-License-Identifier: Apache-2.0
#include "gateway/worker.h"

#include <sys/epoll.h>

#include <algorithm>
#include <numeric>

#include "base/log.h"
#include "gateway/worker_connection.h"
#include "gateway/worker_message.h"

namespace redoubt::gateway {
namespace {

using Steady = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr int kTickMs = http::Reactor::kTick.count();
constexpr auto kTellMax = milliseconds(2);  // of what listeners do on the reactor's thread at once; the rest is the slot's thread's
constexpr auto kMeasured = std::chrono::seconds(30);             // waits are looked back at
constexpr int kReadingMax = 8;  // requests with texts that a worker has at once
constexpr std::size_t kServicesMin = 5, kServicesMax = 64;  // answers whose mean time counts; below them it says little

// Where this thread queued lines with the pool's lock held. They are sent once it is released: who waits for the lock need not wait for
// the system too, and what came free together goes out together.
struct Unsent {
  std::uint64_t id;
  std::shared_ptr<WorkerConnection> connection;
};
thread_local std::vector<Unsent> unsent;

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

struct WorkerPool::Job {
  std::string payer, scope, options;           // of the request; what it asks of the engine as text
  std::shared_ptr<GenerateListener> listener;  // null once it was told of an end
  Slot* slot = nullptr;                        // null while queued
  bool handed_on = false;                      // a token reached the listener
  bool retried = false;
  bool cancelled = false;
  Steady::time_point since, heard;
  std::chrono::microseconds waited{};  // in the queue
  std::size_t texts = 0, texts_heard = 0;  // that are read; 0: it is answered
  std::optional<Steady::time_point> ends = {};  // its own time, where it has one
};

struct WorkerPool::Slot {
  std::uint64_t id = 0;  // among the reactor's
  std::thread thread;
  std::condition_variable changed;               // what the slot's thread waits for: the pool stops, the slot is wanted, `ended` or `is_aside`
  std::shared_ptr<WorkerConnection> connection;  // null while there is no process
  std::optional<Error> ended;                    // why it is served no more
  std::vector<std::pair<std::shared_ptr<GenerateListener>, WorkerEvent>> told;  // by the slot's thread, while `is_aside`
  bool is_aside = false;                         // nothing is read from the worker before that thread is done
  bool wanted = true;   // else it takes no request, and its worker ends once it has none
  bool ready = false;
  bool failed = false;  // the last start or worker did
  bool lost = false;    // its worker was ready and ended, and the next has not failed to start
  int capacity = 0, running = 0;
  int reading = 0;           // requests with texts, which take no slot
  int embedding_length = 0;  // 0: it reads none
  bool knows_scopes = false;  // the engine of an older image refuses the word
  Steady::time_point started, pinged, ponged;
  std::uint64_t pings = 0;
  // The rest is the reactor's thread's alone.
  std::shared_ptr<WorkerConnection> served;  // the connection, while it is heard
  std::uint32_t armed = 0;                   // what epoll was told to look for; 0: it is not watched
  WorkerEventReader reader;
  std::vector<std::pair<std::shared_ptr<GenerateListener>, WorkerEvent>> heard;  // to be told, once the lock is released
  bool takes_long = false;                   // to tell it
};

WorkerPool::WorkerPool(std::shared_ptr<http::Reactor> reactor, WorkerFactory factory, WorkerPoolOptions options)
    : reactor_(std::move(reactor)), factory_(std::move(factory)), options_(options) {}

std::shared_ptr<WorkerPool> WorkerPool::create(std::shared_ptr<http::Reactor> reactor, WorkerFactory factory, WorkerPoolOptions options) {
  std::shared_ptr<WorkerPool> pool(new WorkerPool(std::move(reactor), std::move(factory), options), end);
  const int most = options.scale ? options.scale->max : std::max(1, options.workers);
  // One at least is started whatever is asked: a release that can't start is not served.
  const int first = options.scale ? std::max(1, options.scale->min) : most;
  for (int i = 0; i < most; ++i) {
    pool->slots_.push_back(std::make_unique<Slot>());
    pool->slots_.back()->wanted = i < first;
  }
  pool->reactor_->call([raw = pool.get()] {
    raw->first_id_ = raw->reactor_->join(*raw);
    for (std::size_t i = 0; i < raw->slots_.size(); ++i) raw->slots_[i]->id = raw->first_id_ + i;
  });
  if (options.scale && !options.scale->is_fixed()) pool->scaler_ = std::thread([raw = pool.get()] { raw->keep_scaling(); });
  for (auto& slot : pool->slots_) slot->thread = std::thread([raw = pool.get(), &slot = *slot] { raw->keep_worker(slot); });
  return pool;
}

// Its workers' end takes a while, and the reactor may be amid a call to it.
void WorkerPool::end(WorkerPool* pool) {
  std::unique_ptr<WorkerPool> last(pool);
  if (pool->reactor_->is_here()) std::thread([last = std::move(last)]() mutable { last.reset(); }).detach();
}

WorkerPool::~WorkerPool() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  reactor_->leave(first_id_);
  changed_.notify_all();
  wake_slots();
  if (scaler_.joinable()) scaler_.join();
  for (auto& slot : slots_) slot->thread.join();
  for (auto& [id, job] : jobs_)
    if (job.listener) job.listener->on_error({ErrorCode::unavailable, "the endpoint stops", std::string(kWorkerWhere)});
}

bool WorkerPool::wait_ready(milliseconds time_max) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, time_max, [this] { return has_ready(); });
}

// With the lock held.
bool WorkerPool::has_ready() const {
  return std::any_of(slots_.begin(), slots_.end(), [](const auto& slot) { return slot->ready; });
}

std::optional<Error> WorkerPool::last_failure() const {
  std::lock_guard lock(mutex_);
  return last_failure_;
}

Result<std::uint64_t> WorkerPool::generate(GenerateRequest request, std::shared_ptr<GenerateListener> listener) {
  auto options = generate_options(request);  // written before the lock is taken
  const auto texts = request.texts.size();
  Calls calls;
  std::uint64_t id = 0;
  {
    std::lock_guard lock(mutex_);
    if (stopping_ || (!can_answer() && !replaces_one())) return broken_worker("no worker is ready");
    auto& queue = texts > 0 ? texts_queue_ : queue_;
    if (texts == 0 && queue.holds_one_of(request.payer) && expected_wait_ms() > options_.queue_ms_max)
      return fail(ErrorCode::limit_exceeded, "the queue is too slow for one more request", std::string(kWorkerWhere));
    if (queue.size() >= static_cast<std::size_t>(options_.queue_max) && (texts > 0 || !make_room(request.payer, calls)))
      return fail(ErrorCode::limit_exceeded, "the queue of requests is full", std::string(kWorkerWhere));
    id = next_id_++;
    const auto now = Steady::now();
    queue.add(id, request.payer);
    auto& job = jobs_[id] = Job{std::move(request.payer), std::move(request.scope), std::move(options), std::move(listener), nullptr, false, false, false, now, now};
    job.texts = texts;
    if (request.ms_max > 0) job.ends = now + milliseconds(request.ms_max);
    assign();
    if (std::none_of(slots_.begin(), slots_.end(), [](const auto& slot) { return slot->wanted; })) want(1);
  }
  send_unsent(true);
  for (auto& call : calls) call();
  return id;
}

// Whether a worker is ready, or the first is on its way. With the lock held.
bool WorkerPool::can_answer() const {
  bool starting = false, wanted = false;
  for (const auto& slot : slots_) {
    if (slot->ready && slot->wanted) return true;
    wanted |= slot->wanted;
    starting |= slot->wanted && !slot->failed;
  }
  return options_.scale && (starting || !wanted);
}

// Whether one that answered has just ended: the next does soon, as long as its start does not fail. With the lock held.
bool WorkerPool::replaces_one() const {
  return std::any_of(slots_.begin(), slots_.end(), [](const auto& slot) { return slot->wanted && slot->lost; });
}

// By how long answers took lately and how many are made together; 0 where too few have to tell. With the lock held.
int WorkerPool::expected_wait_ms() const {
  std::int64_t slots = 0;
  for (const auto& slot : slots_) slots += slot->wanted && slot->ready ? slot->capacity : 0;
  if (queue_.empty() || services_.size() < kServicesMin || slots == 0) return 0;
  const auto sum = std::accumulate(services_.begin(), services_.end(), milliseconds(0)).count();
  return static_cast<int>(std::min<std::int64_t>(3'600'000, sum * (static_cast<std::int64_t>(queue_.size()) + 1) / std::ssize(services_) / slots));
}

// So many workers from now on: the busiest stay. With the lock held.
void WorkerPool::want(int workers) {
  std::vector<Slot*> order;
  for (auto& slot : slots_) order.push_back(slot.get());
  const auto worth = [](const Slot* slot) { return slot->wanted ? 2 + (slot->ready ? 1 + slot->running + slot->reading : 0) : slot->connection ? 1 : 0; };
  std::stable_sort(order.begin(), order.end(), [&](const Slot* a, const Slot* b) { return worth(a) > worth(b); });
  for (std::size_t i = 0; i < order.size(); ++i) {
    const bool is_wanted = static_cast<int>(i) < workers;
    if (is_wanted && !order[i]->wanted) order[i]->failed = false;
    order[i]->wanted = is_wanted;
  }
  assign();
  wake_slots();
}

// With the lock held.
Scaling::Load WorkerPool::load() const {
  Scaling::Load load;
  for (const auto& slot : slots_) load.workers += slot->wanted;
  load.requests = static_cast<int>(jobs_.size());
  load.tokens_per_second = tokens_per_second_;
  const auto now = Steady::now();
  milliseconds waited{0};
  std::int64_t count = 0;
  for (auto at = waits_.rbegin(); at != waits_.rend() && at->time >= now - kMeasured; ++at, ++count) waited += at->waited;
  load.queue_ms = count > 0 ? static_cast<double>(waited.count()) / static_cast<double>(count) : 0;
  for (const auto id : queue_.waiting()) load.queue_ms = std::max(load.queue_ms, std::chrono::duration<double, std::milli>(now - jobs_.at(id).since).count());
  return load;
}

void WorkerPool::keep_scaling() {
  Scaling scaling(*options_.scale);
  std::unique_lock lock(mutex_);
  // Before a first worker is ready nobody can ask it for anything: it would be taken away for having no requests.
  changed_.wait(lock, [this] { return stopping_ || has_ready(); });
  looked_ = Steady::now();
  while (!changed_.wait_for(lock, milliseconds(kTickMs), [this] { return stopping_; })) {
    const auto now = Steady::now();
    // A second's mean: a tick has too few tokens to tell.
    if (now - looked_ >= std::chrono::seconds(1)) {
      tokens_per_second_ = static_cast<double>(tokens_ - tokens_looked_) / std::chrono::duration<double>(now - looked_).count();
      tokens_looked_ = tokens_;
      looked_ = now;
    }
    const auto now_load = load();
    const int workers = scaling.look(now_load, now);
    if (workers != now_load.workers) {
      spdlog::info("engine workers: {} instead of {}, for {} requests, {:.0f} tokens a second, {:.0f} ms in the queue", workers, now_load.workers, now_load.requests, now_load.tokens_per_second,
                   now_load.queue_ms);
      want(workers);
    }
    Calls calls;
    expire(nullptr, calls);
    lock.unlock();
    send_unsent(false);
    for (auto& call : calls) call();
    lock.lock();
  }
}

// With the lock held.
bool WorkerPool::make_room(const std::string& payer, Calls& calls) {
  const auto last = queue_.make_room(payer);
  if (!last) return false;
  const auto found = jobs_.find(*last);
  calls.push_back([listener = found->second.listener] {
    if (listener) listener->on_error({ErrorCode::unavailable, "gave way to another payer's request", std::string(kWorkerWhere)});
  });
  jobs_.erase(found);
  return true;
}

void WorkerPool::cancel(std::uint64_t id) {
  std::shared_ptr<GenerateListener> dropped;  // let go of outside of the lock
  {
    std::lock_guard lock(mutex_);
    auto found = jobs_.find(id);
    if (found == jobs_.end()) return;
    if (found->second.slot) {
      if (!std::exchange(found->second.cancelled, true)) ask(*found->second.slot, cancel_line(id));
    } else {
      dropped = std::exchange(found->second.listener, nullptr);
      queue_of(found->second).remove(id, found->second.payer);
      jobs_.erase(found);
      changed_.notify_all();
    }
  }
  send_unsent(false);
}

PoolState WorkerPool::state() const {
  std::lock_guard lock(mutex_);
  PoolState state;
  for (const auto& slot : slots_) {
    state.workers += slot->wanted;
    state.running += slot->running + slot->reading;
    if (!slot->wanted) continue;
    if (!slot->ready) {
      state.workers_starting += !slot->failed;
      continue;
    }
    ++state.workers_ready;
    state.slots += slot->capacity;
  }
  state.can_answer = can_answer();
  state.context_length = known_->context_length;
  state.adapters = known_->adapters;
  state.knows_tools = known_->knows_tools;
  state.embedding_length = known_->embedding_length;
  state.expected_wait_ms = expected_wait_ms();
  state.queued = static_cast<int>(queue_.size() + texts_queue_.size());
  state.restarts = restarts_;
  return state;
}

std::shared_ptr<const WorkerReady> WorkerPool::known() const {
  std::lock_guard lock(mutex_);
  return known_;
}

bool WorkerPool::drain(milliseconds time_max) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, time_max, [this] { return jobs_.empty(); });
}

// With the lock held.
FairQueue& WorkerPool::queue_of(const Job& job) { return job.texts > 0 ? texts_queue_ : queue_; }

// The worker that takes the next request, one with texts or one to answer; null when none has room. With the lock held.
WorkerPool::Slot* WorkerPool::least_busy(bool reads) const {
  Slot* best = nullptr;
  const auto load = [&](const Slot& slot) { return reads ? slot.reading : slot.running; };
  for (const auto& slot : slots_) {
    const int most = !reads ? slot->capacity : slot->embedding_length > 0 ? kReadingMax : 0;
    if (slot->wanted && slot->ready && load(*slot) < most && (!best || load(*slot) < load(*best))) best = slot.get();
  }
  return best;
}

// Hands queued requests to the least busy workers. With the lock held; `send_unsent` comes after it.
void WorkerPool::assign() {
  while (true) {
    auto* best = queue_.empty() ? nullptr : least_busy(false);
    const bool reads = best == nullptr;
    if (reads && !texts_queue_.empty()) best = least_busy(true);
    if (!best) return;
    const auto id = (reads ? texts_queue_ : queue_).take();
    auto& job = jobs_.at(id);
    job.slot = best;
    const auto now = Steady::now();
    job.waited += std::chrono::duration_cast<std::chrono::microseconds>(now - job.since);
    waits_.push_back({now, std::chrono::duration_cast<milliseconds>(now - job.since)});
    while (waits_.front().time < now - kMeasured) waits_.pop_front();
    job.since = job.heard = now;
    ++(reads ? best->reading : best->running);
    ask(*best, reads ? generate_line(id, job.options, "", "read") : generate_line(id, job.options, best->knows_scopes ? job.scope : ""));
  }
}

// With the lock held; `send_unsent` comes after it.
void WorkerPool::ask(Slot& slot, std::string line) {
  slot.connection->queue(std::move(line));
  if (std::none_of(unsent.begin(), unsent.end(), [&](const auto& one) { return one.id == slot.id; })) unsent.push_back({slot.id, slot.connection});
}

// What may wait on the reactor's thread is sent at the end of its turn, with what the turn's other requests ask. What the socket does not
// take, and what fails, is the reactor's.
void WorkerPool::send_unsent(bool may_wait) {
  if (unsent.empty()) return;
  const bool waits = may_wait && reactor_->is_here();
  for (const auto& [id, connection] : unsent)
    if (waits || !connection->send_queued().value_or(false)) reactor_->ring(id);
  unsent.clear();
}

void WorkerPool::wake_slots() {
  for (auto& slot : slots_) slot->changed.notify_all();
}

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
      was_wanted = slot.wanted;
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
    if (!slot.wanted && slot.running + slot.reading == 0) return broken_worker("the worker is no longer needed");
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

// Ends what waited too long, or ran too long on this slot (for who speaks to its listeners). With the lock held; `send_unsent` comes after it.
void WorkerPool::expire(const Slot* slot, Calls& calls) {
  auto now = Steady::now();
  const int queue_ms_max = options_.scale && !has_ready() ? std::max(options_.queue_ms_max, options_.scale->start_s_max * 1000) : options_.queue_ms_max;
  for (auto at = jobs_.begin(); at != jobs_.end();) {
    auto& [id, job] = *at;
    bool queued = job.slot == nullptr;
    bool late = now - job.since > milliseconds(queued ? queue_ms_max : options_.request_ms_max) || (job.ends && now > *job.ends);
    if (!late || !job.listener || (!queued && job.slot != slot)) {
      ++at;
      continue;
    }
    calls.push_back([listener = std::exchange(job.listener, nullptr)] {
      listener->on_error({ErrorCode::unavailable, "the request took too long", std::string(kWorkerWhere)});
    });
    if (!queued) {
      ask(*job.slot, cancel_line(id));
      ++at;
      continue;
    }
    queue_of(job).remove(id, job.payer);
    at = jobs_.erase(at);
  }
  if (jobs_.empty()) changed_.notify_all();
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
    slot.failed = slot.wanted;
    slot.lost = slot.wanted && slot.ready;
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
