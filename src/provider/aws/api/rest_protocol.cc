// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/api/rest_protocol.h"

#include <fmt/format.h>

#include <algorithm>

#include "provider/aws/api/rest_operations.h"
#include "provider/aws/api/rest_xml.h"

namespace redoubt::provider::aws {
namespace {

std::string wire_text(const Json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

// "MaxResults=maxResults NextToken" one by one.
template <class Body>
void for_each_name(std::string_view list, Body body) {
  while (!list.empty()) {
    const auto word = list.substr(0, list.find(' '));
    const auto equals = word.find('=');
    body(std::string(word.substr(0, equals)), std::string(equals == word.npos ? word : word.substr(equals + 1)));
    list.remove_prefix(std::min(word.size() + 1, list.size()));
  }
}

// Fills the row's places from the input and takes what it has used out of it.
class RestWriter {
 public:
  RestWriter(const Service& service, const RestOperation& row, Json input) : service_(service), row_(row), input_(std::move(input)) {}

  Result<WireRequest> write() {
    request_.method = row_.method;
    const auto question = row_.uri.find('?');
    request_.path = TRY(path_of(row_.uri.substr(0, question)));
    if (question != row_.uri.npos) add_fixed_query(row_.uri.substr(question + 1));
    for_each_name(row_.query, [&](const auto& member, const auto& wire) { add_query(take(member), wire); });
    for_each_name(row_.headers, [&](const auto& member, const auto& wire) {
      if (const auto value = take(member); !value.is_null()) request_.headers.add(wire, wire_text(value));
    });
    service_.protocol == Protocol::rest_json ? write_json() : write_xml();
    return std::move(request_);
  }

 private:
  Json take(const std::string& member) {
    const auto found = input_.find(member);
    if (found == input_.end()) return nullptr;
    Json value = std::move(*found);
    input_.erase(found);
    return value;
  }

  Result<std::string> path_of(std::string_view uri) {
    std::string out;
    while (!uri.empty()) {
      const auto open = uri.find('{');
      out += uri.substr(0, open);
      if (open == uri.npos) break;
      const auto close = uri.find('}', open);
      auto name = std::string(uri.substr(open + 1, close - open - 1));
      const bool greedy = name.ends_with('+');
      if (greedy) name.pop_back();
      out += uri_encode(TRY(label(name)), greedy);
      uri.remove_prefix(close + 1);
    }
    return out;
  }

  Result<std::string> label(const std::string& name) {
    auto value = take(name);
    auto lower = name;
    lower[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(lower[0])));
    if (value.is_null()) value = take(lower);
    auto text = value.is_null() ? "" : wire_text(value);
    if (text.empty()) return fail(ErrorCode::invalid_argument, fmt::format("{}.{} needs the member {}", service_.name, row_.name, name));
    // Route 53 gives ids as paths and takes them without.
    if (service_.name == "route53" && text.starts_with('/')) text = text.substr(text.rfind('/') + 1);
    return text;
  }

  void add_fixed_query(std::string_view query) {
    const auto equals = query.find('=');
    request_.query.emplace_back(query.substr(0, equals), equals == query.npos ? "" : query.substr(equals + 1));
  }

  void add_query(const Json& value, const std::string& wire) {
    if (value.is_null()) return;
    if (!value.is_array()) return void(request_.query.emplace_back(wire, wire_text(value)));
    for (const auto& item : value) request_.query.emplace_back(wire, wire_text(item));
  }

  void write_json() {
    if (row_.method == "GET" || row_.method == "DELETE") return;
    request_.headers.add("content-type", "application/json");
    request_.body = dump_json(service_.name == "guardduty" ? lower_names(input_, false) : input_);
  }

  // GuardDuty's wire names begin in lower case; the keys of its maps are the caller's.
  static Json lower_names(const Json& value, bool is_map) {
    if (!value.is_structured()) return value;
    Json out = value.is_array() ? Json::array() : Json::object();
    for (const auto& [name, member] : value.items()) {
      auto wire = name;
      if (!is_map && !wire.empty()) wire[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(wire[0])));
      auto lowered = lower_names(member, wire == "criterion" || wire == "tags");
      if (value.is_array()) {
        out.push_back(std::move(lowered));
      } else {
        out[wire] = std::move(lowered);
      }
    }
    return out;
  }

  void write_xml() {
    if (row_.payload.empty()) return;
    const std::string root(row_.payload);
    const auto given = take(root);
    if (root == "Policy") {
      request_.body = wire_text(given);
      return;
    }
    // A member that is the body as a whole, or the rest of the input under the request's own name.
    const bool is_request = root.ends_with("Request");
    if (!is_request && given.is_null()) return;
    request_.headers.add("content-type", "application/xml");
    request_.body = write_rest_xml(service_.name, root, is_request ? input_ : given);
  }

  const Service& service_;
  const RestOperation& row_;
  Json input_;
  WireRequest request_;
};

// Some of S3's operations answer with one member alone, whose name is then the root's.
bool is_answer_member(std::string_view root) {
  constexpr std::string_view kMembers[] = {"ServerSideEncryptionConfiguration", "PublicAccessBlockConfiguration", "PolicyStatus", "OwnershipControls",
                                           "ReplicationConfiguration", "ObjectLockConfiguration", "IntelligentTieringConfiguration"};
  return std::find(std::begin(kMembers), std::end(kMembers), root) != std::end(kMembers);
}

}  // namespace

Result<WireRequest> write_rest(const Service& service, std::string_view operation, const Json& input) {
  const auto* row = TRY(find_rest_operation(service, operation));
  return RestWriter(service, *row, input).write();
}

Result<Json> read_rest_answer(const Service& service, std::string_view operation, const http::ClientResponse& response, std::string_view body) {
  const auto subject = fmt::format("{}.{}", service.name, operation);
  Json answer = Json::object();
  if (operation == "GetBucketPolicy") {
    answer["Policy"] = std::string(body);
  } else if (service.name == "s3" && operation.starts_with("Put")) {
    // Setting something is answered by the status alone.
  } else if (service.protocol == Protocol::rest_xml && !body.empty()) {
    auto document = TRY(parse_xml(body, "the answer to " + subject, rest_xml_options(service.name)));
    auto value = rest_xml_answer(service.name, std::move(document.value));
    if (operation == "GetBucketLocation") return Json{{"LocationConstraint", std::move(value)}};
    if (value.is_object()) answer = is_answer_member(document.root) ? Json{{document.root, std::move(value)}} : std::move(value);
  } else if (!body.empty()) {
    answer = TRY(parse_json(body, "the answer to " + subject));
    if (!answer.is_object()) return fail(ErrorCode::unavailable, "the answer is no JSON object", subject);
  }
  for (const auto& [header, member] : {std::pair{"location", "Location"}, {"x-amzn-sagemaker-outputlocation", "OutputLocation"}}) {
    if (const auto* value = response.headers.find(header)) answer[member] = *value;
  }
  return answer;
}

}  // namespace redoubt::provider::aws
