// SPDX-License-Identifier: Apache-2.0
#include "gateway/reply.h"

#include "base/json.h"
#include "openai/answer.h"

namespace redoubt::gateway {

http::Response json_response(int status, std::string body, http::Headers headers) {
  headers.add("Content-Type", "application/json");
  return {status, std::move(headers), std::move(body), {}, 0, 0};
}

http::Response refusal(int status, const std::string& message, const std::string& type, const std::string& code, http::Headers headers,
                       const std::string& parameter) {
  return json_response(status, openai::error_body(message, type, parameter, code), std::move(headers));
}

http::Response try_later(int status, const std::string& message, const std::string& code, int seconds) {
  return refusal(status, message, status == 429 ? "rate_limit_error" : "server_error", code, {{"Retry-After", std::to_string(seconds)}});
}

http::Response limit_reached(const BudgetRefusal& refusal) {
  const bool is_money = refusal.limit.starts_with("money");
  return try_later(429, "the limit " + refusal.limit + " is reached", is_money ? "insufficient_quota" : "rate_limit_exceeded", refusal.retry_s);
}

const char* aws_error_of(int status) {
  switch (status) {
    case 401:
    case 403: return "AccessDeniedException";
    case 429: return "ThrottlingException";
    case 500: return "InternalFailure";
    case 503: return "ServiceUnavailable";
    default: return "ValidationError";
  }
}

std::string with_aws_message(std::string error_body, const char* member) {
  auto body = parse_json(error_body, "answer");
  if (!body || !body->is_object()) return error_body;
  (*body)[member] = (*body)["error"].value("message", "");
  return dump_json(*body);
}

http::Response in_dialect(Dialect dialect, http::Response response) {
  if (dialect == Dialect::openai || response.status < 400) return response;
  response.headers.add("x-amzn-ErrorType", aws_error_of(response.status));
  response.body = with_aws_message(std::move(response.body), "message");
  return response;
}

}  // namespace redoubt::gateway
