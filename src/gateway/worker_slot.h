// SPDX-License-Identifier: Apache-2.0
//
// What a WorkerPool knows of a request and of a worker's place; for its own sources.
#pragma once

#include <condition_variable>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gateway/worker.h"
#include "gateway/worker_connection.h"

namespace redoubt::gateway {

using Steady = std::chrono::steady_clock;
using std::chrono::milliseconds;

inline constexpr int kTickMs = http::Reactor::kTick.count();
inline constexpr std::size_t kServicesMax = 64;  // of the answers whose mean time counts

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
  bool dismissed = false;  // its worker is being ended because nobody needed it, which is no failure whoever comes meanwhile
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

}  // namespace redoubt::gateway
