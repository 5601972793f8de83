// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/api/errors.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/terminal.h"
#include "provider/aws/api/client.h"
#include "provider/aws/api/denial.h"
#include "provider/aws/api/xml.h"

namespace redoubt::provider::aws {
namespace {

constexpr std::size_t kMessageBytesMax = 2000;

using Words = std::initializer_list<std::string_view>;

bool is_one_of(std::string_view code, Words words) { return std::find(words.begin(), words.end(), code) != words.end(); }
bool holds(std::string_view code, Words words) {
  return std::any_of(words.begin(), words.end(), [&](std::string_view word) { return code.find(word) != code.npos; });
}

bool is_throttling(std::string_view code) {
  return holds(code, {"Throttl", "TooManyRequests", "RequestRateTooHigh"}) ||
         is_one_of(code, {"SlowDown", "RequestLimitExceeded", "BandwidthLimitExceeded", "PriorRequestNotComplete", "TransactionInProgressException",
                          "ProvisionedThroughputExceededException", "EC2ThrottledException", "LimitExceededException.Rate"});
}

bool is_clock(std::string_view code) {
  return is_one_of(code, {"RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture", "InvalidSignatureException", "SignatureDoesNotMatch",
                          "AuthFailure", "AccessDenied.ClockSkew"});
}

bool is_expired(std::string_view code) { return is_one_of(code, {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "ExpiredTokenIssueException"}); }

bool is_credentials(std::string_view code) {
  return is_one_of(code, {"InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId", "MissingAuthenticationToken",
                          "MissingAuthenticationTokenException", "IncompleteSignature", "IncompleteSignatureException", "NotSignedUp", "OptInRequired",
                          "InvalidToken", "SubscriptionRequiredException"});
}

bool is_transient(const Refusal& refusal) {
  return refusal.status >= 500 || refusal.status == 408 ||
         is_one_of(refusal.code, {"RequestTimeout", "RequestTimeoutException", "InternalError", "InternalFailure", "InternalServerError", "ServiceUnavailable",
                                  "InternalServiceError", "DependencyTimeoutException", "KMSInternalException", "ConditionalRequestConflict", "OperationAborted",
                                  "ModelNotReadyException", "TemporaryRedirect"});
}

std::string first_text(const Json& value, Words names) {
  for (const auto name : names) {
    const auto found = value.is_object() ? value.find(std::string(name)) : value.end();
    if (found != value.end() && found->is_string()) return found->get<std::string>();
  }
  return {};
}

// "com.amazonaws.kms#NotFoundException:http://..." is NotFoundException.
std::string bare_code(std::string code) {
  code = code.substr(0, code.find(':'));
  if (const auto hash = code.rfind('#'); hash != code.npos) code.erase(0, hash + 1);
  return code;
}

void read_json_refusal(std::string_view body, Refusal& refusal) {
  const auto json = parse_json(body, "the refusal", {.bytes_max = 64 << 10, .depth_max = 16});
  if (!json) return;
  if (refusal.code.empty()) refusal.code = bare_code(first_text(*json, {"__type", "code", "Code", "error"}));
  refusal.message = first_text(*json, {"message", "Message", "errorMessage", "OriginalMessage", "error_description"});
}

// <ErrorResponse><Error><Code>..., <Response><Errors><Error>..., or <Error><Code>... as S3 has it.
void read_xml(std::string_view body, Refusal& refusal) {
  const auto document = parse_xml(body, "the refusal", {.bytes_max = 64 << 10, .depth_max = 16});
  if (!document) return;
  const Json* error = &document->value;
  for (const char* name : {"Errors", "Error"}) {
    if (error->is_object() && error->contains(name)) error = &(*error)[name];
  }
  refusal.code = first_text(*error, {"Code"});
  refusal.message = first_text(*error, {"Message"});
  if (refusal.request_id.empty()) refusal.request_id = first_text(document->value, {"RequestId", "RequestID"});
  if (const auto region = first_text(*error, {"Region"}); !region.empty()) refusal.message += " (the bucket's region: " + region + ")";
}

std::string hint_of(const Refusal& refusal, const std::string& subject) {
  if (is_expired(refusal.code)) return "the session is over: sign in again ('aws sso login'), or give new credentials";
  if (is_credentials(refusal.code)) return "check the credentials: the access key's id, and the session token that belongs to it ('aws sts get-caller-identity')";
  if (is_clock(refusal.code)) return "check this machine's clock and the secret access key";
  const auto code = code_of(refusal);
  if (code == ErrorCode::permission_denied) return cure_of(read_denial(refusal.message, subject));
  if (code == ErrorCode::limit_exceeded) return "ask for a higher quota (Service Quotas), or use less";
  if (code == ErrorCode::unavailable) return "try again later";
  if (is_one_of(refusal.code, {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"})) return "name the bucket's own region";
  return {};
}

// What must not steer a terminal or fill it.
std::string shown(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  if (text.size() > kMessageBytesMax) text = text.substr(0, kMessageBytesMax) + "...";
  return without_control_characters(std::move(text));
}

// Some services have one code for everything that is wrong with a request, and tell what only in words.
std::optional<ErrorCode> code_of_words(const Refusal& refusal) {
  if (!is_one_of(refusal.code, {"ValidationException", "ValidationError", "InvalidParameterValue", "InvalidRequestException"})) return std::nullopt;
  if (holds(refusal.message, {"Could not find", "not found", "does not exist", "no existing"})) return ErrorCode::not_found;
  if (holds(refusal.message, {"already exist"})) return ErrorCode::already_exists;
  return std::nullopt;
}

}  // namespace

std::string request_id_of(const http::Headers& headers) {
  for (const auto* name : {"x-amzn-requestid", "x-amz-request-id", "x-amzn-request-id"}) {
    if (const auto* id = headers.find(name)) return *id;
  }
  return {};
}

Refusal read_refusal(const http::ClientResponse& response, std::string_view body) {
  Refusal refusal{response.status, {}, {}, request_id_of(response.headers)};
  if (const auto* type = response.headers.find("x-amzn-errortype")) refusal.code = bare_code(*type);
  const auto first = body.find_first_not_of(" \t\r\n");
  if (first != body.npos && body[first] == '{') read_json_refusal(body, refusal);
  if (first != body.npos && body[first] == '<') read_xml(body, refusal);
  // A HEAD has no body to say it in.
  if (refusal.code.empty() && response.status == 404) refusal.code = "NotFound";
  if (refusal.code.empty() && response.status == 403) refusal.code = "AccessDenied";
  if (refusal.code.empty() && response.status == 412) refusal.code = "PreconditionFailed";
  if (refusal.code.empty() && response.status == 301) refusal.code = "PermanentRedirect";
  if (refusal.code.empty()) refusal.code = fmt::format("HTTP {}", response.status);
  const auto* region = response.headers.find("x-amz-bucket-region");
  if (region != nullptr && refusal.code == "PermanentRedirect") refusal.message += " (the bucket's region: " + *region + ")";
  refusal.code = shown(refusal.code.substr(0, 200));
  refusal.message = shown(refusal.message);
  refusal.request_id = shown(refusal.request_id.substr(0, 200));
  return refusal;
}

ErrorCode code_of(const Refusal& refusal) {
  const std::string_view code = refusal.code;
  if (const auto told = code_of_words(refusal)) return *told;
  if (is_throttling(code)) return ErrorCode::unavailable;
  if (is_expired(code) || is_clock(code) || is_credentials(code)) return ErrorCode::permission_denied;
  if (holds(code, {"AccessDenied", "UnauthorizedOperation", "NotAuthorized", "Unauthorized", "Forbidden"}) ||
      is_one_of(code, {"AuthorizationError", "AuthorizationErrorException", "KMSAccessDeniedException", "AllAccessDisabled", "UnauthorizedAccess"})) {
    return ErrorCode::permission_denied;
  }
  if (is_one_of(code, {"InvalidCiphertextException", "IncorrectKeyException", "KMSInvalidSignatureException", "KMSInvalidMacException", "BadDigest",
                       "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch", "InvalidDigest"})) {
    return ErrorCode::tampered;
  }
  if (holds(code, {"AlreadyExists", "EntityExists", "ResourceExists", "ResourceInUse", "ResourceConflict", "BucketAlready", "DuplicateEntity"}) ||
      is_one_of(code, {"ConflictException", "PreconditionFailed", "Conflict", "DeleteConflict", "AlreadyExistsException"})) {
    return ErrorCode::already_exists;
  }
  if (holds(code, {"NotFound", "NoSuch", "DoesNotExist", "UnknownResource"})) return ErrorCode::not_found;
  if (holds(code, {"LimitExceeded", "QuotaExceeded", "TooMany", "InsufficientCapacity", "CapacityError", "EntityTooLarge", "LimitsExceeded"})) {
    return ErrorCode::limit_exceeded;
  }
  if (is_transient(refusal)) return ErrorCode::unavailable;
  if (refusal.status == 401 || refusal.status == 403) return ErrorCode::permission_denied;
  if (refusal.status == 404 || refusal.status == 410) return ErrorCode::not_found;
  if (refusal.status == 429) return ErrorCode::unavailable;
  if (holds(code, {"NotSupported", "Unsupported", "NotImplemented", "OptInRequired"})) return ErrorCode::unsupported;
  return ErrorCode::invalid_argument;
}

Remedy remedy_of(const Refusal& refusal) {
  if (is_throttling(refusal.code) || refusal.status == 429) return Remedy::again_slower;
  if (is_expired(refusal.code)) return Remedy::new_credentials;
  if (is_clock(refusal.code)) return Remedy::set_clock;
  return is_transient(refusal) && code_of(refusal) == ErrorCode::unavailable ? Remedy::again : Remedy::none;
}

Error error_of(const Refusal& refusal, const std::string& subject) {
  const auto id = refusal.request_id.empty() ? "" : ", request id " + refusal.request_id;
  const auto text = refusal.message.empty() ? fmt::format("the service answered with status {}", refusal.status) : refusal.message;
  return {code_of(refusal), fmt::format("{}: {} ({}{})", refusal.code, text, subject, id), subject, hint_of(refusal, subject)};
}

bool is_service_error(const Error& error, std::string_view service_code) {
  return error.message.starts_with(service_code) && error.message.substr(service_code.size(), 2) == ": ";
}

}  // namespace redoubt::provider::aws
