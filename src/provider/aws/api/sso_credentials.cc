// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "base/file.h"
#include "crypto/sha1.h"
#include "provider/aws/api/credential_sources.h"

namespace redoubt::provider::aws {
namespace {

constexpr std::chrono::minutes kTokenRefreshEarly{5};
constexpr std::size_t kCacheBytesMax = 256 << 10;

struct SsoSettings {
  std::string profile, start_url, region, account_id, role_name;
  std::string session = {};  // empty for the older form, which can't be refreshed
  std::filesystem::path cache;
  std::string where;
  CredentialCall call;
  const Clock& clock;
};

std::string cure_of(const SsoSettings& settings) {
  return settings.session.empty() ? fmt::format("sign in: aws sso login --profile {}", settings.profile) : fmt::format("sign in: aws sso login --sso-session {}", settings.session);
}

// A new access token for the one that is over, written back for the next process as the command line does.
Result<Json> refreshed(const SsoSettings& settings, Json token) {
  const auto refresh = json_or(token, "refreshToken", ""), id = json_or(token, "clientId", ""), secret = json_or(token, "clientSecret", "");
  const auto registered = time_of(json_or(token, "registrationExpiresAt", ""));
  if (settings.session.empty() || refresh.empty() || id.empty() || !registered || *registered <= settings.clock.now()) {
    return fail(ErrorCode::permission_denied, "the SSO session is over", settings.cache.string(), cure_of(settings));
  }
  const auto answer = settings.call(nullptr, settings.region, "sso-oidc", "CreateToken", {{"clientId", id}, {"clientSecret", secret}, {"grantType", "refresh_token"}, {"refreshToken", refresh}});
  if (!answer) return fail(ErrorCode::permission_denied, "the SSO session could not be refreshed: " + answer.error().message, settings.cache.string(), cure_of(settings));
  token["accessToken"] = json_or(*answer, "accessToken", "");
  const auto next = json_or(*answer, "refreshToken", "");
  if (!next.empty()) token["refreshToken"] = next;
  const auto lifetime = std::chrono::seconds(json_or(*answer, "expiresIn", std::int64_t{0}));
  auto end = to_rfc3339(settings.clock.now() + lifetime);
  token["expiresAt"] = end.substr(0, end.find('.')) + "Z";
  TRY(write_file(settings.cache, dump_json(token)));
  return token;
}

Result<std::string> access_token(const SsoSettings& settings) {
  const auto text = read_text_file(settings.cache, kCacheBytesMax);
  if (!text) return fail(ErrorCode::permission_denied, fmt::format("nobody has signed in to the SSO of profile \"{}\"", settings.profile), settings.cache.string(), cure_of(settings));
  auto token = TRY(parse_json(*text, settings.cache.string()));
  const auto expires = time_of(json_or(token, "expiresAt", ""));
  if (!expires) return fail(ErrorCode::permission_denied, "the SSO session's file names no end", settings.cache.string(), cure_of(settings));
  const auto now = settings.clock.now();
  const bool can_refresh = !settings.session.empty() && !json_or(token, "refreshToken", "").empty();
  if (*expires <= now || (can_refresh && *expires <= now + kTokenRefreshEarly)) {
    auto fresh = refreshed(settings, token);
    if (!fresh && *expires <= now) return fail(std::move(fresh.error()));
    if (fresh) token = std::move(*fresh);
  }
  return json_string(token, "accessToken", settings.cache.string());
}

Result<Credentials> role_credentials(const SsoSettings& settings) {
  const auto token = TRY(access_token(settings));
  const Json input{{"roleName", settings.role_name}, {"accountId", settings.account_id}, {"accessToken", token}};
  auto answer = settings.call(nullptr, settings.region, "sso", "GetRoleCredentials", input);
  if (!answer) {
    auto error = std::move(answer.error());
    error.message = fmt::format("SSO gave no credentials for the role {} of account {}: {}", settings.role_name, settings.account_id, error.message);
    error.where = settings.where;
    if (error.code != ErrorCode::unavailable) error.hint = cure_of(settings) + ", and check sso_account_id and sso_role_name";
    return fail(std::move(error));
  }
  const auto given = json_or(*answer, "roleCredentials", Json::object());
  const auto source = "SSO of profile " + settings.profile;
  const Json as_others{{"AccessKeyId", json_or(given, "accessKeyId", "")}, {"SecretAccessKey", json_or(given, "secretAccessKey", "")},
                       {"Token", json_or(given, "sessionToken", "")}, {"Expiration", json_or(given, "expiration", 0.0) / 1000}};
  return credentials_of_json(as_others, "Token", source);
}

}  // namespace

Result<CredentialSource> sso_source(const CredentialContext& context, const Section& profile, const std::string& name) {
  const auto session = profile.text("sso_session");
  const auto* section = session.empty() ? &profile : context.profiles.sso_session(session);
  const auto where_key = session.empty() ? "sso_account_id" : "sso_session";
  const auto found = profile.where.find(where_key);
  const auto where = found != profile.where.end() ? found->second : "";
  if (section == nullptr) {
    return fail(ErrorCode::invalid_argument, fmt::format("profile \"{}\" names the sso-session \"{}\", which is not there", name, session), where, fmt::format("add [sso-session {}] to the config file", session));
  }
  SsoSettings settings{name, section->text("sso_start_url"), section->text("sso_region"), profile.text("sso_account_id"), profile.text("sso_role_name"),
                       session, {}, where, context.call, context.clock};
  for (const auto& [value, key] : {std::pair{&settings.start_url, "sso_start_url"}, {&settings.region, "sso_region"}, {&settings.account_id, "sso_account_id"}, {&settings.role_name, "sso_role_name"}}) {
    if (value->empty()) return fail(ErrorCode::permission_denied, fmt::format("profile \"{}\" has SSO settings without {}", name, key), where, fmt::format("add {}, or run 'aws configure sso'", key));
  }
  settings.cache = context.environment.path("~/.aws/sso/cache") / (crypto::sha1_name(session.empty() ? settings.start_url : session) + ".json");
  return [settings]() { return role_credentials(settings); };
}

}  // namespace redoubt::provider::aws
