// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/api/protocol.h"

#include <fmt/format.h>

#include "provider/aws/api/query_protocol.h"
#include "provider/aws/api/rest_protocol.h"

namespace redoubt::provider::aws {
namespace {

WireRequest write_json(const Service& service, std::string_view operation, const Json& input) {
  WireRequest request;
  request.headers.add("content-type", service.protocol == Protocol::json_1_0 ? "application/x-amz-json-1.0" : "application/x-amz-json-1.1");
  request.headers.add("x-amz-target", fmt::format("{}.{}", service.target_prefix, operation));
  request.body = dump_json(input);
  return request;
}

Result<Json> read_json_answer(std::string_view body, const std::string& subject) {
  if (body.empty()) return Json::object();
  auto answer = TRY(parse_json(body, "the answer to " + subject));
  if (answer.is_null()) return Json::object();  // what has no output
  if (!answer.is_object()) return fail(ErrorCode::unavailable, "the answer is no JSON object", subject);
  return answer;
}

}  // namespace

Result<WireRequest> write_request(const Service& service, std::string_view operation, const Json& input) {
  if (!input.is_object()) return fail(ErrorCode::invalid_argument, "an operation's input is an object of members", std::string(operation));
  switch (service.protocol) {
    case Protocol::json_1_0:
    case Protocol::json_1_1: return write_json(service, operation, input);
    case Protocol::query:
    case Protocol::ec2: return write_query(service, operation, input);
    case Protocol::rest_json:
    case Protocol::rest_xml: return write_rest(service, operation, input);
  }
  return fail(ErrorCode::internal, "no such protocol");
}

Result<Json> read_answer(const Service& service, std::string_view operation, const http::ClientResponse& response, std::string_view body) {
  const auto subject = fmt::format("{}.{}", service.name, operation);
  if (service.protocol == Protocol::query || service.protocol == Protocol::ec2) return read_query_answer(service, operation, body);
  if (service.protocol == Protocol::rest_json || service.protocol == Protocol::rest_xml) return read_rest_answer(service, operation, response, body);
  return read_json_answer(body, subject);
}

}  // namespace redoubt::provider::aws
