// SPDX-License-Identifier: Apache-2.0
#include "stages/watch/delivery.h"

#include <array>

namespace redoubt::stages::watch {
namespace {

constexpr int kSteps = 3;
constexpr const char* kSaved = "saved deliveries";
constexpr std::size_t kIncidentsMax = 1000;

bool is(const Json& object, const char* key, std::string_view text) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() && found->get_ref<const std::string&>() == text;
}

// The oldest closed one makes place; open ones stay.
void make_place(Json& incidents) {
  if (incidents.size() < kIncidentsMax) return;
  for (auto at = incidents.begin(); at != incidents.end(); ++at) {
    if (is(*at, "state", "open")) continue;
    incidents.erase(at);
    return;
  }
}

}  // namespace

Status Deliveries::deliver(const DeliverySteps& steps) {
  const std::array<const std::function<Status(const Json&)>*, kSteps> bodies = {&steps.record, &steps.incident, &steps.notify};
  Status first;
  for (int step = 0; step < kSteps; ++step) {
    for (auto& pending : pending_) {
      if (pending.done > step) continue;
      if (pending.done < step) break;
      if (auto done = (*bodies[static_cast<std::size_t>(step)])(pending.change); !done) {
        if (first) first = std::move(done);
        break;
      }
      ++pending.done;
      steps.progressed();
    }
  }
  const bool some_ended = !pending_.empty() && pending_.front().done == kSteps;
  while (!pending_.empty() && pending_.front().done == kSteps) pending_.pop_front();
  if (some_ended) steps.progressed();
  return first;
}

Json Deliveries::to_json() const {
  Json list = Json::array();
  for (const auto& pending : pending_) list.push_back({{"change", pending.change}, {"done", pending.done}});
  return list;
}

Status Deliveries::restore(const Json& saved) {
  if (!saved.is_array()) return fail(ErrorCode::invalid_argument, "they are no list", kSaved);
  std::deque<Pending> pending;
  for (const auto& item : saved) {
    const auto done = TRY(json_integer(item, "done", kSaved));
    if (done < 0 || done > kSteps) return fail(ErrorCode::invalid_argument, "a count of steps is out of range", kSaved);
    pending.push_back({TRY(json_object(item, "change", kSaved)), static_cast<int>(done)});
  }
  pending_ = std::move(pending);
  return {};
}

Status apply_to_incidents(Json& incidents, const Json& change) {
  constexpr const char* kWhere = "alarm change";
  const auto id = TRY(json_string(change, "id", kWhere)), alarm = TRY(json_string(change, "name", kWhere)), state = TRY(json_string(change, "state", kWhere)),
             time = TRY(json_string(change, "changed", kWhere));
  if (!incidents.is_array()) return fail(ErrorCode::invalid_argument, "the incidents are no list", kWhere);
  for (auto& incident : incidents) {
    if (is(incident, "id", id)) return {};
    if (!is(incident, "alarm", alarm) || !is(incident, "state", "open")) continue;
    incident["alarm_state"] = state;
    if (state == "OK") {
      incident["state"] = "closed";
      incident["closed"] = time;
    }
    return {};
  }
  if (state == "OK") return {};
  make_place(incidents);
  incidents.push_back({{"id", id}, {"alarm", alarm}, {"alarm_state", state}, {"opened", time}, {"closed", nullptr}, {"state", "open"},
                       {"description", change.value("description", "")}, {"value", change.value("value", Json())}, {"limit", change.value("limit", Json())}});
  return {};
}

}  // namespace redoubt::stages::watch
