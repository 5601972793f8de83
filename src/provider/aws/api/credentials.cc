// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/api/credentials.h"

#include <fmt/format.h>

namespace redoubt::provider::aws {
namespace {

// Refreshed that long before their end; when a refresh fails, they serve for what is left.
constexpr std::chrono::minutes kRefreshEarly{10};
constexpr std::chrono::seconds kUsableAtLeast{10};

Result<std::optional<Credentials>> from_environment(const Environment& environment) {
  const auto id = environment.variable("AWS_ACCESS_KEY_ID"), secret = environment.variable("AWS_SECRET_ACCESS_KEY");
  if (!id && !secret) return std::nullopt;
  if (!id || !secret) {
    return fail(ErrorCode::permission_denied, "only one half of the credentials is in the environment", id ? "AWS_SECRET_ACCESS_KEY" : "AWS_ACCESS_KEY_ID",
                "set both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or neither");
  }
  Credentials found{*id, Secret(*secret), std::nullopt, std::nullopt, "environment"};
  if (const auto token = environment.variable("AWS_SESSION_TOKEN")) found.session_token = Secret(*token);
  return found;
}

Result<std::optional<Credentials>> from_profile_keys(const Section& profile, const std::string& name) {
  const auto* id = profile.find("aws_access_key_id");
  const auto* secret = profile.find("aws_secret_access_key");
  if (id == nullptr && secret == nullptr) return std::nullopt;
  if (id == nullptr || secret == nullptr || id->empty() || secret->empty()) {
    const auto& there = profile.where.at(id != nullptr ? "aws_access_key_id" : "aws_secret_access_key");
    return fail(ErrorCode::permission_denied, fmt::format("profile \"{}\" has only one half of the credentials", name), there,
                "give both aws_access_key_id and aws_secret_access_key");
  }
  Credentials found{*id, Secret(*secret), std::nullopt, std::nullopt, "profile " + name};
  if (const auto* token = profile.find("aws_session_token")) found.session_token = Secret(*token);
  return found;
}

CredentialSource always(Credentials credentials) {
  return [credentials = std::move(credentials)]() -> Result<Credentials> { return credentials; };
}

}  // namespace

Result<CredentialSource> find_credential_source(const CredentialContext& context) {
  if (!context.profile_is_explicit) {
    if (auto found = TRY(from_environment(context.environment))) return always(std::move(*found));
  }
  if (const auto* profile = context.profiles.profile(context.profile)) {
    if (auto found = TRY(from_profile_keys(*profile, context.profile))) return always(std::move(*found));
  } else if (context.profile_is_explicit) {
    return fail(ErrorCode::invalid_argument, fmt::format("there is no profile \"{}\"", context.profile), context.profiles.files(), "name one of those files' profiles");
  }
  return fail(ErrorCode::permission_denied, "no AWS credentials were found", "environment, " + context.profiles.files(),
              "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile (AWS_PROFILE)");
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
