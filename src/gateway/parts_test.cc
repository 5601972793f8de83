// SPDX-License-Identifier: Apache-2.0
//
// Keys, limits, metrics and the capture, each by itself.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <thread>

#include "crypto/hash.h"
#include "gateway/api_key.h"
#include "gateway/capture.h"
#include "gateway/completion.h"
#include "gateway/limits.h"
#include "gateway/metrics.h"
#include "gateway/side_thread.h"
#include "http/exchange.h"

namespace redoubt::gateway {
namespace {

using namespace std::chrono_literals;

std::string text_of_key(const Secret& key) { return to_text(key.reveal(SecretAccess::for_user())); }

ApiKeyInfo named(const std::string& name) {
  ApiKeyInfo info;
  info.name = name;
  return info;
}

TEST(ApiKeysTest, a_key_works_after_a_restart_and_is_never_stored) {
  FakeClock clock;
  std::string stored;
  ApiKeyStorage storage{[&] { return stored; },
                        [&](const std::string& json) {
                          stored = json;
                          return Status();
                        }};
  auto [info, key] = ApiKeys::open(storage, clock).value()->create(named("a")).value();
  auto text = text_of_key(key);
  EXPECT_TRUE(text.starts_with("rdt_" + info.id + "_"));
  EXPECT_EQ(stored.find(text.substr(17)), std::string::npos);
  EXPECT_NE(stored.find(crypto::sha256(text).hex()), std::string::npos);
  auto again = ApiKeys::open(storage, clock).value();
  EXPECT_EQ(again->authenticate(text)->name, "a");
  ASSERT_TRUE(again->revoke(info.id));
  EXPECT_EQ(again->authenticate(text).error().code, ErrorCode::permission_denied);
  EXPECT_EQ(again->revoke("000000000000").error().code, ErrorCode::not_found);
}

TEST(ApiKeysTest, a_key_and_those_rotated_from_it_have_one_account) {
  FakeClock clock;
  std::string stored;
  const ApiKeyStorage storage{[&] { return stored; }, [&](const std::string& json) { return stored = json, Status(); }};
  auto keys = ApiKeys::open(storage, clock).value();
  auto wanted = named("a");
  wanted.requests_per_minute = 2;
  const auto first = keys->create(wanted).value().first;
  const auto second = keys->rotate(first.id, 1h).value().first;
  const auto third = keys->rotate(second.id, 1h).value();
  EXPECT_EQ(third.first.account(), first.id);
  const auto again = ApiKeys::open(storage, clock).value();
  const auto known = again->authenticate(text_of_key(third.second)).value();
  EXPECT_EQ(known.account(), first.id);
  EXPECT_EQ(known.payer(), first.id);
  KeyLimits limits(clock);
  EXPECT_TRUE(limits.admit(first));
  EXPECT_TRUE(limits.admit(second));
  EXPECT_FALSE(limits.admit(known));
}

TEST(ApiKeysTest, a_key_that_cannot_be_stored_does_not_work) {
  FakeClock clock;
  auto keys = ApiKeys::open({[] { return std::string(); },
                             [](const std::string&) -> Status { return fail(ErrorCode::unavailable, "full"); }},
                            clock)
                  .value();
  EXPECT_FALSE(keys->create(named("a")));
  EXPECT_TRUE(keys->list().empty());
}

TEST(ApiKeysTest, stored_keys_that_are_damaged_are_refused) {
  FakeClock clock;
  for (auto* bad : {"x", "{}", R"({"version":2,"keys":[]})", R"({"version":1,"keys":[{}]})"})
    EXPECT_FALSE(ApiKeys::open({[bad] { return std::string(bad); }, {}}, clock)) << bad;
}

TEST(LockoutTest, memory_stays_bounded_and_windows_end) {
  FakeClock clock;
  Lockout lockout(clock, {.failures_max = 2, .window_s = 10, .lock_s = 10, .sources_max = 3});
  for (int i = 0; i < 100; ++i) lockout.note_failure("source " + std::to_string(i));
  lockout.note_failure("a");
  clock.advance(11s);
  lockout.note_failure("a");
  EXPECT_EQ(lockout.locked_s("a"), 0);
  lockout.note_failure("a");
  EXPECT_EQ(lockout.locked_s("a"), 10);
}

TEST(LockoutTest, keys_that_were_used_lately_are_known_however_many_came_before) {
  FakeClock clock;
  Lockout lockout(clock);
  for (int i = 0; i < 1000; ++i) {
    lockout.note_success("proxy", "key " + std::to_string(i));
    lockout.note_success("proxy", "key 0");
    clock.advance(1s);
  }
  EXPECT_TRUE(lockout.knows("proxy", "key 999"));
  EXPECT_TRUE(lockout.knows("proxy", "key 800"));
  EXPECT_TRUE(lockout.knows("proxy", "key 0"));
  EXPECT_FALSE(lockout.knows("proxy", "key 1"));
}

TEST(KeyLimitsTest, a_place_is_free_again_when_the_admission_goes) {
  FakeClock clock;
  KeyLimits limits(clock);
  auto info = named("a");
  info.concurrent_requests = 1;
  auto first = limits.admit(info);
  ASSERT_TRUE(first);
  EXPECT_FALSE(limits.admit(info));
  first->reset();
  EXPECT_TRUE(limits.admit(info));
}

TEST(CompletionTest, who_has_left_is_refused_nothing) {
  FakeClock clock;
  GatewayMetrics metrics(clock);
  const auto exchange = std::make_shared<http::detail::Exchange>(1, http::detail::Bell::create().value(), 1024);
  const auto completion = std::make_shared<Completion>(Completion::Context{{}, "/v1/completions", false, std::nullopt, "", {}, metrics, clock, clock, nullptr}, http::Responder(exchange));
  completion->client_left();
  completion->refuse({ErrorCode::limit_exceeded, "the queue of requests is full", "engine worker"}, 1);
  EXPECT_EQ(metrics.snapshot().throttled_per_minute, 0u);
  EXPECT_NE(metrics.prometheus({}).find("status=\"499\"} 1\n"), std::string::npos);
  EXPECT_EQ(metrics.prometheus({}).find("status=\"429\""), std::string::npos);
}

TEST(SideThreadTest, one_payers_flood_does_not_keep_another_waiting) {
  std::promise<void> begun, goes_on;
  std::string looked_at, gave_way;
  {
    SideThread requests(3);
    const auto put = [&](const std::string& payer) { return requests.put(payer, [&, payer] { looked_at += payer; }, [&, payer] { gave_way += payer; }); };
    requests.put("a", [&] { begun.set_value(), goes_on.get_future().wait(); }, [] {});
    begun.get_future().wait();
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(put("a"));
    EXPECT_FALSE(put("a"));
    EXPECT_TRUE(put("b"));
    goes_on.set_value();
  }
  EXPECT_EQ(looked_at, "baa");
  EXPECT_EQ(gave_way, "a");
}

TEST(MetricsTest, the_window_forgets_and_percentiles_are_nearest_rank) {
  FakeClock clock;
  GatewayMetrics metrics(clock);
  for (int i = 1; i <= 100; ++i) metrics.add_generation(1, 1, 0, i, i / 10.0);
  metrics.add(GatewayMetrics::Count::unauthorized);
  auto now = metrics.snapshot();
  EXPECT_DOUBLE_EQ(now.latency_p50_ms, 50);
  EXPECT_DOUBLE_EQ(now.latency_p99_ms, 99);
  EXPECT_EQ(now.unauthorized_per_minute, 1u);
  clock.advance(60s);
  EXPECT_EQ(metrics.snapshot().unauthorized_per_minute, 0u);
  EXPECT_EQ(metrics.snapshot().latency_samples, 100u);
  clock.advance(5min);
  EXPECT_EQ(metrics.snapshot().latency_samples, 0u);
  EXPECT_NE(metrics.prometheus({}).find("redoubt_unauthorized_total 1\n"), std::string::npos);
}

TEST(CaptureTest, lines_are_stored_in_order_and_a_failed_batch_is_kept) {
  std::string stored;
  std::atomic<bool> broken = true;
  auto capture = BatchedCapture::create([&](ByteView lines) -> Status {
    if (broken) return fail(ErrorCode::unavailable, "disk full");
    stored += text_of(lines);
    return {};
  });
  EXPECT_TRUE(capture->record({"one", TimePoint{}, "m", "{}", "{}"}));
  EXPECT_FALSE(capture->flush());
  EXPECT_TRUE(capture->record({"two", TimePoint{}, "m", "{}", "{}"}));
  broken = false;
  EXPECT_TRUE(capture->flush());
  EXPECT_LT(stored.find("\"one\""), stored.find("\"two\""));
  EXPECT_EQ(std::count(stored.begin(), stored.end(), '\n'), 2);
}

TEST(CaptureTest, what_does_not_fit_is_dropped_and_counted) {
  auto capture = BatchedCapture::create([](ByteView) -> Status { return fail(ErrorCode::unavailable, "disk full"); },
                                        {.queue_bytes_max = 1000});
  EXPECT_FALSE(capture->record({"big", TimePoint{}, "m", std::string(2000, 'x'), "{}"}));
  EXPECT_EQ(capture->dropped(), 1u);
}

TEST(CaptureTest, who_is_asked_all_the_time_is_stored_in_few_batches) {
  constexpr int kBatchMs = 300;
  std::atomic<int> batches = 0;
  auto capture = BatchedCapture::create([&](ByteView) -> Status { return ++batches, Status(); }, {.gather_ms = 10, .batch_ms = kBatchMs});
  const auto begun = std::chrono::steady_clock::now();
  while (batches < 2) {
    capture->record({"one", TimePoint{}, "m", "{}", "{}"});
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_GE(std::chrono::steady_clock::now() - begun, std::chrono::milliseconds(kBatchMs));  // the first was stored soon
}

TEST(CaptureTest, the_rest_is_stored_when_it_ends) {
  std::string stored;
  auto capture = BatchedCapture::create([&](ByteView lines) -> Status {
    stored += text_of(lines);
    return {};
  });
  capture->record({"last", TimePoint{}, "m", "{}", "{}"});
  capture.reset();
  EXPECT_NE(stored.find("\"last\""), std::string::npos);
}

}  // namespace
}  // namespace redoubt::gateway
