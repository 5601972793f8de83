// SPDX-License-Identifier: Apache-2.0
#include "gateway/worker.h"

#include <algorithm>
#include <numeric>

#include "base/log.h"
#include "gateway/worker_message.h"
#include "gateway/worker_slot.h"

namespace redoubt::gateway {
namespace {

constexpr auto kMeasured = std::chrono::seconds(30);             // waits are looked back at
constexpr int kReadingMax = 8;  // requests with texts that a worker has at once
constexpr std::size_t kServicesMin = 5;  // answers below which their mean time says little

// Where this thread queued lines with the pool's lock held. They are sent once it is released: who waits for the lock need not wait for
// the system too, and what came free together goes out together.
struct Unsent {
  std::uint64_t id;
  std::shared_ptr<WorkerConnection> connection;
};
thread_local std::vector<Unsent> unsent;

}  // namespace

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
    if (queue.size() >= static_cast<std::size_t>(options_.queue_max) && !make_room(queue, request.payer, calls))
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
  const auto worth = [](const Slot* slot) { return slot->wanted ? 2 + (slot->ready ? 1 + slot->running + slot->reading : 0) : slot->connection && !slot->dismissed ? 1 : 0; };
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
bool WorkerPool::make_room(FairQueue& queue, const std::string& payer, Calls& calls) {
  const auto last = queue.make_room(payer);
  if (!last) return false;
  const auto found = jobs_.find(*last);
  calls.push_back([listener = found->second.listener] {
    if (listener) listener->on_error({ErrorCode::unavailable, "gave way to another payer's request", std::string(kQueueWhere)});
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

// Ends what waited too long, or ran too long on this slot (for who speaks to its listeners). With the lock held; `send_unsent` comes after it.
void WorkerPool::expire(const Slot* slot, Calls& calls) {
  auto now = Steady::now();
  const milliseconds queue_max(options_.queue_ms_max), start_max = options_.scale ? std::chrono::seconds(options_.scale->start_s_max) : milliseconds(0);
  const bool is_ready = has_ready();
  // Who came while there was no worker has waited for a start until then, and for a slot since.
  const auto wait_ends = [&](const Job& job) {
    if (!is_ready) return job.since + std::max(queue_max, start_max);
    return std::max(job.since, std::min(ready_since_, job.since + start_max)) + queue_max;
  };
  for (auto at = jobs_.begin(); at != jobs_.end();) {
    auto& [id, job] = *at;
    bool queued = job.slot == nullptr;
    const bool late = now > (queued ? wait_ends(job) : job.since + milliseconds(options_.request_ms_max)) || (job.ends && now > *job.ends);
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

}  // namespace redoubt::gateway
