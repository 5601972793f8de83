// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "provider/aws/api/credential_sources.h"

namespace redoubt::provider::aws {
namespace {

std::string where_of(const Section& section, const char* key) {
  const auto found = section.where.find(key);
  return found != section.where.end() ? found->second : "";
}

bool has_role(const Section& profile) { return profile.find("role_arn") != nullptr && profile.find("web_identity_token_file") == nullptr; }
bool has_keys(const Section& profile) { return profile.find("aws_access_key_id") != nullptr || profile.find("aws_secret_access_key") != nullptr; }
bool has_sso(const Section& profile) { return profile.find("sso_account_id") != nullptr || profile.find("sso_session") != nullptr; }

Result<Credentials> keys_of(const Section& profile, const std::string& name) {
  const auto id = profile.text("aws_access_key_id"), secret = profile.text("aws_secret_access_key");
  if (id.empty() || secret.empty()) {
    return fail(ErrorCode::permission_denied, fmt::format("profile \"{}\" has no {}", name, id.empty() ? "aws_access_key_id" : "aws_secret_access_key"),
                where_of(profile, id.empty() ? "aws_secret_access_key" : "aws_access_key_id"), "give both aws_access_key_id and aws_secret_access_key");
  }
  Credentials found{id, Secret(secret), std::nullopt, std::nullopt, "profile " + name};
  if (const auto* token = profile.find("aws_session_token")) found.session_token = Secret(*token);
  return found;
}

// Follows one profile to the credentials it stands for, through the roles on the way.
class ProfileResolver {
 public:
  explicit ProfileResolver(const CredentialContext& context) : context_(context) {}

  Result<std::optional<CredentialSource>> resolve(const std::string& name) {
    const auto* profile = context_.profiles.profile(name);
    if (profile == nullptr) return std::nullopt;
    if (has_role(*profile)) return TRY(role_of(*profile, name));
    return own_source(*profile, name);
  }

 private:
  // What the profile says without a role.
  Result<std::optional<CredentialSource>> own_source(const Section& profile, const std::string& name) {
    if (const auto file = profile.text("web_identity_token_file"); !file.empty()) {
      const auto role = profile.text("role_arn");
      if (role.empty()) return missing(profile, name, "web_identity_token_file", "role_arn");
      return web_identity_source(context_, {role, profile.text("role_session_name"), {}, {}, where_of(profile, "role_arn")}, file);
    }
    if (has_sso(profile)) return TRY(sso_source(context_, profile, name));
    const auto command = profile.text("credential_process");
    // The credentials file comes before a process, and that before keys in the config file.
    if (has_keys(profile) && (command.empty() || context_.profiles.is_of_credentials_file(profile, "aws_access_key_id"))) {
      return always(TRY(keys_of(profile, name)));
    }
    if (!command.empty()) return process_source(command, where_of(profile, "credential_process"));
    return std::nullopt;
  }

  Result<CredentialSource> role_of(const Section& profile, const std::string& name) {
    visited_.push_back(name);
    if (profile.find("mfa_serial") != nullptr) {
      return fail(ErrorCode::permission_denied, fmt::format("profile \"{}\" asks for a code of a second factor (mfa_serial), which can't be typed here", name),
                  where_of(profile, "mfa_serial"), "sign in with 'aws sso login', or export a session made with 'aws sts get-session-token'");
    }
    RoleRequest request{profile.text("role_arn"), profile.text("role_session_name"), profile.text("external_id"),
                        profile.text("duration_seconds"), where_of(profile, "role_arn")};
    if (!request.duration_s.empty() && !std::all_of(request.duration_s.begin(), request.duration_s.end(), [](unsigned char c) { return std::isdigit(c); })) {
      return fail(ErrorCode::invalid_argument, fmt::format("duration_seconds of profile \"{}\" is no number", name), where_of(profile, "duration_seconds"));
    }
    const auto source = profile.text("source_profile"), named = profile.text("credential_source");
    if (!source.empty() && !named.empty()) {
      return fail(ErrorCode::invalid_argument, fmt::format("profile \"{}\" has both source_profile and credential_source", name), request.where, "remove one of them");
    }
    if (source.empty() && named.empty()) return missing(profile, name, "role_arn", "source_profile");
    auto base = source.empty() ? named_source(named, profile, name) : source_profile(source, profile, name);
    return role_source(context_, std::move(request), TRY(std::move(base)));
  }

  Result<CredentialSource> source_profile(const std::string& source, const Section& profile, const std::string& name) {
    const auto* other = context_.profiles.profile(source);
    const auto where = where_of(profile, "source_profile");
    if (other == nullptr) {
      return fail(ErrorCode::invalid_argument, fmt::format("the source_profile \"{}\" of profile \"{}\" is not there", source, name), where, "name a profile of " + context_.profiles.files());
    }
    // With keys of its own a profile is a source even where it names a role, so it may even be its own source.
    if (has_keys(*other) || !has_role(*other)) {
      auto found = TRY(own_source(*other, source));
      if (found) return std::move(*found);
      return fail(ErrorCode::permission_denied, fmt::format("the source_profile \"{}\" of profile \"{}\" has no credentials", source, name), where, "give it keys, a role or SSO settings");
    }
    if (std::find(visited_.begin(), visited_.end(), source) != visited_.end()) {
      return fail(ErrorCode::invalid_argument, fmt::format("the profiles from \"{}\" on lead back to \"{}\"", visited_.front(), source), where, "let one of them have credentials of its own");
    }
    return role_of(*other, source);
  }

  Result<CredentialSource> named_source(const std::string& named, const Section& profile, const std::string& name) {
    const auto where = where_of(profile, "credential_source");
    if (named == "Environment") {
      if (auto found = TRY(environment_credentials(context_.environment))) return always(std::move(*found));
      return fail(ErrorCode::permission_denied, fmt::format("profile \"{}\" wants credentials of the environment, which has none", name), where, "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY");
    }
    if (named == "EcsContainer") {
      if (auto found = TRY(container_source(context_))) return std::move(*found);
      return fail(ErrorCode::permission_denied, fmt::format("profile \"{}\" wants a container's credentials, and this is none", name), where, "name another credential_source");
    }
    if (named == "Ec2InstanceMetadata") {
      if (auto found = instance_source(context_)) return std::move(*found);
      return fail(ErrorCode::permission_denied, fmt::format("profile \"{}\" wants the instance's role, and AWS_EC2_METADATA_DISABLED forbids it", name), where, "unset AWS_EC2_METADATA_DISABLED");
    }
    return fail(ErrorCode::invalid_argument, fmt::format("profile \"{}\" has an unknown credential_source", name), where, "one of Environment, EcsContainer, Ec2InstanceMetadata");
  }

  static tl::unexpected<Error> missing(const Section& profile, const std::string& name, const char* there, const char* absent) {
    return fail(ErrorCode::permission_denied, fmt::format("profile \"{}\" has {} without {}", name, there, absent), where_of(profile, there), fmt::format("add {}", absent));
  }

  static CredentialSource always(Credentials credentials) {
    return [credentials = std::move(credentials)]() -> Result<Credentials> { return credentials; };
  }

  const CredentialContext& context_;
  std::vector<std::string> visited_;
};

}  // namespace

Result<std::optional<CredentialSource>> profile_source(const CredentialContext& context, const std::string& name) {
  return ProfileResolver(context).resolve(name);
}

Result<std::optional<Credentials>> environment_credentials(const Environment& environment) {
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

}  // namespace redoubt::provider::aws
