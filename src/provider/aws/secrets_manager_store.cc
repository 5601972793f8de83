// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/secrets_manager_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <thread>

#include "crypto/random.h"
#include "provider/aws/about.h"

namespace redoubt::provider::aws {
namespace {

constexpr std::string_view kVersionMark = "redoubt-";
constexpr std::size_t kNumberDigits = 8;
constexpr const char* kCurrent = "AWSCURRENT";

// "redoubt-00000003-<random>": 32 to 64 characters, as a version's id must have.
std::string version_id(int number) { return fmt::format("{}{:08}-{}", kVersionMark, number, to_hex(crypto::random_bytes(12))); }

// 0 for a version that was made elsewhere.
int number_of(std::string_view id) {
  if (!id.starts_with(kVersionMark) || id.size() < kVersionMark.size() + kNumberDigits) return 0;
  const auto digits = id.substr(kVersionMark.size(), kNumberDigits);
  int number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  return error == std::errc{} && end == digits.data() + digits.size() ? number : 0;
}

// The number of the current version: its own, or the one that follows the newest of ours when it was made elsewhere.
int current_number(const Json& versions_to_stages) {
  int newest = 0, current = 0;
  for (const auto& [id, stages] : versions_to_stages.items()) {
    newest = std::max(newest, number_of(id));
    if (stages.is_array() && std::find(stages.begin(), stages.end(), kCurrent) != stages.end()) current = number_of(id);
  }
  return current > 0 ? current : newest + 1;
}

TimePoint time_of(const Json& secret, const char* member) {
  return TimePoint(std::chrono::duration_cast<TimePoint::duration>(std::chrono::duration<double>(json_or(secret, member, 0.0))));
}

bool is_marked_for_deletion(const Error& error) {
  return is_service_error(error, "InvalidRequestException") && error.message.find("delet") != error.message.npos;
}

bool is_deleted(const Json& secret) {
  const auto date = secret.find("DeletedDate");
  return date != secret.end() && !date->is_null();
}

tl::unexpected<Error> absent(const std::string& id) { return fail(ErrorCode::not_found, "no such secret", id, "see the names with 'redoubt secret list'"); }

}  // namespace

Result<std::unique_ptr<SecretsManagerStore>> SecretsManagerStore::create(SecretsManagerStoreOptions options, Client& client) {
  const auto& prefix = options.prefix;
  if (!prefix.empty() && (!prefix.ends_with('/') || !is_secret_name(prefix.substr(0, prefix.size() - 1)))) {
    return fail(ErrorCode::invalid_argument, "not a prefix of secrets' names", prefix, "write parts of [A-Za-z0-9._-], each with a '/' behind it");
  }
  return std::unique_ptr<SecretsManagerStore>(new SecretsManagerStore(std::move(options), client));
}

tl::unexpected<Error> SecretsManagerStore::fail_secret(std::string_view name, Error error) const {
  if (error.code == ErrorCode::not_found && is_service_error(error, "ResourceNotFoundException")) return absent(id_of(name));
  const auto hint = fmt::format("allow the action on the secret {}* in the role's policy, and the use of its KMS key", options_.prefix);
  return fail_about(id_of(name), std::move(error), hint);
}

Result<Json> SecretsManagerStore::make(std::string_view name, const std::string& token, const std::string& value) {
  Json input = {{"Name", id_of(name)}, {"SecretBinary", value}, {"ClientRequestToken", token}, {"Tags", Json::array({{{"Key", "redoubt"}, {"Value", "secret"}}})}};
  if (!options_.kms_key.empty()) input["KmsKeyId"] = options_.kms_key;
  using Steady = std::chrono::steady_clock;
  const auto end = Steady::now() + std::chrono::milliseconds(options_.delete_wait_ms_max);
  for (int pause_ms = 250;; pause_ms = std::min(pause_ms * 2, 4000)) {
    auto made = client_.call("secretsmanager", "CreateSecret", input);
    if (made || !is_marked_for_deletion(made.error()) || Steady::now() >= end) return made;
    std::this_thread::sleep_for(std::chrono::milliseconds(pause_ms));
  }
}

Result<SecretInfo> SecretsManagerStore::put(std::string_view name, const Secret& value) {
  TRY(check_secret(name, value));
  const auto encoded = to_base64(value.reveal(SecretAccess::for_protocol()));
  const auto known = client_.call("secretsmanager", "DescribeSecret", {{"SecretId", id_of(name)}});
  if (!known && known.error().code != ErrorCode::not_found) return fail_secret(name, known.error());
  const bool is_there = known && !is_deleted(*known);
  const int number = is_there ? current_number(json_or(*known, "VersionIdsToStages", Json::object())) + 1 : 1;
  const auto token = version_id(number);
  const auto done = is_there ? client_.call("secretsmanager", "PutSecretValue", {{"SecretId", id_of(name)}, {"SecretBinary", encoded}, {"ClientRequestToken", token}})
                             : make(name, token, encoded);
  const bool was_marked = known && is_deleted(*known);
  if (!done && (is_marked_for_deletion(done.error()) || (was_marked && done.error().code == ErrorCode::already_exists))) {
    return fail(ErrorCode::already_exists, "a secret of this name is marked for deletion", id_of(name), "restore it (aws secretsmanager restore-secret), or wait until it is gone");
  }
  if (!done) return fail_secret(name, done.error());
  const auto now = TRY(client_.call("secretsmanager", "DescribeSecret", {{"SecretId", id_of(name)}}));
  return SecretInfo{std::string(name), number, time_of(now, "LastChangedDate")};
}

Result<Secret> SecretsManagerStore::value_of(std::string_view name, const char* stage) {
  if (!is_secret_name(name)) return fail(ErrorCode::invalid_argument, "not a secret's name", std::string(name.substr(0, 256)));
  const auto answer = client_.call("secretsmanager", "GetSecretValue", {{"SecretId", id_of(name)}, {"VersionStage", stage}});
  if (!answer && is_marked_for_deletion(answer.error())) return absent(id_of(name));
  if (!answer) return fail_secret(name, answer.error());
  if (const auto text = json_or(*answer, "SecretString", ""); !text.empty()) return Secret(text);
  return Secret(TRY(from_base64(TRY(json_string(*answer, "SecretBinary", "secretsmanager.GetSecretValue")))));
}

Result<Secret> SecretsManagerStore::get(std::string_view name) { return value_of(name, kCurrent); }
Result<Secret> SecretsManagerStore::get_previous(std::string_view name) { return value_of(name, "AWSPREVIOUS"); }

Result<std::vector<SecretInfo>> SecretsManagerStore::list() {
  Json input = {{"MaxResults", 100}};
  if (!options_.prefix.empty()) input["Filters"] = Json::array({{{"Key", "name"}, {"Values", {options_.prefix}}}});
  const auto secrets = client_.call_all("secretsmanager", "ListSecrets", input, "SecretList");
  if (!secrets) return fail_secret("", secrets.error());
  std::vector<SecretInfo> infos;
  for (const auto& secret : *secrets) {
    const auto id = json_or(secret, "Name", "");
    // The filter ignores case, and marks for deletion are shown on some pages.
    if (!id.starts_with(options_.prefix) || is_deleted(secret) || !is_secret_name(id.substr(options_.prefix.size()))) continue;
    infos.push_back({id.substr(options_.prefix.size()), current_number(json_or(secret, "SecretVersionsToStages", Json::object())), time_of(secret, "LastChangedDate")});
  }
  std::sort(infos.begin(), infos.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return infos;
}

Status SecretsManagerStore::remove(std::string_view name) {
  if (!is_secret_name(name)) return fail(ErrorCode::invalid_argument, "not a secret's name", std::string(name.substr(0, 256)));
  // Forced deletion of what is not there succeeds.
  const auto known = client_.call("secretsmanager", "DescribeSecret", {{"SecretId", id_of(name)}});
  if (!known) return fail_secret(name, known.error());
  if (is_deleted(*known)) return absent(id_of(name));
  const auto removed = client_.call("secretsmanager", "DeleteSecret", {{"SecretId", id_of(name)}, {"ForceDeleteWithoutRecovery", true}});
  if (!removed) return fail_secret(name, removed.error());
  return {};
}

}  // namespace redoubt::provider::aws
