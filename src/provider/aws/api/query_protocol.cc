// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/api/query_protocol.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "provider/aws/api/query_members.h"
#include "provider/aws/api/xml.h"

namespace redoubt::provider::aws {
namespace {

// Writes one operation's members as a flat form.
class Form {
 public:
  explicit Form(const Service& service) : service_(service) {}

  void put(const std::string& name, const Json& value) { fields_.emplace_back(name, text_of(value)); }

  void put_members(const std::string& prefix, const Json& members) {
    for (const auto& [name, value] : members.items()) put_value(prefix + wire_name(name), name, value);
  }

  std::string text() && {
    std::string out;
    for (const auto& [name, value] : fields_) out += (out.empty() ? "" : "&") + uri_encode(name) + "=" + uri_encode(value);
    return out;
  }

 private:
  bool is_ec2() const { return service_.protocol == Protocol::ec2; }
  std::string wire_name(const std::string& name) const { return is_ec2() ? ec2_request_name(name) : name; }

  // Times are numbers in an input and ISO 8601 in a form.
  std::string text_of(const Json& value) const { return value.is_string() ? value.get<std::string>() : value.dump(); }

  void put_value(const std::string& path, const std::string& member, const Json& value) {
    if (value.is_null()) return;
    if (value.is_object()) {
      if (is_query_map(service_.name, member)) return put_map(path, member, value);
      return put_members(path + ".", value);
    }
    if (!value.is_array()) return put(path, value.is_number() && is_query_time(service_.name, member) ? Json(iso_time(value.get<double>())) : value);
    // An empty list has to be said, or it would be one that was not given.
    if (value.empty() && !is_ec2()) return put(path, "");
    for (std::size_t i = 0; i < value.size(); ++i) put_value(fmt::format("{}{}.{}", path, is_ec2() ? "" : ".member", i + 1), member, value[i]);
  }

  void put_map(const std::string& path, const std::string& member, const Json& map) {
    const bool capital = member == "MessageAttributes";
    int number = 0;
    for (const auto& [key, value] : map.items()) {
      const auto entry = fmt::format("{}.entry.{}", path, ++number);
      put(entry + (capital ? ".Name" : ".key"), key);
      put_value(entry + (capital ? ".Value" : ".value"), "", value);
    }
  }

  static std::string iso_time(double seconds) {
    return to_rfc3339(TimePoint{std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1000))});
  }

  const Service& service_;
  Query fields_;
};

// IAM percent-encodes the policies in its answers.
Json decoded_policies(Json value) {
  if (!value.is_structured()) return value;
  for (auto& [name, member] : value.items()) {
    const bool is_policy = member.is_string() && (name.ends_with("PolicyDocument") || name == "Document");
    auto text = is_policy ? http::percent_decode(member.get_ref<const std::string&>()) : Result<std::string>("");
    member = is_policy && text ? Json(std::move(*text)) : decoded_policies(std::move(member));
  }
  return value;
}

}  // namespace

Result<WireRequest> write_query(const Service& service, std::string_view operation, const Json& input) {
  Form form(service);
  form.put("Action", std::string(operation));
  form.put("Version", std::string(service.version));
  form.put_members("", input);
  WireRequest request;
  request.headers.add("content-type", "application/x-www-form-urlencoded; charset=utf-8");
  request.body = std::move(form).text();
  return request;
}

Result<Json> read_query_answer(const Service& service, std::string_view operation, std::string_view body) {
  const auto subject = fmt::format("{}.{}", service.name, operation);
  if (body.empty()) return Json::object();
  auto document = TRY(parse_xml(body, "the answer to " + subject, query_xml_options(service.name)));
  if (service.protocol == Protocol::ec2) return ec2_answer(std::move(document.value));
  const auto result = std::string(operation) + "Result";
  if (!document.value.is_object()) return Json::object();
  const auto found = document.value.find(result);
  // <CreateThingResult/> is a string to who knows no types.
  if (found == document.value.end() || !found->is_object()) return Json::object();
  return service.name == "iam" ? decoded_policies(std::move(*found)) : std::move(*found);
}

}  // namespace redoubt::provider::aws
