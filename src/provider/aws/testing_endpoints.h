// SPDX-License-Identifier: Apache-2.0
//
// For tests: a client behind which SageMaker's endpoints, their scaling and Route 53 are played. A change takes some looks; its end
// is the test's. Readers may see what was there before for a while, and any operation can be refused or its answer lost.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <set>

#include "provider/aws/api/client.h"
#include "provider/aws/testing_monitoring.h"
#include "provider/endpoint_host.h"

namespace redoubt::provider::aws {

// A version of one release; what it is made of and watched by is the test's to add.
inline EndpointSpec testing_spec(const std::string& version, char release) {
  EndpointSpec spec;
  spec.environment = "production";
  spec.model = "assistant";
  spec.version = version;
  spec.deployment = "sha256:" + std::string(64, static_cast<char>(release + 1));
  spec.image = "sha256:" + std::string(64, '1');
  spec.release = "sha256:" + std::string(64, release);
  return spec;
}

class PlayedEndpoints final : public Client {
 public:
  struct Endpoint {
    Json shown, next;          // DescribeEndpoint's answer now, and once the change is over
    int looks_left = 0, stale_looks = 0;
    std::string changing = {};  // the status until then
    std::map<std::string, std::string> tags;
  };
  std::map<std::string, Json> models, configs, alarms;
  std::map<std::string, Endpoint> endpoints;
  std::set<std::string> scaled;
  std::map<std::string, Json> records;
  PlayedMonitoring monitoring;
  std::vector<std::string> calls;
  std::map<std::string, Json> last;                  // operation -> its newest input
  std::map<std::string, std::deque<Error>> refuses;  // operation -> what its next calls answer
  std::map<std::string, int> lost;                   // operation -> how many of the next answers get lost after it was done
  int looks = 2, stale_looks = 0;
  std::function<void(Endpoint&)> outcome = [](Endpoint&) {};  // may make `next` another end

  int count(const std::string& operation) const { return static_cast<int>(std::count(calls.begin(), calls.end(), operation)); }
  static Error refusal(const std::string& code, ErrorCode ours, const std::string& message) { return {ours, code + ": " + message + " (test, request id 1)", "test", {}}; }

  Result<Json> call(std::string_view, std::string_view operation, const Json& input) override {
    const std::string name(operation);
    calls.push_back(name);
    last[name] = input;
    if (auto& waiting = refuses[name]; !waiting.empty()) {
      const Error error = waiting.front();
      waiting.pop_front();
      return fail(error);
    }
    auto answer = play(name, input);
    if (answer && lost[name] > 0 && lost[name]-- > 0) return fail(ErrorCode::unavailable, "the connection was reset");
    return answer;
  }
  Result<Json> call_all(std::string_view service, std::string_view operation, const Json& input, std::string_view items) override {
    return TRY(call(service, operation, input)).at(std::string(items));
  }
  Result<Json> wait_until(std::string_view service, std::string_view operation, const Json& input, const std::function<Result<bool>(const Json&)>& is_done, const WaitOptions& options) override {
    for (int look = 0; look < 50; ++look) {
      Json answer = TRY(call(service, operation, input));
      if (TRY(is_done(answer))) return answer;
    }
    return fail(ErrorCode::limit_exceeded, "not done after " + std::to_string(options.total_s_max) + " s", std::string(operation));
  }
  Result<RestAnswer> send(const RestRequest&, Sink&) override { return fail(ErrorCode::unsupported, "no streams in this test"); }
  Status act_as(const std::string&) override { return {}; }
  void give_up() override {}
  const std::string& region() const override { return region_; }
  const std::string& partition() const override { return partition_; }
  Result<std::string> account() override { return std::string("123456789012"); }

 private:
  static tl::unexpected<Error> missing(const std::string& what) { return fail(refusal("ValidationException", ErrorCode::invalid_argument, "Could not find " + what)); }
  static Result<Json> named(std::map<std::string, Json>& all, const std::string& name, const std::string& verb, const Json& input) {
    if (verb == "Create") {
      if (all.contains(name)) return fail(refusal("ValidationException", ErrorCode::invalid_argument, "Cannot create already existing " + name));
      all[name] = input;
      return Json::object();
    }
    if (!all.contains(name)) return missing(name);
    if (verb == "Describe") return all[name];
    all.erase(name);
    return Json::object();
  }
  Result<Json> play(const std::string& name, const Json& input) {
    if (auto answer = monitoring.play(name, input)) return *answer;
    for (const char* verb : {"Create", "Describe", "Delete"}) {
      if (name == verb + std::string("Model")) return named(models, input["ModelName"], verb, input);
      if (name == verb + std::string("EndpointConfig")) return named(configs, input["EndpointConfigName"], verb, input);
    }
    if (name == "ListResourceRecordSets") {
      Json sets = Json::array();
      for (const auto& [key, set] : records) sets.push_back(set);
      return Json{{"ResourceRecordSets", sets}};
    }
    if (name == "PutMetricAlarm") alarms[input["AlarmName"]] = input;
    if (name == "DeleteAlarms") {
      for (const auto& one : input["AlarmNames"]) alarms.erase(one.get<std::string>());
    }
    if (name.ends_with("Endpoint")) return endpoint(name, input["EndpointName"], input);
    if (name == "AddTags") add_tags(endpoints.at(input["ResourceArn"].get<std::string>().substr(input["ResourceArn"].get<std::string>().find('/') + 1)).tags, input);
    if (name == "DescribeScalableTargets") return Json{{"ScalableTargets", scaled.contains(input["ResourceIds"][0]) ? Json::array({input}) : Json::array()}};
    if (name == "RegisterScalableTarget") scaled.insert(input["ResourceId"].get<std::string>());
    if (name == "DeregisterScalableTarget") scaled.erase(input["ResourceId"].get<std::string>());
    if (name == "ChangeResourceRecordSets") return record(input["ChangeBatch"]["Changes"][0]);
    return Json::object();
  }
  Result<Json> record(const Json& change) {
    const auto key = change["ResourceRecordSet"]["SetIdentifier"].get<std::string>();
    if (change["Action"] == "UPSERT") {
      records[key] = change["ResourceRecordSet"];
    } else if (records.erase(key) == 0) {
      return fail(refusal("InvalidChangeBatch", ErrorCode::invalid_argument, "it was not found"));
    }
    return Json::object();
  }
  static void add_tags(std::map<std::string, std::string>& tags, const Json& input) {
    for (const auto& one : input["Tags"]) tags[one["Key"]] = one["Value"];
  }
  Result<Json> endpoint(const std::string& name, const std::string& of, const Json& input) {
    const auto found = endpoints.find(of);
    if (name == "CreateEndpoint") {
      if (found != endpoints.end()) return fail(refusal("ValidationException", ErrorCode::invalid_argument, "Cannot create already existing endpoint"));
      add_tags(endpoints[of].tags, input);
      return begin(endpoints[of], of, input, "Creating");
    }
    if (found == endpoints.end()) return missing("endpoint " + of);
    if (name == "DescribeEndpoint") return look(found->second, of);
    if (found->second.looks_left > 0) return fail(refusal("ValidationException", ErrorCode::invalid_argument, "Cannot change in-progress endpoint"));
    if (name == "UpdateEndpoint") return begin(found->second, of, input, "Updating");
    found->second.shown["EndpointStatus"] = "Deleting";
    found->second.next = Json();
    found->second.looks_left = looks;
    return Json::object();
  }
  Result<Json> begin(Endpoint& one, const std::string& name, const Json& input, const char* status) {
    if (!configs.contains(input["EndpointConfigName"])) return missing("config");
    const Json before = one.shown;
    one.next = {{"EndpointName", name}, {"EndpointArn", "arn:aws:sagemaker:eu-central-1:123456789012:endpoint/" + name}, {"EndpointStatus", "InService"},
                {"EndpointConfigName", input["EndpointConfigName"]}, {"CreationTime", 1'700'000'000.0}, {"LastModifiedTime", ++time_}};
    one.shown = before.is_null() ? one.next : before;
    one.changing = status;
    one.looks_left = looks;
    one.stale_looks = before.is_null() ? 0 : stale_looks;
    outcome(one);
    return Json{{"EndpointArn", one.shown["EndpointArn"]}};
  }
  Result<Json> look(Endpoint& one, const std::string& name) {
    if (one.looks_left == 0) return one.shown;
    if (one.stale_looks > 0) return --one.stale_looks, one.shown;
    if (--one.looks_left > 0) {
      Json shown = one.shown;
      shown["EndpointStatus"] = one.next.is_null() ? "Deleting" : one.changing;
      return shown;
    }
    if (!one.next.is_null()) return one.shown = one.next;
    endpoints.erase(name);
    return missing("endpoint " + name);
  }
  double time_ = 1'700'000'000;
  std::string region_ = "eu-central-1", partition_ = "aws";
};

}  // namespace redoubt::provider::aws
