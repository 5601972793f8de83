// SPDX-License-Identifier: Apache-2.0
//
// The engine's side of the gateway: a pool of engine processes that speak the worker protocol
// (docs/formats/worker-protocol.md) over a Unix stream socket each. A worker that dies, lies or hangs is killed and
// replaced; requests of which nothing was handed on yet are tried once more on another worker, others end with an error.
//
// Workers are heard on the thread of a reactor, beside the server's clients: a request and its answer need no change of threads. Starting
// and ending a worker, and telling what takes long, is done by a thread of the worker's slot.
//
// Free slots go to the payer who has the fewest, so that one's flood does not move another's waiting; where the queue is full, who has
// the most in it gives way to who has fewer.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/file.h"
#include "gateway/fair_queue.h"
#include "gateway/scaling.h"
#include "gateway/worker_event.h"
#include "http/reactor.h"
#include "openai/answer.h"
#include "openai/request.h"

namespace redoubt::gateway {

// An engine that was started in its sandbox. `kill` must end it whatever it does; `wait` reaps it and answers its exit code.
struct WorkerProcess {
  Fd socket;
  std::function<void()> kill;
  std::function<int()> wait;
};
// Starts one worker; called from the pool's own threads, each time a worker has to be started.
using WorkerFactory = std::function<Result<WorkerProcess>()>;

using openai::GenerateEnd;
using openai::GenerateRequest;
using openai::Piece;

// Hears about one request, from one thread at a time, and must not block. After on_done or on_error nothing more comes.
class GenerateListener {
 public:
  virtual ~GenerateListener() = default;
  // The worker was lost after tokens were handed on. True when nobody else has seen any of them: then all that was heard is forgotten,
  // and the request is tried again.
  virtual bool forget() { return false; }
  virtual void on_started(int prompt_tokens) = 0;  // again when the request is tried on another worker
  virtual void on_token(const Piece& piece) = 0;
  virtual void on_text(const TextRead&) {}  // of a request with texts, in their order
  virtual void on_times(const telemetry::AnswerTimes&) {}  // just before on_done
  virtual void on_done(const GenerateEnd& end) = 0;
  // limit_exceeded when the engine found the prompt too long for its context, invalid_argument when it found the request
  // wrong in another way (`where` names the parameter, if it is one's), else unavailable. The message is for logs.
  virtual void on_error(const Error& error) = 0;
};

struct WorkerPoolOptions {
  int workers = 1;               // where `scale` is not given
  std::optional<ScaleOptions> scale = std::nullopt;
  int queue_max = 64;            // requests that wait for a free slot
  int queue_ms_max = 30'000;     // how long they wait
  int request_ms_max = 600'000;  // from the start on a worker to its end
  int silence_ms_max = 120'000;  // a running request of which nothing is heard: the worker hangs
  int start_ms_max = 300'000;    // until a worker says that it is ready
  int ping_ms = 2'000;
  int pong_ms_max = 15'000;  // without an answer to a ping the worker hangs
  int restart_ms = 250;      // pause before a start, doubled after each failed one up to restart_ms_max
  int restart_ms_max = 30'000;
};

struct PoolState {
  int workers = 0;  // that are wanted
  int workers_ready = 0, workers_starting = 0;  // of them; the rest failed and is tried again
  int running = 0, queued = 0, slots = 0;
  int context_length = 0;      // as the last worker said
  bool can_answer = false;     // a worker is ready, or there is none because nobody asked for a while and the next request starts one
  int expected_wait_ms = 0;    // of a request that comes now and has to wait; 0: not known, or none
  std::uint64_t restarts = 0;
  std::vector<std::string> adapters = {};  // that a request may name
  bool knows_tools = false;                // its engine hands tools and their calls to the chat template
  int embedding_length = 0;                // numbers of an embedding; 0: its engine reads no texts
};

class WorkerConnection;

class WorkerPool final : public http::Reactor::Member {
 public:
  // Starts the workers; use wait_ready before sending traffic.
  static std::shared_ptr<WorkerPool> create(std::shared_ptr<http::Reactor> reactor, WorkerFactory factory, WorkerPoolOptions options = {});
  // Kills the workers; requests under way end with an error. Where the last who holds it lets go on the reactor's thread, soon after.
  ~WorkerPool() override;

  // True when a worker is ready; false when the time is over, `last_failure` says why.
  bool wait_ready(std::chrono::milliseconds time_max);
  std::optional<Error> last_failure() const;

  // Queues a request and answers its number. One with texts is read beside the slots: it waits for no answer's end. limit_exceeded when the queue is full, or so slow that a payer who waits already would wait in
  // vain; unavailable when no worker is ready, none is being started for the first request, and none in place of one that was ready.
  Result<std::uint64_t> generate(GenerateRequest request, std::shared_ptr<GenerateListener> listener);
  // Nobody wants the answer any more: the worker is told to stop. The listener hears no further token, but still how the request ended
  // (`cancelled`, with what was made until then), so that what was made can be counted. One that waited hears nothing.
  void cancel(std::uint64_t id);
  PoolState state() const;
  // What the last worker that became ready said; its fellows are alike.
  std::shared_ptr<const WorkerReady> known() const;
  // Waits until no request is queued or running; false when the time is over.
  bool drain(std::chrono::milliseconds time_max);

 private:
  struct Job;
  struct Slot;
  using Calls = std::vector<std::function<void()>>;  // what listeners are told, once the lock is released

  WorkerPool(std::shared_ptr<http::Reactor> reactor, WorkerFactory factory, WorkerPoolOptions options);
  static void end(WorkerPool* pool);
  void keep_worker(Slot& slot);
  Error attend(Slot& slot, std::unique_ptr<WorkerConnection> connection);
  void on_events(std::uint64_t id, std::uint32_t events) override;
  bool on_turn() override;
  Status serve(Slot& slot, std::uint32_t events);
  Status go_on(Slot& slot);
  void listen(Slot& slot, bool is_full);
  void give_up(Slot& slot, const Error& why);
  Status handle_line(Slot& slot, std::string_view line);
  void tell_heard(Slot& slot);
  Result<std::shared_ptr<GenerateListener>> handle_event(Slot& slot, WorkerEvent& event);
  Status become_ready(Slot& slot, const WorkerReady& ready);
  Status watch(Slot& slot);
  bool await_wanted(Slot& slot);
  void keep_scaling();
  Scaling::Load load() const;
  void want(int workers);
  bool can_answer() const;
  bool replaces_one() const;
  int expected_wait_ms() const;
  bool has_ready() const;
  std::set<std::uint64_t> unseen(const Slot& slot);
  void end_worker(Slot& slot, const Error& why);
  void assign();
  void ask(Slot& slot, std::string line);
  void send_unsent(bool may_wait);
  void wake_slots();
  FairQueue& queue_of(const Job& job);
  Slot* least_busy(bool reads) const;
  bool make_room(FairQueue& queue, const std::string& payer, Calls& calls);
  void expire(const Slot* slot, Calls& calls);
  bool pause(Slot& slot, int ms);

  const std::shared_ptr<http::Reactor> reactor_;
  const WorkerFactory factory_;
  const WorkerPoolOptions options_;
  std::uint64_t first_id_ = 0;  // the reactor's number of the first slot
  std::chrono::steady_clock::time_point next_tick_{};
  mutable std::mutex mutex_;
  std::condition_variable changed_;  // a worker is ready, nothing is under way, or the pool stops
  bool stopping_ = false;
  std::uint64_t next_id_ = 1, restarts_ = 0;
  std::map<std::uint64_t, Job> jobs_;
  FairQueue queue_;
  FairQueue texts_queue_;  // of requests with texts
  std::optional<Error> last_failure_;
  std::shared_ptr<const WorkerReady> known_ = std::make_shared<WorkerReady>();
  struct Wait {
    std::chrono::steady_clock::time_point time;
    std::chrono::milliseconds waited;
  };
  std::deque<Wait> waits_;                           // for a slot, of the last half minute
  std::deque<std::chrono::milliseconds> services_;  // how long the last answers took on their workers
  std::uint64_t tokens_ = 0, tokens_looked_ = 0;
  std::chrono::steady_clock::time_point looked_{};
  double tokens_per_second_ = 0;
  std::chrono::steady_clock::time_point ready_since_{};  // when the first worker was ready after there had been none
  std::vector<std::unique_ptr<Slot>> slots_;
  std::thread scaler_;  // where the number of workers is not fixed
};

}  // namespace redoubt::gateway
