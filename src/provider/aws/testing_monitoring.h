// SPDX-License-Identifier: Apache-2.0
//
// For tests: what watches an endpoint, played: Model Monitor's definitions and schedules, EventBridge Scheduler, the metric filters
// of a log group, processing jobs.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "base/json.h"

namespace redoubt::provider::aws {

struct PlayedMonitoring {
  std::map<std::string, Json> definitions, monitoring_schedules, schedules, filters, jobs;  // by name
  std::set<std::string> groups;
  int pending_looks = 1;  // of a monitoring schedule that changes
  std::function<void(Json&)> container = [](Json& job) { job["ProcessingJobStatus"] = "Completed"; };  // when a job is looked at

  bool is_empty() const { return definitions.empty() && monitoring_schedules.empty() && schedules.empty() && filters.empty(); }

  static tl::unexpected<Error> refuse(const std::string& code, ErrorCode ours, const std::string& message) { return fail(ours, code + ": " + message + " (test, request id 1)", "test"); }
  static tl::unexpected<Error> missing(const std::string& what) { return refuse("ResourceNotFound", ErrorCode::not_found, "Could not find " + what); }

  // Nothing for an operation that is none of these.
  std::optional<Result<Json>> play(const std::string& name, const Json& input) {
    if (name.ends_with("JobDefinitions")) return list(name.substr(4, name.size() - 5), input);
    if (name.ends_with("JobDefinition")) return named(definitions, name, input["JobDefinitionName"], input);
    if (name.ends_with("MonitoringSchedule")) return monitoring_schedule(name, input);
    if (name.ends_with("ProcessingJob")) return processing(name, input);
    if (name.ends_with("Schedule")) return named(schedules, name == "GetSchedule" ? "DescribeSchedule" : name, input["Name"], input);
    if (name == "CreateLogGroup" && !groups.insert(input["logGroupName"].get<std::string>()).second) return refuse("ResourceAlreadyExistsException", ErrorCode::already_exists, "it is there");
    if (name == "PutMetricFilter") {
      if (!groups.contains(input["logGroupName"])) return missing("the log group");
      filters[input["filterName"]] = input;
    }
    if (name == "DeleteMetricFilter" && filters.erase(input["filterName"]) == 0) return missing("the filter");
    return std::nullopt;
  }

 private:
  static Result<Json> named(std::map<std::string, Json>& all, const std::string& operation, const std::string& name, const Json& input) {
    if (operation.starts_with("Create")) {
      if (all.contains(name)) return refuse("ConflictException", ErrorCode::already_exists, name + " is there");
      all[name] = input;
      return Json::object();
    }
    if (!all.contains(name)) return missing(name);
    if (operation.starts_with("Describe")) return all[name];
    if (operation.starts_with("Update")) all[name] = input;
    if (operation.starts_with("Delete")) all.erase(name);
    return Json::object();
  }
  Result<Json> list(const std::string& what, const Json& input) {
    Json found = Json::array();
    const std::string type = what.substr(0, what.size() - std::string_view("JobDefinition").size());
    for (const auto& [name, one] : definitions) {
      if (one.contains(type + "AppSpecification") && name.find(input["NameContains"].get<std::string>()) != std::string::npos) found.push_back({{"MonitoringJobDefinitionName", name}});
    }
    return Json{{"JobDefinitionSummaries", found}};
  }
  Result<Json> monitoring_schedule(const std::string& operation, const Json& input) {
    const std::string name = input["MonitoringScheduleName"];
    if (operation != "DescribeMonitoringSchedule") {
      pending_[name] = pending_looks;
      return named(monitoring_schedules, operation, name, input);
    }
    Json shown = TRY(named(monitoring_schedules, operation, name, input));
    shown["MonitoringScheduleStatus"] = pending_[name]-- > 0 ? "Pending" : "Scheduled";
    return shown;
  }
  Result<Json> processing(const std::string& operation, const Json& input) {
    const std::string name = input["ProcessingJobName"];
    if (operation == "StopProcessingJob") jobs[name]["ProcessingJobStatus"] = "Stopped";
    if (operation == "DescribeProcessingJob" && jobs.contains(name)) container(jobs[name]);
    return operation == "StopProcessingJob" ? Result<Json>(Json::object()) : named(jobs, operation, name, input);
  }
  std::map<std::string, int> pending_;
};

}  // namespace redoubt::provider::aws
