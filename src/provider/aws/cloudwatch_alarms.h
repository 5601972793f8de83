// SPDX-License-Identifier: Apache-2.0
//
// Metrics and alarms in CloudWatch, which evaluates them every minute whether or not anybody here still runs: an endpoint whose
// process is gone misses its metrics, and the topic hears of it.
#pragma once

#include <map>
#include <memory>

#include "provider/alarms.h"
#include "provider/aws/api/client.h"

namespace redoubt::provider::aws {

struct CloudWatchAlarmsOptions {
  std::string metric_namespace = "Redoubt";
  std::string name_prefix = {};                        // of the alarms: "redoubt-<workspace>-production-"; no other owner's starts with it
  std::map<std::string, std::string> dimensions = {};  // of every metric: which workspace, which environment
  std::map<std::string, std::string> also_under = {};  // each value is put under these too: what alarms of the account's own look at; empty: not
  std::string topic_arn = {};                          // hears of each change of a state; empty: nobody
  int period_s = 60;                                   // of a metric's values: 10, 30, or a multiple of 60
};

class CloudWatchAlarms final : public Alarms {
 public:
  // invalid_argument for options that CloudWatch never takes. The client and the clock outlive it.
  static Result<std::unique_ptr<CloudWatchAlarms>> create(CloudWatchAlarmsOptions options, Client& client, const Clock& clock);

  // Alarms are written only where they differ: writing one anew could start it over.
  Status define(const std::vector<AlarmRule>& rules) override;
  Status put(const Measurements& measurements) override;
  Result<std::vector<Alarm>> read() override;

 private:
  CloudWatchAlarms(CloudWatchAlarmsOptions options, Client& client, const Clock& clock) : options_(std::move(options)), client_(client), clock_(clock) {}
  Json alarm_of(const AlarmRule& rule) const;
  double value_to_send(const AlarmRule& rule, double value);
  Status miss(const AlarmRule& rule);
  Result<Json> described();
  const CloudWatchAlarmsOptions options_;
  Client& client_;
  const Clock& clock_;
  std::vector<AlarmRule> rules_;  // as last defined here
  struct Seen {
    std::vector<double> values;  // the newest, as many as must be over the limit
    int failures = 0;            // in a row
  };
  std::map<std::string, Seen> seen_;  // of what is measured now and then
};

}  // namespace redoubt::provider::aws
