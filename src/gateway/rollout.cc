// SPDX-License-Identifier: Apache-2.0
#include "gateway/rollout.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/log.h"
#include "gateway/settings.h"

namespace redoubt::gateway {
namespace {

constexpr std::array<const char*, 3> kKinds = {"blue_green", "canary", "shadow"};
constexpr auto kLook = std::chrono::milliseconds(100);
constexpr std::uint64_t kAnswersMin = 20;  // below them a percentile says little
constexpr std::int64_t kRolloutSecondsMax = 7 * 24 * 3600, kRolloutCountMax = 1'000'000;

}  // namespace

const char* to_string(RolloutKind kind) { return kKinds[static_cast<std::size_t>(kind)]; }

Json RolloutPlan::to_json() const {
  return {{"kind", to_string(kind)}, {"percent", percent}, {"wait_s", wait_s}, {"bake_s", bake_s}, {"errors_max", errors_max}, {"latency_p99_ms_max", latency_p99_ms_max},
          {"guard_hits_max", guard_hits_max}, {"worker_failures_max", worker_failures_max}};
}

Result<RolloutPlan> RolloutPlan::from_json(const Json& json) {
  RolloutPlan plan;
  const auto kind = TRY(json_string(json, "kind", "rollout"));
  const auto found = std::find(kKinds.begin(), kKinds.end(), kind);
  if (found == kKinds.end()) return fail(ErrorCode::invalid_argument, "not a kind of rollout: " + kind, "rollout.kind", "blue_green, canary or shadow");
  plan.kind = static_cast<RolloutKind>(found - kKinds.begin());
  const Json known = plan.to_json();
  for (const auto& [key, value] : json.items())
    if (!known.contains(key)) return fail(ErrorCode::invalid_argument, "a rollout has no such setting", "rollout." + key);
  TRY(read_count(json, "rollout", "percent", plan.percent, 1, 100));
  TRY(read_count(json, "rollout", "wait_s", plan.wait_s, 0, kRolloutSecondsMax));
  TRY(read_count(json, "rollout", "bake_s", plan.bake_s, 0, kRolloutSecondsMax));
  TRY(read_count(json, "rollout", "errors_max", plan.errors_max, 0, kRolloutCountMax));
  TRY(read_count(json, "rollout", "guard_hits_max", plan.guard_hits_max, 0, kRolloutCountMax));
  TRY(read_count(json, "rollout", "worker_failures_max", plan.worker_failures_max, 0, kRolloutCountMax));
  if (json.contains("latency_p99_ms_max")) plan.latency_p99_ms_max = TRY(json_number(json, "latency_p99_ms_max", "rollout"));
  if (!(plan.latency_p99_ms_max >= 0)) return fail(ErrorCode::invalid_argument, "a time is 0 or more", "rollout.latency_p99_ms_max");
  return plan;
}

std::string alarm_text(std::string_view alarm, double value, double limit) { return fmt::format("{}: {} is more than {}", alarm, value, limit); }

std::optional<std::string> alarm_of(const RolloutPlan& plan, const ReleaseMeter::Reading& reading, std::uint64_t worker_failures) {
  const auto told = [](const char* alarm, auto value, auto limit) { return alarm_text(alarm, static_cast<double>(value), static_cast<double>(limit)); };
  if (reading.errors > static_cast<std::uint64_t>(plan.errors_max)) return told("InvocationErrors", reading.errors, plan.errors_max);
  if (worker_failures > static_cast<std::uint64_t>(plan.worker_failures_max)) return told("WorkerFailures", worker_failures, plan.worker_failures_max);
  if (plan.guard_hits_max > 0 && reading.guard_hits > static_cast<std::uint64_t>(plan.guard_hits_max)) return told("GuardHits", reading.guard_hits, plan.guard_hits_max);
  if (plan.latency_p99_ms_max > 0 && reading.answers >= kAnswersMin && reading.latency_p99_ms > plan.latency_p99_ms_max) return told("LatencyP99", reading.latency_p99_ms, plan.latency_p99_ms_max);
  return std::nullopt;
}

Result<std::unique_ptr<Rollout>> Rollout::begin(RolloutPlan plan, Router& router, Release candidate) {
  std::unique_ptr<Rollout> rollout(new Rollout(plan, router));
  const bool is_blue_green = plan.kind == RolloutKind::blue_green;
  TRY(router.begin_trial(std::move(candidate), plan.kind == RolloutKind::shadow ? Trial::shadow : Trial::share, is_blue_green ? 100 : plan.percent));
  rollout->candidate_ = router.candidate();
  rollout->shifted_ = is_blue_green;
  rollout->thread_ = std::thread([raw = rollout.get()] { raw->keep_looking(); });
  return rollout;
}

Rollout::~Rollout() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Rollout::keep_looking() {
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      if (changed_.wait_for(lock, kLook, [this] { return stopping_ || done_; })) return;
    }
    if (const auto alarm = alarm_of(plan_, candidate_->meter->read(), candidate_->pool->state().restarts)) roll_back(*alarm);
  }
}

// The lock is held over the router's switch, so that nobody promotes what is being rolled back.
void Rollout::roll_back(const std::string& reason) {
  const std::lock_guard lock(mutex_);
  if (done_) return;
  done_ = true;
  router_.end_trial();
  reason_ = reason;
  changed_.notify_all();
  spdlog::warn("{}/{} is rolled back: {}", candidate_->name, candidate_->version, reason);
}

std::optional<std::string> Rollout::rolled_back() const {
  const std::lock_guard lock(mutex_);
  return reason_;
}

Rollout::Due Rollout::due() const {
  const std::lock_guard lock(mutex_);
  if (done_) return Due::nothing;
  const auto passed = Steady::now() - since_;
  if (shifted_) return passed >= std::chrono::seconds(plan_.bake_s) ? Due::promote : Due::nothing;
  return passed >= std::chrono::seconds(plan_.wait_s) ? Due::shift : Due::nothing;
}

void Rollout::shift() {
  const std::lock_guard lock(mutex_);
  if (done_ || shifted_) return;
  router_.set_share(100);
  shifted_ = true;
  since_ = Steady::now();
}

Status Rollout::promote() {
  const std::lock_guard lock(mutex_);
  if (done_) return fail(ErrorCode::not_found, "the release was rolled back", candidate_->name + "/" + candidate_->version);
  TRY(router_.promote());
  done_ = true;
  changed_.notify_all();
  return {};
}

Json Rollout::to_json() const {
  const auto reading = candidate_->meter->read();
  const std::lock_guard lock(mutex_);
  const char* step = reason_ ? "rolled_back" : done_ ? "promoted" : shifted_ ? "baking" : "trying";
  Json json = {{"kind", to_string(plan_.kind)}, {"name", candidate_->name}, {"version", candidate_->version}, {"step", step}, {"percent", shifted_ ? 100 : plan_.percent},
               {"step_s", std::chrono::duration_cast<std::chrono::seconds>(Steady::now() - since_).count()},
               {"answers", reading.answers}, {"errors", reading.errors}, {"guard_hits", reading.guard_hits}, {"latency_p99_ms", reading.latency_p99_ms}};
  if (reason_) json["reason"] = *reason_;
  return json;
}

}  // namespace redoubt::gateway
