// SPDX-License-Identifier: Apache-2.0
#include "cli/capture_keeper.h"

#include <algorithm>

#include "base/file.h"
#include "base/log.h"
#include "base/monotonic_clock.h"
#include "cli/compose.h"
#include "pipeline/config.h"
#include "stages/deploy/deployment.h"

namespace redoubt::cli {
namespace {

constexpr auto kCaptureLooks = std::chrono::hours(1);
constexpr auto kCaptureLookAgain = std::chrono::minutes(1);  // after one that failed

// What a process that was killed had announced. Archives are left to the vault's own commands.
Status finish_removals(const custody::Stores& stores, const custody::View& view) {
  const auto& unfinished = view.unfinished();
  const bool is_ours = std::all_of(unfinished.begin(), unfinished.end(), [](const custody::Removal& one) { return one.from == custody::kObjects && one.place.own_key.empty(); });
  if (unfinished.empty() || !is_ours) return {};
  TRY(custody::finish(stores, view));
  return {};
}

}  // namespace

Result<std::unique_ptr<CaptureKeeper>> CaptureKeeper::create(Session& session, custody::CaptureList& list, std::string environment) {
  std::unique_ptr<CaptureKeeper> keeper(new CaptureKeeper(session, list, std::move(environment)));
  auto* objects = &session.providers().first_objects();
  auto* artifacts = TRY(session.providers().artifacts_in(*objects, "", ""));
  auto& stores = keeper->stores_;
  stores.evidence = &session.evidence();
  stores.objects = [objects](const std::string& role) -> Result<provider::ObjectStore*> {
    if (role == custody::kObjects) return objects;
    return fail(ErrorCode::unsupported, "captures lie in no archive", role);
  };
  stores.artifacts = [artifacts](const std::string& role, const custody::Place& place) -> Result<vault::ArtifactStore*> {
    if (role == custody::kObjects && place.own_key.empty()) return artifacts;
    return fail(ErrorCode::unsupported, "captures lie in the workspace's own place", role);
  };
  stores.record = [raw = keeper.get()](const Json& event) { return raw->ask(event); };
  return keeper;
}

CaptureKeeper::~CaptureKeeper() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void CaptureKeeper::step(int retention_days) {
  if (!is_under_way()) {
    if (monotonic_clock().now() >= next_) begin(retention_days);
    return;
  }
  answer();
  end();
}

void CaptureKeeper::begin(int retention_days) {
  thread_ = std::thread([this, retention_days] {
    auto done = look(std::chrono::days(retention_days));
    const std::lock_guard lock(mutex_);
    outcome_ = std::move(done);
  });
}

void CaptureKeeper::answer() {
  {
    const std::lock_guard lock(mutex_);
    if (asked_ == nullptr) return;
    const auto recorded = session_.record_event(custody::kVaultStep, asked_->event);
    const auto found = recorded ? session_.evidence().find(*recorded) : Result<ledger::Evidence>(fail(recorded.error()));
    asked_->entry = found ? Result<std::uint64_t>(found->index) : Result<std::uint64_t>(fail(found.error()));
    asked_ = nullptr;
  }
  changed_.notify_all();
}

void CaptureKeeper::end() {
  {
    const std::lock_guard lock(mutex_);
    if (!outcome_) return;
  }
  thread_.join();
  const auto done = *std::exchange(outcome_, std::nullopt);
  next_ = monotonic_clock().now() + (done ? std::chrono::milliseconds(kCaptureLooks) : std::chrono::milliseconds(kCaptureLookAgain));
  if (done) {
    last_problem_.clear();
    if (done->batches > 0) spdlog::info("captures until {} have expired: {} batches, {} bytes", to_rfc3339(done->until), done->batches, done->bytes);
  } else if (done.error().message != std::exchange(last_problem_, done.error().message)) {
    spdlog::warn("captures can't be looked after yet: {} ({})", done.error().message, done.error().where);
  }
}

// By the look's own thread.
Result<std::uint64_t> CaptureKeeper::ask(const Json& event) {
  Asked asked{event, {}};
  std::unique_lock lock(mutex_);
  asked_ = &asked;
  changed_.wait(lock, [&] { return asked.entry || is_stopping_; });
  asked_ = nullptr;
  if (asked.entry) return std::move(*asked.entry);
  return fail(ErrorCode::unavailable, "the endpoint stops");
}

Result<custody::ExpiredCaptures> CaptureKeeper::look(std::chrono::days retention) {
  TRY(list_.settle());
  custody::ExpiredCaptures all;
  while (true) {
    {
      const std::lock_guard lock(mutex_);
      if (is_stopping_) return all;
    }
    const auto limit = session_.clock().now() - retention;
    const auto due = TRY(list_.stored_until(limit, 1));
    if (due.empty() && TRY(session_.custody()).unfinished().empty()) return all;
    const auto piece = TRY(expire_a_piece(limit));
    all.add(piece);
    if (piece.taken_off == 0) return all;
  }
}

Result<custody::ExpiredCaptures> CaptureKeeper::expire_a_piece(TimePoint limit) {
  const auto lock = TRY(FileLock::try_acquire(session_.workspace().layout().run_lock()));
  const auto view = TRY(session_.custody());
  TRY(custody::check_clock(view, session_.clock().now()));
  TRY(finish_removals(stores_, view));
  return custody::expire_captures(list_, stores_, environment_, limit);
}

Result<custody::ExpiredCaptures> expire_unattended_captures(Session& session, const custody::Stores& stores, const std::filesystem::path& endpoint_lock, const std::string& environment, CaptureRun run) {
  custody::ExpiredCaptures all;
  const auto standing = TRY(stages::deploy::standing_of(session.evidence(), environment));
  if (!standing.current) return all;
  const auto lock = FileLock::try_acquire(endpoint_lock);
  if (!lock) return lock.error().code == ErrorCode::unavailable ? Result<custody::ExpiredCaptures>(all) : fail(lock.error());
  const auto serve = TRY(pipeline::DeployOptions::from_json(standing.current->record.parameters["endpoint"]["serve"]));
  const auto limit = session.clock().now() - std::chrono::days(serve.capture.retention_days);
  custody::CaptureList list(session.notes(), session.store(), session.clock(), environment);
  if (run == CaptureRun::dry) {
    for (const auto& batch : TRY(custody::captured_batches(session.notes(), environment))) {
      if (batch.stored <= limit) all.add({1, 1, batch.records.value_or(0), batch.bytes, batch.stored});
    }
    return all;
  }
  TRY(list.settle());
  for (std::uint64_t taken_off = 1; taken_off > 0;) {
    const auto piece = TRY(custody::expire_captures(list, stores, environment, limit));
    taken_off = piece.taken_off;
    all.add(piece);
  }
  return all;
}

}  // namespace redoubt::cli
