// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "base/file.h"
#include "provider/aws/api/credential_sources.h"

namespace redoubt::provider::aws {
namespace {

constexpr std::size_t kTokenBytesMax = 64 << 10;

Json input_of(const RoleRequest& request, TimePoint now) {
  Json input{{"RoleArn", request.role_arn}};
  input["RoleSessionName"] = request.session_name.empty() ? fmt::format("redoubt-{}", now.time_since_epoch().count()) : request.session_name;
  if (!request.external_id.empty()) input["ExternalId"] = request.external_id;
  if (!request.duration_s.empty()) input["DurationSeconds"] = request.duration_s;
  return input;
}

Result<Credentials> taken_on(Result<Json> answer, const RoleRequest& request) {
  if (!answer) {
    auto error = std::move(answer.error());
    error.message = fmt::format("the role {} could not be taken on: {}", request.role_arn, error.message);
    error.where = request.where;
    if (error.code == ErrorCode::permission_denied) error.hint = "let the role's trust policy name who asks, and allow them sts:AssumeRole";
    return fail(std::move(error));
  }
  return credentials_of_json(json_or(*answer, "Credentials", Json::object()), "SessionToken", request.role_arn);
}

std::string without_end_blanks(std::string text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back()))) text.pop_back();
  return text;
}

}  // namespace

CredentialSource role_source(const CredentialContext& context, RoleRequest request, CredentialSource base) {
  return [call = context.call, &clock = context.clock, request = std::move(request), base = std::move(base)]() -> Result<Credentials> {
    const auto signer = TRY(base());
    return taken_on(call(&signer, "", "sts", "AssumeRole", input_of(request, clock.now())), request);
  };
}

CredentialSource web_identity_source(const CredentialContext& context, RoleRequest request, std::string token_file) {
  return [call = context.call, &clock = context.clock, path = context.environment.path(token_file), request = std::move(request)]() -> Result<Credentials> {
    auto token = read_text_file(path, kTokenBytesMax);
    if (!token) {
      return fail(ErrorCode::permission_denied, "the web identity's token can't be read: " + token.error().message, path.string(), "check web_identity_token_file (AWS_WEB_IDENTITY_TOKEN_FILE)");
    }
    auto input = input_of(request, clock.now());
    input["WebIdentityToken"] = without_end_blanks(std::move(*token));
    return taken_on(call(nullptr, "", "sts", "AssumeRoleWithWebIdentity", input), request);
  };
}

// Processes write the offset of UTC in several ways.
Result<TimePoint> time_of(std::string text) {
  for (const std::string_view utc : {"+00:00", "UTC"}) {
    if (text.ends_with(utc)) text.replace(text.size() - utc.size(), utc.size(), "Z");
  }
  return parse_rfc3339(text);
}

Result<Credentials> credentials_of_json(const Json& json, const char* token_key, const std::string& source) {
  Credentials out;
  out.access_key_id = json_or(json, "AccessKeyId", "");
  const auto secret = json_or(json, "SecretAccessKey", ""), token = json_or(json, token_key, "");
  if (out.access_key_id.empty() || secret.empty()) {
    return fail(ErrorCode::permission_denied, "the answer holds no AccessKeyId and SecretAccessKey", source);
  }
  out.secret_access_key = Secret(secret);
  if (!token.empty()) out.session_token = Secret(token);
  const auto expiration = json.find("Expiration");
  if (expiration != json.end() && expiration->is_number()) out.expires = TimePoint{std::chrono::milliseconds(static_cast<std::int64_t>(expiration->get<double>() * 1000))};
  if (expiration != json.end() && expiration->is_string()) out.expires = TRY(time_of(expiration->get<std::string>()));
  out.source = source;
  return out;
}

}  // namespace redoubt::provider::aws
