// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/stack/stack.h"

#include <fmt/format.h>

#include <algorithm>
#include <regex>
#include <set>
#include <thread>

#include "provider/aws/about.h"

namespace redoubt::provider::aws::stack {
namespace {

constexpr const char* kStackCure = "allow the action on the stack (cloudformation:*ChangeSet, DescribeStack*, DeleteStack) to the role that runs this";

constexpr const char* kPlan = "redoubt-plan";  // the change set's name: one that was left is found again
constexpr int kUnknownLooksMax = 5;

bool is_missing(const Error& error) {
  return is_service_error(error, "ChangeSetNotFound") || (is_service_error(error, "ValidationError") && error.message.find("does not exist") != std::string::npos);
}

bool ends_in(const std::string& status, std::initializer_list<const char*> ends) {
  return std::any_of(ends.begin(), ends.end(), [&](const char* end) { return status.ends_with(end); });
}

Parameters pairs_of(const Json& list, const char* key, const char* value) {
  Parameters out;
  for (const auto& item : list) out.emplace(json_or(item, key, ""), json_or(item, value, ""));
  return out;
}

StackState read_state(const Json& stack) {
  StackState state;
  state.id = json_or(stack, "StackId", "");
  state.status = json_or(stack, "StackStatus", "");
  state.reason = json_or(stack, "StackStatusReason", "");
  state.parameters = pairs_of(json_or(stack, "Parameters", Json::array()), "ParameterKey", "ParameterValue");
  state.outputs = pairs_of(json_or(stack, "Outputs", Json::array()), "OutputKey", "OutputValue");
  const auto guard = stack.find("EnableTerminationProtection");  // a text in XML's protocol
  state.is_protected = guard != stack.end() && (*guard == Json(true) || *guard == Json("true"));
  return state;
}

ResourceChange read_change(const Json& change) {
  const Json resource = json_or(change, "ResourceChange", Json::object());
  ResourceChange out{json_or(resource, "Action", ""), json_or(resource, "LogicalResourceId", ""), json_or(resource, "ResourceType", ""),
                     json_or(resource, "PhysicalResourceId", ""), json_or(resource, "Replacement", ""), {}};
  std::set<std::string> causes;
  for (const auto& detail : json_or(resource, "Details", Json::array())) {
    const Json target = json_or(detail, "Target", Json::object());
    const auto attribute = json_or(target, "Attribute", ""), name = json_or(target, "Name", "");
    causes.insert(name.empty() ? attribute : attribute + "." + name);
  }
  out.causes.assign(causes.begin(), causes.end());
  return out;
}

Json request_of(const std::string& name, const StackInput& input) {
  Json request = {{"StackName", name}, {"TemplateURL", input.template_url}, {"Capabilities", {"CAPABILITY_NAMED_IAM"}}, {"Parameters", Json::array()}, {"Tags", Json::array()}};
  for (const auto& [key, value] : input.parameters) request["Parameters"].push_back({{"ParameterKey", key}, {"ParameterValue", value}});
  for (const auto& [key, value] : input.tags) request["Tags"].push_back({{"Key", key}, {"Value", value}});
  return request;
}

bool says_nothing_changes(const std::string& reason) {
  return reason.find("didn't contain changes") != reason.npos || reason.find("No updates are to be performed") != reason.npos;
}

std::string line_of(const Json& event) {
  const auto reason = json_or(event, "ResourceStatusReason", "");
  return fmt::format("{} {} ({}){}", json_or(event, "ResourceStatus", ""), json_or(event, "LogicalResourceId", ""), json_or(event, "ResourceType", ""), reason.empty() ? "" : ": " + reason);
}

// The resource that failed first; what failed after it was cancelled.
std::string first_failure(const std::vector<Json>& events) {
  for (const auto& event : events) {
    const bool is_cancelled = json_or(event, "ResourceStatusReason", "").find("cancelled") != std::string::npos;
    if (json_or(event, "ResourceStatus", "").ends_with("_FAILED") && !is_cancelled) return line_of(event);
  }
  return {};
}

}  // namespace

bool ResourceChange::loses_data() const {
  static const std::set<std::string_view> kKeepers = {"AWS::S3::Bucket", "AWS::KMS::Key", "AWS::ECR::Repository", "AWS::SecretsManager::Secret", "AWS::Logs::LogGroup"};
  return kKeepers.contains(type) && (action == "Remove" || (action == "Modify" && replacement == "True"));
}

Result<Stack> Stack::create(std::string name, Client& client, const WaitOptions& waits) {
  static const std::regex kName("[A-Za-z][A-Za-z0-9-]{0,127}");
  if (!std::regex_match(name, kName)) return fail(ErrorCode::invalid_argument, "no name of a stack: " + name, "--stack", "letters, digits and '-', beginning with a letter, 128 at most");
  return Stack(std::move(name), client, waits);
}

Result<Json> Stack::call(std::string_view operation, Json input) {
  auto answer = client_->call("cloudformation", operation, input);
  if (!answer) return fail_about("stack " + name_, std::move(answer.error()), kStackCure);
  return answer;
}

Result<std::optional<StackState>> Stack::state() {
  auto answer = client_->call("cloudformation", "DescribeStacks", {{"StackName", name_}});
  if (!answer && is_missing(answer.error())) return std::optional<StackState>();
  if (!answer) return fail_about("stack " + name_, std::move(answer.error()), kStackCure);
  const auto stacks = TRY(json_array(*answer, "Stacks", "cloudformation.DescribeStacks"));
  if (stacks.empty()) return std::optional<StackState>();
  return std::optional<StackState>(read_state(stacks[0]));
}

Result<std::vector<StackResource>> Stack::resources() {
  auto found = client_->call_all("cloudformation", "ListStackResources", {{"StackName", name_}}, "StackResourceSummaries");
  if (!found) return fail_about("stack " + name_, std::move(found.error()), kStackCure);
  std::vector<StackResource> out;
  for (const auto& one : *found) {
    out.push_back({json_or(one, "LogicalResourceId", ""), json_or(one, "PhysicalResourceId", ""), json_or(one, "ResourceType", ""), json_or(one, "ResourceStatus", "")});
  }
  return out;
}

Status Stack::check_can_change(const std::optional<StackState>& now, const std::string& name) {
  if (!now) return {};
  const auto where = "stack " + name;
  if (now->status != "REVIEW_IN_PROGRESS" && ends_in(now->status, {"_IN_PROGRESS"})) return fail(ErrorCode::unavailable, "somebody changes the stack: " + now->status, where, "run it again when that has ended");
  if (now->status == "UPDATE_ROLLBACK_FAILED") {
    return fail(ErrorCode::gate_refused, "an earlier change failed, and so did its way back", where, "aws cloudformation continue-update-rollback --stack-name " + name + ", after what its events name is put right");
  }
  static const std::set<std::string_view> kDead = {"REVIEW_IN_PROGRESS", "CREATE_FAILED", "DELETE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED"};
  if (!kDead.contains(now->status)) return {};
  return fail(ErrorCode::gate_refused, fmt::format("the stack was never made whole: it is {} {}", now->status, now->reason), where, "take it away with 'redoubt aws down', then make it again");
}

Result<Json> Stack::make_change_set(const StackInput& input) {
  Json request = request_of(name_, input);
  request.update({{"ChangeSetName", kPlan}, {"ChangeSetType", "UPDATE"}});
  auto made = call("CreateChangeSet", request);
  if (made || made.error().code != ErrorCode::already_exists) return made;
  TRY(call("DeleteChangeSet", {{"ChangeSetName", kPlan}, {"StackName", name_}}));
  return call("CreateChangeSet", request);
}

Result<std::vector<ResourceChange>> Stack::changes(const StackInput& input) {
  const Json about = {{"ChangeSetName", TRY(json_string(TRY(make_change_set(input)), "Id", "cloudformation.CreateChangeSet"))}, {"StackName", name_}};
  auto found = read_changes(about);
  TRY(call("DeleteChangeSet", about));
  return found;
}

// Waits for what was asked for a moment ago: a reader may not know of it yet.
Result<Json> Stack::wait_known(std::string_view operation, const Json& input, const std::function<Result<bool>(const Json&)>& is_done) {
  for (int look = 1;; ++look) {
    auto answer = client_->wait_until("cloudformation", operation, input, is_done, waits_);
    if (answer || !is_missing(answer.error()) || look == kUnknownLooksMax) return answer;
    std::this_thread::sleep_for(std::chrono::milliseconds(waits_.first_pause_ms));
  }
}

Result<std::vector<ResourceChange>> Stack::read_changes(const Json& change_set) {
  const auto is_done = [](const Json& answer) -> Result<bool> { return ends_in(json_or(answer, "Status", ""), {"_COMPLETE", "FAILED"}); };
  auto made = wait_known("DescribeChangeSet", change_set, is_done);
  if (!made) return fail_about("stack " + name_, std::move(made.error()), kStackCure);
  std::vector<ResourceChange> out;
  if (json_or(*made, "Status", "") == "FAILED") {
    const auto reason = json_or(*made, "StatusReason", "");
    if (says_nothing_changes(reason)) return out;
    return fail(ErrorCode::invalid_argument, "the template can't be carried out: " + reason, "stack " + name_);
  }
  auto changes = client_->call_all("cloudformation", "DescribeChangeSet", change_set, "Changes");
  if (!changes) return fail_about("stack " + name_, std::move(changes.error()), kStackCure);
  for (const auto& change : *changes) out.push_back(read_change(change));
  return out;
}

Result<std::string> Stack::newest_event(const std::string& id) {
  const Json answer = TRY(call("DescribeStackEvents", {{"StackName", id}}));
  const Json events = json_or(answer, "StackEvents", Json::array());
  return events.empty() ? std::string() : json_or(events[0], "EventId", "");
}

Result<std::vector<Json>> Stack::events_after(const std::string& id, const std::string& event) {
  auto all = client_->call_all("cloudformation", "DescribeStackEvents", {{"StackName", id}}, "StackEvents");
  if (!all) return fail_about("stack " + name_, std::move(all.error()), kStackCure);
  std::vector<Json> out;
  for (const auto& one : *all) {  // the newest comes first
    if (!event.empty() && json_or(one, "EventId", "") == event) break;
    out.push_back(one);
  }
  std::reverse(out.begin(), out.end());
  return out;
}

// The end of what was asked for: something has happened since `after_event`, and no more does. A reader may see what was there before.
Result<StackState> Stack::wait_for_end(const std::string& id, const std::string& after_event, const OnStackEvent& on_event) {
  std::set<std::string> told;
  const auto is_done = [&](const Json& answer) -> Result<bool> {
    for (const auto& event : TRY(events_after(id, after_event))) {
      if (told.insert(json_or(event, "EventId", "")).second) on_event(line_of(event));
    }
    const Json stacks = json_or(answer, "Stacks", Json::array());
    return !told.empty() && !stacks.empty() && !json_or(stacks[0], "StackStatus", "").ends_with("_IN_PROGRESS");
  };
  auto answer = wait_known("DescribeStacks", {{"StackName", id}}, is_done);
  if (!answer) return fail_about("stack " + name_, std::move(answer.error()), "it goes on without us; 'redoubt aws doctor' tells how it ends");
  return read_state(json_or(*answer, "Stacks", Json::array())[0]);
}

Result<StackState> Stack::make(const StackInput& input, const OnStackEvent& on_event) {
  Json request = request_of(name_, input);
  request["OnFailure"] = "DELETE";
  return carry_out("CreateStack", std::move(request), "CREATE_COMPLETE", on_event);
}

Result<StackState> Stack::change(const StackInput& input, const OnStackEvent& on_event) {
  return carry_out("UpdateStack", request_of(name_, input), "UPDATE_COMPLETE", on_event);
}

Result<StackState> Stack::carry_out(const char* operation, Json input, const std::string& hoped_for, const OnStackEvent& on_event) {
  input["RetainExceptOnCreate"] = true;  // else what a failed attempt made and retains would stand in the next one's way
  const auto before = TRY(state());
  const auto newest = before ? TRY(newest_event(before->id)) : std::string();
  auto begun = call(operation, std::move(input));
  if (!begun && begun.error().code == ErrorCode::already_exists) begun.error().hint = "it was not there a moment ago: run it again";
  const auto id = TRY(json_string(TRY(std::move(begun)), "StackId", operation));
  auto after = TRY(wait_for_end(id, newest, on_event));
  if (after.status == hoped_for) return after;
  const auto failure = first_failure(TRY(events_after(id, newest)));
  return fail(ErrorCode::unavailable, fmt::format("the stack ended as {}: {}", after.status, failure.empty() ? after.reason : failure), "stack " + name_,
              after.status == "DELETE_COMPLETE" || after.status == "UPDATE_ROLLBACK_COMPLETE" ? "all is as it was before; put right what failed and run it again"
                                                                                               : "put right what failed, 'redoubt aws down', and run it again");
}

Status Stack::remove(const OnStackEvent& on_event) {
  const auto before = TRY(state());
  if (!before) return fail(ErrorCode::not_found, "there is no such stack", "stack " + name_, "run it again where it was there a moment ago");
  const auto newest = TRY(newest_event(before->id));
  TRY(call("DeleteStack", {{"StackName", name_}}));
  const auto after = TRY(wait_for_end(before->id, newest, on_event));
  if (after.status == "DELETE_COMPLETE") return {};
  return fail(ErrorCode::unavailable, fmt::format("the stack ended as {}: {}", after.status, first_failure(TRY(events_after(before->id, newest)))), "stack " + name_, "put right what failed and run it again");
}

Status Stack::protect(bool is_protected) {
  TRY(call("UpdateTerminationProtection", {{"StackName", name_}, {"EnableTerminationProtection", is_protected}}));
  return {};
}

}  // namespace redoubt::provider::aws::stack
