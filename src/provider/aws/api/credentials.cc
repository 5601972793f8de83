// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/api/credentials.h"

#include <fmt/format.h>

#include "provider/aws/api/credential_sources.h"

namespace redoubt::provider::aws {
namespace {

// Refreshed that long before their end; when a refresh fails, they serve for what is left.
constexpr std::chrono::minutes kRefreshEarly{10};
constexpr std::chrono::seconds kUsableAtLeast{10};

CredentialSource always(Credentials credentials) {
  return [credentials = std::move(credentials)]() -> Result<Credentials> { return credentials; };
}

// AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN, as EKS sets them.
Result<std::optional<CredentialSource>> environment_web_identity(const CredentialContext& context) {
  const auto file = context.environment.variable("AWS_WEB_IDENTITY_TOKEN_FILE");
  if (!file) return std::nullopt;
  const auto role = context.environment.variable("AWS_ROLE_ARN");
  if (!role) {
    return fail(ErrorCode::permission_denied, "AWS_WEB_IDENTITY_TOKEN_FILE is set without a role", "AWS_ROLE_ARN", "set AWS_ROLE_ARN to the role to take on");
  }
  RoleRequest request{*role, context.environment.text("AWS_ROLE_SESSION_NAME"), {}, {}, "AWS_WEB_IDENTITY_TOKEN_FILE"};
  return web_identity_source(context, std::move(request), *file);
}

Status check_profile_is_there(const CredentialContext& context) {
  if (!context.profile_must_exist || context.profiles.profile(context.profile) != nullptr) return {};
  return fail(ErrorCode::invalid_argument, fmt::format("there is no profile \"{}\"", context.profile), context.profiles.files(),
              "name one of those files' profiles (AWS_PROFILE), or sign in with 'aws configure'");
}

Result<CredentialSource> find_base_source(const CredentialContext& context) {
  TRY(check_profile_is_there(context));
  if (!context.profile_is_option) {
    if (auto found = TRY(environment_credentials(context.environment))) return always(std::move(*found));
    if (auto found = TRY(environment_web_identity(context))) return std::move(*found);
  }
  if (auto found = TRY(profile_source(context, context.profile))) return std::move(*found);
  if (context.profile_is_option) {
    return fail(ErrorCode::permission_denied, fmt::format("profile \"{}\" says nothing of credentials", context.profile), context.profiles.files(),
                "give it keys, a role, or SSO settings");
  }
  if (auto found = TRY(container_source(context))) return std::move(*found);
  if (auto found = instance_source(context)) return std::move(*found);
  return fail(ErrorCode::permission_denied, "no AWS credentials were found", "environment, " + context.profiles.files() + ", container",
              "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a profile (AWS_PROFILE), or sign in with 'aws sso login'");
}

}  // namespace

Result<CredentialSource> find_credential_source(const CredentialContext& context) {
  auto base = TRY(find_base_source(context));
  if (context.assume_role_arn.empty()) return base;
  return role_source(context, {context.assume_role_arn, {}, {}, {}, "assume_role_arn"}, std::move(base));
}

Result<Credentials> CredentialCache::get() {
  const std::lock_guard lock(mutex_);
  const auto left = [&] { return *held_->expires - clock_.now(); };
  if (held_ && (!held_->expires || left() > kRefreshEarly)) return *held_;
  auto fresh = source_();
  if (fresh) {
    held_ = std::move(*fresh);
  } else if (!held_ || left() < kUsableAtLeast) {
    return fail(std::move(fresh.error()));
  }
  return *held_;
}

void CredentialCache::reject(const Credentials& credentials) {
  const std::lock_guard lock(mutex_);
  if (held_ && held_->access_key_id == credentials.access_key_id && held_->session_token == credentials.session_token) held_.reset();
}

}  // namespace redoubt::provider::aws
