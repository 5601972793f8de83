// SPDX-License-Identifier: Apache-2.0
//
// Metrics of one endpoint and the alarms over them: each alarm compares one metric with its limit. What cannot be measured is not
// well: an alarm whose metric fails to come is undecided (INSUFFICIENT_DATA). Guarantee: what `put` answered for counts, and a state
// that `read` told stays until a measurement or its absence changes it, in whatever process. Used by one thread.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/json.h"

namespace redoubt::provider {

enum class AlarmState { insufficient_data, ok, alarm };  // as CloudWatch names them
const char* to_string(AlarmState state);
Result<AlarmState> parse_alarm_state(std::string_view text);

enum class MetricUnit { none, count, milliseconds };
enum class Sampling { each_look, now_and_then };  // whether a value is missed when it does not come, or only when measuring it failed

struct AlarmRule {
  std::string name, description;  // [A-Za-z0-9]; the name is its metric's too
  double limit = 0;               // ALARM when the value is greater
  int periods = 1;                // how many values in a row must be over the limit
  int failures_max = 3;           // looks in a row that could not measure it, before it is undecided
  MetricUnit unit = MetricUnit::count;
  Sampling sampling = Sampling::each_look;
};

struct Alarm {
  AlarmRule definition = {};
  AlarmState state = AlarmState::insufficient_data;
  int over = 0;       // values over the limit in a row
  int failures = 0;   // looks in a row that could not measure it
  bool open = false;  // somebody has to look: from ALARM or undecided until OK
  std::optional<double> value = {};  // the newest that is known
  std::string changed = {};          // RFC 3339; empty before the first change

  Json to_json() const;
};
// The saved form of one; invalid_argument. Of its rule it knows name, description and limit.
Result<Alarm> parse_alarm(const Json& saved);

// By alarm name: a value, or nothing where a look could not measure it. A name that is missing was not looked at.
using Measurements = std::map<std::string, std::optional<double>>;

class Alarms {
 public:
  virtual ~Alarms() = default;
  // From now on these rules and no others; an alarm that was there keeps its state. invalid_argument for a name that is empty, twice
  // there or made of other characters, limit_exceeded for more than a hundred.
  virtual Status define(const std::vector<AlarmRule>& rules) = 0;
  // One look. An alarm that was not looked at keeps its state; a name without a rule is left out. A value that is no number is over
  // every limit.
  virtual Status put(const Measurements& measurements) = 0;
  // In the order of the rules, as the last process left them before `define`.
  virtual Result<std::vector<Alarm>> read() = 0;
};

constexpr std::size_t kAlarmsMax = 100;
// What `define` refuses, for every implementation alike.
Status check_rules(const std::vector<AlarmRule>& rules);

}  // namespace redoubt::provider
