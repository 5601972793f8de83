// SPDX-License-Identifier: Apache-2.0
//
// Lets an endpoint's captures go when their time is over: at its start, then every hour, on a thread of its own, so that neither a request nor a
// rollback waits. What the ledger has to be told is told by the thread that owns the session.
#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>

#include "cli/session.h"
#include "custody/captures.h"

namespace redoubt::cli {

class CaptureKeeper {
 public:
  // All outlive it.
  static Result<std::unique_ptr<CaptureKeeper>> create(Session& session, custody::CaptureList& list, std::string environment);
  ~CaptureKeeper();  // ends what is under way between two of its pieces

  // By the session's thread, often while a look is under way: begins one that is due, and tells the ledger what it asks for.
  void step(int retention_days);
  bool is_under_way() const { return thread_.joinable(); }

 private:
  struct Asked {
    Json event;
    std::optional<Result<std::uint64_t>> entry;
  };

  CaptureKeeper(Session& session, custody::CaptureList& list, std::string environment) : session_(session), list_(list), environment_(std::move(environment)) {}
  void begin(int retention_days);
  void answer();
  void end();
  Result<custody::ExpiredCaptures> look(std::chrono::days retention);
  Result<custody::ExpiredCaptures> expire_a_piece(TimePoint limit);
  Result<std::uint64_t> ask(const Json& event);

  Session& session_;
  custody::CaptureList& list_;
  const std::string environment_;
  custody::Stores stores_;
  TimePoint next_{};  // by the monotonic clock
  std::string last_problem_;
  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable changed_;
  Asked* asked_ = nullptr;
  bool is_stopping_ = false;
  std::optional<Result<custody::ExpiredCaptures>> outcome_;
};

// For whom no endpoint of the environment runs: what is over there now goes, or with `Dry` is only counted. Nothing where one runs. Call it
// under the workspace's lock.
enum class CaptureRun { carry_out, dry };
Result<custody::ExpiredCaptures> expire_unattended_captures(Session& session, const custody::Stores& stores, const std::filesystem::path& endpoint_lock, const std::string& environment, CaptureRun run);

}  // namespace redoubt::cli
