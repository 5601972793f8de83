// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/stack/cost.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <regex>

#include "provider/aws/about.h"

namespace redoubt::provider::aws::stack {
namespace {

// Of what hardly differs between regions; docs/COST.md has the table.
constexpr double kSpotShare = 0.4;  // of the price on demand; what SageMaker charged was between 0.3 and 0.5 of it
constexpr double kObjectGigabyte = 0.023, kImageGigabyte = 0.10, kLogGigabyte = 0.50, kKey = 1.0, kKeyCall = 0.03 / 10'000, kSecret = 0.40, kAlarm = 0.10, kEndpointHour = 0.01;
constexpr double kHours = 730, kKeys = 2;

double number(const Json& object, const char* member) {
  const auto text = json_or(object, member, "0");
  double value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

// {"terms": {"OnDemand": {ANY: {"priceDimensions": {ANY: {"unit": "Hrs", "pricePerUnit": {"USD": "1.408"}}}}}}}
std::optional<double> hourly_price(const Json& product) {
  const Json terms = json_or(json_or(product, "terms", Json::object()), "OnDemand", Json::object());
  for (const auto& [id, term] : terms.items()) {
    const Json dimensions = json_or(term, "priceDimensions", Json::object());
    for (const auto& [name, dimension] : dimensions.items()) {
      const double price = number(json_or(dimension, "pricePerUnit", Json::object()), "USD");
      if (price > 0 && json_or(dimension, "unit", "").starts_with("H")) return price;
    }
  }
  return std::nullopt;
}

Result<double> ask_price(Client& pricing, const std::string& region, const std::string& instance, const char* component) {
  const auto is = [](const char* field, const std::string& value) { return Json{{"Type", "TERM_MATCH"}, {"Field", field}, {"Value", value}}; };
  const Json input = {{"ServiceCode", "AmazonSageMaker"}, {"FormatVersion", "aws_v1"}, {"Filters", {is("regionCode", region), is("instanceName", instance), is("component", component)}}};
  auto products = pricing.call_all("pricing", "GetProducts", input, "PriceList");
  if (!products) return fail_about("price of " + instance, std::move(products.error()), "allow pricing:GetProducts to the role that runs this, or say --kept-prices");
  for (const auto& text : *products) {
    if (!text.is_string()) continue;
    const auto product = parse_json(text.get_ref<const std::string&>(), "pricing.GetProducts", {1 << 20, 32});
    if (const auto price = product ? hourly_price(*product) : std::nullopt) return *price;
  }
  return fail(ErrorCode::not_found, fmt::format("{} has no price for {} in {}", instance, component, region), "AWS Price List", "is it offered there? Or say --kept-prices");
}

std::string next_month(int year, int month) { return month == 12 ? fmt::format("{:04}-01-01", year + 1) : fmt::format("{:04}-{:02}-01", year, month + 1); }

Result<double> price_of(const std::map<std::string, double>& prices, const std::string& instance, const std::string& source) {
  const auto found = prices.find(instance);
  if (found == prices.end()) return fail(ErrorCode::not_found, "no price is known for " + instance, source, "ask AWS for it: leave --kept-prices away");
  return found->second;
}

}  // namespace

const InstancePrices& kept_prices() {
  static const std::map<std::string, double> kHourly = {{"ml.m5.large", 0.115}, {"ml.m5.xlarge", 0.23}, {"ml.m5.2xlarge", 0.461}, {"ml.m5.4xlarge", 0.922}, {"ml.g4dn.xlarge", 0.736}, {"ml.g5.xlarge", 1.408}, {"ml.g5.2xlarge", 1.515}, {"ml.g5.12xlarge", 7.09}, {"ml.p4d.24xlarge", 37.688}};
  static const InstancePrices kPrices = {kHourly, kHourly, kHourly, "rough list prices of us-east-1 (docs/COST.md)", "2026-11-01"};
  return kPrices;
}

std::string warning_of(const InstancePrices& prices, TimePoint now) {
  const auto looked_up = parse_rfc3339(prices.as_of + "T00:00:00Z");
  if (prices.as_of.empty() || !looked_up || now - *looked_up <= kPricesAgeMax) return "";
  return fmt::format("the prices are those of {}, {} days ago: ask AWS for today's (leave --kept-prices away)", prices.as_of, (now - *looked_up) / std::chrono::hours(24));
}

Result<InstancePrices> ask_prices(Client& pricing, const std::string& region, const Usage& usage) {
  InstancePrices prices;
  prices.source = "AWS Price List, " + region;
  if (!usage.training_instance.empty()) prices.training[usage.training_instance] = TRY(ask_price(pricing, region, usage.training_instance, "Training"));
  if (!usage.endpoint_instance.empty()) prices.hosting[usage.endpoint_instance] = TRY(ask_price(pricing, region, usage.endpoint_instance, "Hosting"));
  if (!usage.monitor_instance.empty()) prices.processing[usage.monitor_instance] = TRY(ask_price(pricing, region, usage.monitor_instance, "Processing"));
  return prices;
}

Result<std::vector<CostLine>> estimate(const Usage& usage, const InstancePrices& prices) {
  std::vector<CostLine> lines;
  if (!usage.training_instance.empty()) {
    const double price = TRY(price_of(prices.training, usage.training_instance, prices.source));
    lines.push_back({fmt::format("training, {}{}", usage.training_instance, usage.is_spot ? ", spot (about)" : ""), "hour", usage.training_hours, usage.is_spot ? price * kSpotShare : price});
  }
  if (!usage.endpoint_instance.empty()) {
    const double price = TRY(price_of(prices.hosting, usage.endpoint_instance, prices.source));
    lines.push_back({fmt::format("endpoint, {} x {}", usage.endpoint_instances, usage.endpoint_instance), "hour", usage.endpoint_hours * usage.endpoint_instances, price});
  }
  if (!usage.monitor_instance.empty()) {
    const double price = TRY(price_of(prices.processing, usage.monitor_instance, prices.source));
    const double runs = usage.monitor_runs.value_or(kHours);
    lines.push_back({fmt::format("monitor, {:g} runs of {:g} minutes, {}", runs, usage.monitor_minutes, usage.monitor_instance), "hour", runs * usage.monitor_minutes / 60, price});
  }
  lines.push_back({"interface endpoints of the network", "hour", usage.interface_endpoints * usage.zones * kHours, kEndpointHour});
  lines.push_back({"objects in S3", "GB", usage.object_gigabytes, kObjectGigabyte});
  lines.push_back({"images in ECR", "GB", usage.image_gigabytes, kImageGigabyte});
  lines.push_back({"logs in CloudWatch", "GB", usage.log_gigabytes, kLogGigabyte});
  lines.push_back({"alarms in CloudWatch", "alarm", usage.alarms, kAlarm});
  lines.push_back({"keys in KMS", "key", kKeys, kKey});
  lines.push_back({"calls of KMS", "call", usage.key_calls, kKeyCall});
  lines.push_back({"secrets in Secrets Manager", "secret", usage.secrets, kSecret});
  return lines;
}

Result<std::vector<BookedCost>> booked_costs(Client& client, const std::string& environment, const std::string& month, TimePoint today) {
  static const std::regex kMonth("([0-9]{4})-(0[1-9]|1[0-2])");
  std::smatch parts;
  if (!std::regex_match(month, parts, kMonth)) return fail(ErrorCode::invalid_argument, "not a month: " + month, "--month", "write it as 2026-11");
  const std::string tomorrow = to_rfc3339(today + std::chrono::hours(24)).substr(0, 10), start = month + "-01";
  const std::string end = std::min(next_month(std::stoi(parts[1]), std::stoi(parts[2])), tomorrow);  // the end's own day does not count
  if (start >= end) return fail(ErrorCode::invalid_argument, "the month has not begun: " + month, "--month");
  const Json input = {{"TimePeriod", {{"Start", start}, {"End", end}}}, {"Granularity", "MONTHLY"}, {"Metrics", {"UnblendedCost"}},
                      {"Filter", {{"Tags", {{"Key", "redoubt"}, {"Values", {environment}}}}}}, {"GroupBy", Json::array({{{"Type", "DIMENSION"}, {"Key", "SERVICE"}}})}};
  auto results = client.call_all("ce", "GetCostAndUsage", input, "ResultsByTime");
  if (!results) return fail_about("the account's costs", std::move(results.error()), "allow ce:GetCostAndUsage to the role that runs this, and activate the cost allocation tag 'redoubt' in the billing console");
  std::vector<BookedCost> out;
  for (const auto& period : *results) {
    for (const auto& group : json_or(period, "Groups", Json::array())) {
      const Json keys = json_or(group, "Keys", Json::array());
      const Json cost = json_or(json_or(group, "Metrics", Json::object()), "UnblendedCost", Json::object());
      out.push_back({keys.empty() || !keys[0].is_string() ? "" : keys[0].get<std::string>(), number(cost, "Amount"), json_or(cost, "Unit", "USD")});
    }
  }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.amount > b.amount; });
  return out;
}

}  // namespace redoubt::provider::aws::stack
