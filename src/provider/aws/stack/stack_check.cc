// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/stack/stack_check.h"

#include <fmt/format.h>

#include <algorithm>

#include "provider/aws/stack/live_resources.h"
#include "provider/secret_store.h"

namespace redoubt::provider::aws::stack {
namespace {

using Findings = std::vector<std::pair<Fault, std::string>>;

// An id and the ARN that ends in it are the same thing, an alias and its key are not told apart here.
bool is_same_text(const std::string& wanted, const std::string& live) {
  if (wanted == live) return true;
  const auto& longer = wanted.size() > live.size() ? wanted : live;
  const auto& shorter = wanted.size() > live.size() ? live : wanted;
  if (shorter.empty() || !longer.starts_with("arn:")) return false;
  return longer.ends_with("/" + shorter) || longer.ends_with(":" + shorter) || longer == shorter + ":*" || shorter == longer + ":*" || longer.ends_with(":" + shorter + ":*");
}

// Null is what the service alone knows.
bool is_same(const Json& wanted, const Json& live) {
  if (wanted.is_null()) return true;
  if (wanted.is_number() && live.is_number()) return wanted.get<double>() == live.get<double>();
  if (wanted.is_string() && live.is_string()) return is_same_text(wanted.get<std::string>(), live.get<std::string>());
  if (wanted.is_string() != live.is_string()) {  // parameters are texts, numbers and booleans among them
    const auto text = [](const Json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); };
    return !wanted.is_structured() && !live.is_structured() && text(wanted) == text(live);
  }
  if (wanted.is_object() && live.is_object()) {
    return std::all_of(live.items().begin(), live.items().end(), [&](const auto& item) {
      const auto found = wanted.find(item.key());
      return found == wanted.end() || is_same(*found, item.value());
    });
  }
  if (wanted.is_array() && live.is_array()) {
    const auto holds = [](const Json& list, const Json& one, bool list_is_wanted) {
      return std::any_of(list.begin(), list.end(), [&](const Json& other) { return list_is_wanted ? is_same(other, one) : is_same(one, other); });
    };
    return std::all_of(wanted.begin(), wanted.end(), [&](const Json& one) { return holds(live, one, false); }) &&
           std::all_of(live.begin(), live.end(), [&](const Json& one) { return holds(wanted, one, true); });
  }
  return wanted == live;
}

Json as_list(const Json& value) { return value.is_array() ? value : Json::array({value}); }

Json statements_of(const Json& document) { return document.is_object() && document.contains("Statement") ? as_list(document["Statement"]) : Json::array(); }

bool is_same_statement(const Json& wanted, const Json& live) {
  for (const char* member : {"Action", "NotAction", "Resource", "NotResource", "Condition", "Effect", "Principal", "NotPrincipal"}) {
    if (wanted.contains(member) != live.contains(member)) return false;
    if (!wanted.contains(member)) continue;
    const bool is_list = !wanted[member].is_object() && std::string_view(member) != "Effect";
    if (!(is_list ? is_same(as_list(wanted[member]), as_list(live[member])) : is_same(wanted[member], live[member]))) return false;
    if (wanted[member].is_object() && live[member].is_object() && wanted[member].size() != live[member].size()) return false;
  }
  return true;
}

std::string words_of(const Json& value) {
  std::string out;
  for (const auto& one : as_list(value)) out += (out.empty() ? "" : ", ") + (one.is_string() ? one.get<std::string>() : one.dump());
  return out;
}

std::string gist_of(const Json& statement) {
  const char* action = statement.contains("NotAction") ? "NotAction" : "Action";
  const auto what = fmt::format("{}{}", action[0] == 'N' ? "all but " : "", words_of(json_or(statement, action, Json(nullptr))));
  return fmt::format("{} on {}", what, statement.contains("Resource") ? words_of(statement["Resource"]) : "itself").substr(0, 300);
}

// More that is allowed and less that is forbidden is open; the other way round something is missing.
void compare_documents(const Json& wanted, const Json& live, const std::string& name, Findings& found) {
  const Json expected = statements_of(wanted), present = statements_of(live);
  const auto holds = [](const Json& list, const auto& is_it) { return std::any_of(list.begin(), list.end(), is_it); };
  for (const auto& statement : present) {
    if (holds(expected, [&](const Json& one) { return is_same_statement(one, statement); })) continue;
    const bool allows = json_or(statement, "Effect", "") == "Allow";
    found.emplace_back(allows ? Fault::too_open : Fault::differs, fmt::format("{}: {} what the template does not: {}", name, allows ? "allows" : "forbids", gist_of(statement)));
  }
  for (const auto& statement : expected) {
    if (holds(present, [&](const Json& one) { return is_same_statement(statement, one); })) continue;
    const bool forbids = json_or(statement, "Effect", "") == "Deny";
    found.emplace_back(forbids ? Fault::too_open : Fault::missing, fmt::format("{}: no longer {} {}", name, forbids ? "forbids" : "allows", gist_of(statement)));
  }
}

void compare_inline_policies(const Json& wanted, const Json& live, Findings& found) {
  const auto document_of = [](const Json& list, const std::string& name) {
    for (const auto& one : list) {
      if (json_or(one, "PolicyName", "") == name) return json_or(one, "PolicyDocument", Json::object());
    }
    return Json::object();
  };
  for (const auto& policy : live) {
    const auto name = json_or(policy, "PolicyName", "");
    compare_documents(document_of(wanted, name), json_or(policy, "PolicyDocument", Json::object()), "policy " + name, found);
  }
  for (const auto& policy : wanted) {
    const auto name = json_or(policy, "PolicyName", "");
    if (document_of(live, name).empty()) found.emplace_back(Fault::missing, "policy " + name + " is gone");
  }
}

void compare_attached(const Json& wanted, const Json& live, Findings& found) {
  const auto holds = [](const Json& list, const Json& one) { return std::any_of(list.begin(), list.end(), [&](const Json& other) { return is_same(other, one); }); };
  for (const auto& arn : live) {
    if (!holds(wanted, arn)) found.emplace_back(Fault::too_open, "attached, and not in the template: " + words_of(arn));
  }
  for (const auto& arn : wanted) {
    if (arn.is_string() && !holds(live, arn)) found.emplace_back(Fault::missing, "no longer attached: " + words_of(arn));
  }
}

// Whether a difference leaves something open rather than merely different.
bool opens(const std::string& property) {
  for (const char* one : {"BucketEncryption", "PublicAccessBlockConfiguration", "ImageTagMutability", "EncryptionConfiguration", "KmsKeyId", "KMSKeyId", "KmsMasterKeyId", "PermissionsBoundary"}) {
    if (property == one) return true;
  }
  return false;
}

void compare(const Json& wanted, const LiveResource& live, Findings& found) {
  for (const auto& what : live.too_open) found.emplace_back(Fault::too_open, what);
  for (const auto& [name, value] : live.properties.items()) {
    const Json expected = wanted.contains(name) ? wanted[name] : Json();
    const bool is_document = name == "PolicyDocument" || name == "KeyPolicy" || name == "AssumeRolePolicyDocument";
    if (is_document) {
      compare_documents(expected, value, name, found);
    } else if (name == "Policies") {
      compare_inline_policies(expected.is_null() ? Json::array() : expected, value, found);
    } else if (name == "ManagedPolicyArns") {
      compare_attached(expected.is_null() ? Json::array() : expected, value, found);
    } else if (name == "Enabled" && value == Json(false)) {
      found.emplace_back(Fault::missing, "it is disabled or about to be deleted");
    } else if (wanted.contains(name) && !is_same(expected, value)) {
      found.emplace_back(opens(name) ? Fault::too_open : Fault::differs, fmt::format("{} is {}, the template says {}", name, dump_json(value), dump_json(expected)));
    }
  }
}

}  // namespace

const char* to_string(Fault fault) {
  switch (fault) {
    case Fault::missing: return "missing";
    case Fault::too_open: return "too open";
    case Fault::differs: return "differs";
    case Fault::stale: return "stale";
  }
  return "differs";
}

Result<StackReport> check_stack(Stack& stack, Client& client, const Template& source, TimePoint now) {
  const auto state = TRY(stack.state());
  if (!state) return fail(ErrorCode::not_found, "there is no such stack in " + client.region(), "stack " + stack.name(), "make it with 'redoubt aws up'");
  StackFacts facts{state->parameters, {}, stack.name(), state->id, client.region(), TRY(client.account()), client.partition()};
  std::map<std::string, std::string> statuses;
  for (const auto& one : TRY(stack.resources())) {
    facts.physical_ids[one.logical_id] = one.physical_id;
    statuses[one.logical_id] = one.status;
  }
  const TemplateValues values(source, facts);
  StackReport report{state->status};
  if (!state->status.ends_with("_COMPLETE") || state->status.find("ROLLBACK") != std::string::npos) {
    report.findings.push_back({Fault::differs, "the stack", "AWS::CloudFormation::Stack", stack.name(), state->status + (state->reason.empty() ? "" : ": " + state->reason)});
  }
  const Json resources = json_or(source.body, "Resources", Json::object());
  for (const auto& [name, resource] : resources.items()) {
    if (!TRY(values.is_made(resource))) continue;
    const auto type = json_or(resource, "Type", "");
    const auto known = facts.physical_ids.find(name);
    const std::string id = known == facts.physical_ids.end() ? "" : known->second;
    const Json wanted = TRY(values.value_of(json_or(resource, "Properties", Json::object())));
    const auto live = TRY(read_live(client, type, id, wanted));
    if (!live) {
      if (id.empty()) report.findings.push_back({Fault::missing, name, type, "", "the stack does not have it: 'redoubt aws up' makes it"});
      report.not_read.push_back(name);
      continue;
    }
    report.read.push_back({name, type, id});
    for (const auto& note : live->notes) report.notes.push_back(name + ": " + note);
    Findings found;
    if (live->value_made && now - *live->value_made > kSecretAgeMax) {
      found.emplace_back(Fault::stale, fmt::format("its value was put {} days ago: 'redoubt secret rotate'", (now - *live->value_made) / std::chrono::hours(24)));
    }
    if (!live->is_there) found.emplace_back(Fault::missing, id.empty() ? "it is nowhere" : "it is gone");
    if (live->is_there) compare(wanted, *live, found);
    for (auto& [fault, detail] : found) report.findings.push_back({fault, name, type, id, std::move(detail)});
  }
  return report;
}

}  // namespace redoubt::provider::aws::stack
