// SPDX-License-Identifier: Apache-2.0
//
// What running on AWS costs: an estimate before, from list prices, and the account's own books after. Money is in US dollars.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "provider/aws/api/client.h"

namespace redoubt::provider::aws::stack {

// A month of use.
struct Usage {
  std::string training_instance = {}, endpoint_instance = {};  // empty: nothing of the kind in AWS
  double training_hours = 20;
  bool is_spot = true;
  double endpoint_hours = 730, endpoint_instances = 1;
  std::string monitor_instance = {};  // of the runs that watch the endpoint; empty: none
  std::optional<double> monitor_runs = {};  // a month; unset: one an hour
  double monitor_minutes = 5;               // of each
  double object_gigabytes = 50, image_gigabytes = 5, log_gigabytes = 5;
  double key_calls = 100'000, secrets = 2, alarms = 10;
  double interface_endpoints = 11, zones = 2;
};

struct CostLine {
  std::string what, unit;  // "training, ml.m5.2xlarge, spot", "hour"
  double quantity = 0, price = 0;
  double amount() const { return quantity * price; }
};

// Prices of instances by their own names, an hour each; what is not named here is unknown.
struct InstancePrices {
  std::map<std::string, double> training = {}, hosting = {}, processing = {};
  std::string source;  // "AWS Price List, eu-central-1", "rough list prices of us-east-1 (docs/COST.md)"
  std::string as_of = {};  // the day they were looked up, where they are kept ones: "2026-11-01"
};

constexpr std::chrono::hours kPricesAgeMax{180 * 24};  // kept prices that are older may be wrong
// What to say of prices that are old by now; empty where they are not.
std::string warning_of(const InstancePrices& prices, TimePoint now);

// As kept here, for an estimate without an account.
const InstancePrices& kept_prices();
// Asks AWS's price list for the usage's instances in a region; `pricing` speaks to a region that has the price list (us-east-1, eu-central-1,
// ap-south-1). not_found names an instance that has no price there.
Result<InstancePrices> ask_prices(Client& pricing, const std::string& region, const Usage& usage);

// not_found for an instance without a price.
Result<std::vector<CostLine>> estimate(const Usage& usage, const InstancePrices& prices);

struct BookedCost {
  std::string service;
  double amount = 0;
  std::string currency;
};
// What the account booked under the tag redoubt=ENVIRONMENT from the first day of a month ("2026-11") to its end or `today`, by service.
Result<std::vector<BookedCost>> booked_costs(Client& client, const std::string& environment, const std::string& month, TimePoint today);

}  // namespace redoubt::provider::aws::stack
