// SPDX-License-Identifier: Apache-2.0
#include "stages/watch/delivery.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <random>

#include "stages/watch/testing_alarms.h"

namespace redoubt::stages::watch {
namespace {

using ::testing::ElementsAre;

// What was told to whom; the calls of a step fail for as long as the test says.
struct Receivers {
  std::vector<std::string> told;
  std::map<std::string, int> failures;  // by step: how many of the next calls fail
  std::mt19937* chance = nullptr;       // then every call may fail

  Status call(const std::string& step, const Json& change) {
    if (failures[step] > 0 && failures[step]-- > 0) return fail(ErrorCode::unavailable, step + " failed");
    if (chance != nullptr && (*chance)() % 3 == 0) return fail(ErrorCode::unavailable, step + " failed");
    told.push_back(step + " " + change.value("id", ""));
    return {};
  }
  DeliverySteps steps() {
    const auto step = [this](const char* name) { return [this, name](const Json& change) { return call(name, change); }; };
    return {step("record"), step("incident"), step("notify")};
  }
};

Json change(const std::string& id, const std::string& state = "ALARM") {
  return {{"id", id}, {"name", "LatencyP99"}, {"state", state}, {"changed", "2026-01-01T00:00:00Z"}, {"value", 5.0}, {"limit", 1.0}};
}

TEST(Deliveries, a_change_is_recorded_then_an_incident_then_notified) {
  Deliveries deliveries;
  Receivers receivers;
  deliveries.add(change("a"));
  EXPECT_TRUE(deliveries.deliver(receivers.steps()));
  EXPECT_THAT(receivers.told, ElementsAre("record a", "incident a", "notify a"));
  EXPECT_EQ(deliveries.pending(), 0u);
  EXPECT_TRUE(deliveries.deliver(receivers.steps()));
  EXPECT_EQ(receivers.told.size(), 3u);
}

TEST(Deliveries, a_failed_step_is_tried_again_and_those_before_it_are_not) {
  for (const char* failing : {"record", "incident", "notify"}) {
    Deliveries deliveries;
    Receivers receivers;
    receivers.failures[failing] = 2;
    deliveries.add(change("a"));
    EXPECT_EQ(deliveries.deliver(receivers.steps()).error().code, ErrorCode::unavailable);
    EXPECT_FALSE(deliveries.deliver(receivers.steps()));
    EXPECT_EQ(deliveries.pending(), 1u);
    EXPECT_TRUE(deliveries.deliver(receivers.steps()));
    EXPECT_THAT(receivers.told, ElementsAre("record a", "incident a", "notify a")) << failing;
  }
}

TEST(Deliveries, a_later_change_waits_for_an_earlier_one) {
  Deliveries deliveries;
  Receivers receivers;
  deliveries.add(change("a"));
  deliveries.add(change("b", "OK"));
  receivers.failures["notify"] = 1;
  EXPECT_FALSE(deliveries.deliver(receivers.steps()));
  // A receiver that is down holds nobody's record or incident.
  EXPECT_THAT(receivers.told, ElementsAre("record a", "record b", "incident a", "incident b"));
  EXPECT_TRUE(deliveries.deliver(receivers.steps()));
  EXPECT_THAT(std::vector(receivers.told.begin() + 4, receivers.told.end()), ElementsAre("notify a", "notify b"));
}

TEST(Deliveries, go_on_where_a_killed_process_was) {
  Json kept;
  Receivers receivers;
  {
    Deliveries deliveries;
    deliveries.add(change("a"));
    receivers.failures["notify"] = 1;
    auto steps = receivers.steps();
    steps.progressed = [&] { kept = deliveries.to_json(); };
    EXPECT_FALSE(deliveries.deliver(steps));
  }
  Deliveries second;
  ASSERT_TRUE(second.restore(kept));
  EXPECT_TRUE(second.deliver(receivers.steps()));
  EXPECT_THAT(receivers.told, ElementsAre("record a", "incident a", "notify a"));
  for (const Json& bad : {Json(), Json::object(), Json::array({1}), Json::array({{{"change", 1}, {"done", 0}}}), Json::array({{{"change", Json::object()}, {"done", 4}}}),
                          Json::array({{{"change", Json::object()}, {"done", -1}}})}) {
    EXPECT_FALSE(second.restore(bad)) << bad;
  }
}

// Whatever fails when, everything comes once, and each receiver hears of the changes in their order.
TEST(Deliveries, all_changes_come_in_order_through_random_failures) {
  for (unsigned seed = 0; seed < 50; ++seed) {
    std::mt19937 chance(seed);
    Deliveries deliveries;
    Receivers receivers;
    receivers.chance = &chance;
    for (int i = 0; i < 20; ++i) {
      deliveries.add(change(std::to_string(i)));
      (void)deliveries.deliver(receivers.steps());
    }
    receivers.chance = nullptr;
    EXPECT_TRUE(deliveries.deliver(receivers.steps()));
    for (const char* step : {"record ", "incident ", "notify "}) {
      std::vector<std::string> got, expected;
      for (const auto& line : receivers.told) {
        if (line.starts_with(step)) got.push_back(line);
      }
      for (int i = 0; i < 20; ++i) expected.push_back(step + std::to_string(i));
      EXPECT_EQ(got, expected) << "seed " << seed;
    }
  }
}

TEST(Deliveries, are_full_before_they_grow_without_end) {
  Deliveries deliveries;
  for (std::size_t i = 0; i < Deliveries::kPendingMax; ++i) {
    ASSERT_FALSE(deliveries.full());
    deliveries.add(change("a"));
  }
  EXPECT_TRUE(deliveries.full());
}

TEST(Incidents, open_with_their_alarm_once_and_close_at_ok) {
  Json incidents = Json::array();
  ASSERT_TRUE(apply_to_incidents(incidents, change("a")));
  ASSERT_TRUE(apply_to_incidents(incidents, change("a")));
  ASSERT_TRUE(apply_to_incidents(incidents, change("b", "INSUFFICIENT_DATA")));
  ASSERT_EQ(incidents.size(), 1u);
  EXPECT_EQ(incidents[0]["state"], "open");
  EXPECT_EQ(incidents[0]["alarm_state"], "INSUFFICIENT_DATA");
  ASSERT_TRUE(apply_to_incidents(incidents, change("c", "OK")));
  EXPECT_EQ(incidents[0]["state"], "closed");
  EXPECT_EQ(incidents[0]["closed"], "2026-01-01T00:00:00Z");
  ASSERT_TRUE(apply_to_incidents(incidents, change("d")));
  EXPECT_EQ(incidents.size(), 2u);
  EXPECT_FALSE(apply_to_incidents(incidents, Json::object()));
}

TEST(Incidents, open_ones_stay_when_the_list_is_full) {
  Json incidents = Json::array();
  ASSERT_TRUE(apply_to_incidents(incidents, change("first")));
  for (int i = 0; i < 1100; ++i) {
    for (const char* state : {"ALARM", "OK"}) {
      Json other = change(fmt::format("{}{}", i, state), state);
      other["name"] = "Other";
      ASSERT_TRUE(apply_to_incidents(incidents, other));
    }
  }
  EXPECT_EQ(incidents.size(), 1000u);
  EXPECT_EQ(incidents[0]["id"], "first");
}

TEST(Alarms, what_cannot_be_measured_is_undecided_and_told) {
  Alarms alarms;
  EXPECT_TRUE(alarms.update({{"CriticalVulnerabilities", 0}}).empty());
  EXPECT_TRUE(alarms.is_in("CriticalVulnerabilities", AlarmState::ok));
  const Measurements failed = {{"CriticalVulnerabilities", std::nullopt}};
  EXPECT_TRUE(alarms.update(failed).empty());
  EXPECT_TRUE(alarms.update(failed).empty());
  const auto undecided = alarms.update(failed);
  ASSERT_EQ(undecided.size(), 1u);
  EXPECT_EQ(undecided[0].alarm.state, AlarmState::insufficient_data);
  EXPECT_TRUE(undecided[0].alarm.open);
  EXPECT_FALSE(undecided[0].alarm.value);
  EXPECT_TRUE(alarms.update(failed).empty());
  const auto well = alarms.update({{"CriticalVulnerabilities", 0}});
  ASSERT_EQ(well.size(), 1u);
  EXPECT_EQ(well[0].alarm.state, AlarmState::ok);
  EXPECT_FALSE(well[0].alarm.open);
}

TEST(Alarms, one_that_was_never_measured_is_told_too) {
  AlarmLimits limits;
  limits.failures_max = 1;
  Alarms alarms(std::nullopt, limits);
  const auto undecided = alarms.update({{"CriticalVulnerabilities", std::nullopt}});
  ASSERT_EQ(undecided.size(), 1u);
  EXPECT_EQ(undecided[0].before, AlarmState::insufficient_data);
}

TEST(Alarms, a_look_that_failed_once_does_not_end_an_alarm) {
  Alarms alarms;
  EXPECT_EQ(alarms.update({{"CriticalVulnerabilities", 2}}).size(), 1u);
  EXPECT_TRUE(alarms.update({{"CriticalVulnerabilities", std::nullopt}}).empty());
  EXPECT_TRUE(alarms.is_in("CriticalVulnerabilities", AlarmState::alarm));
}

}  // namespace
}  // namespace redoubt::stages::watch
