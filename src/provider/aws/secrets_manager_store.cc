// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/secrets_manager_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <thread>

#include "provider/aws/about.h"
#include "provider/aws/answer.h"

namespace redoubt::provider::aws {
namespace {

constexpr std::string_view kVersionMark = "redoubt-";
constexpr std::size_t kNumberDigits = 8;
constexpr const char* kCurrent = "AWSCURRENT";
constexpr int kPutAttemptsMax = 64;  // each fails because another put took the number meanwhile

// "redoubt-00000003-of-this-secret-by-number": 32 to 64 characters, as a version's id must have. Nothing in it is random: an id stands
// for one value for ever, so that of many puts of one number the service takes a single one.
std::string version_id(int number) { return fmt::format("{}{:08}-of-this-secret-by-number", kVersionMark, number); }

// 0 for a version that was made elsewhere.
int version_number(std::string_view id) {
  if (!id.starts_with(kVersionMark) || id.size() < kVersionMark.size() + kNumberDigits) return 0;
  const auto digits = id.substr(kVersionMark.size(), kNumberDigits);
  int number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  return error == std::errc{} && end == digits.data() + digits.size() ? number : 0;
}

bool has_stage(const Json& stages, std::string_view stage) { return stages.is_array() && std::find(stages.begin(), stages.end(), stage) != stages.end(); }

TimePoint time_or_none(const Json& secret, const char* member) { return time_of(secret, member).value_or(TimePoint()); }

bool is_marked_for_deletion(const Error& error) {
  return is_service_error(error, "InvalidRequestException") && error.message.find("delet") != error.message.npos;
}

bool is_deleted(const Json& secret) {
  if (!secret.is_object()) return false;
  const auto date = secret.find("DeletedDate");
  return date != secret.end() && !date->is_null();
}

// Versions of ours have their number in their id; those that somebody else made count on from the newest of ours, in their order.
struct Numbers {
  int next = 1;
  int current = 0;  // 0: no version holds a value yet
  TimePoint changed{};
};

Numbers number_versions(const Json& versions) {
  int newest = 0;
  TimePoint newest_made{};
  for (const auto& one : versions) {
    if (const int number = version_number(json_or(one, "VersionId", "")); number > newest) {
      newest = number;
      newest_made = time_or_none(one, "CreatedDate");
    }
  }
  const auto made_elsewhere_until = [&](TimePoint until) {
    return static_cast<int>(std::count_if(versions.begin(), versions.end(), [&](const Json& one) {
      const auto made = time_or_none(one, "CreatedDate");
      return version_number(json_or(one, "VersionId", "")) == 0 && made >= newest_made && made <= until;
    }));
  };
  Numbers numbers{newest + made_elsewhere_until(TimePoint::max()) + 1, 0, {}};
  for (const auto& one : versions) {
    if (!has_stage(json_or(one, "VersionStages", Json::array()), kCurrent)) continue;
    numbers.changed = time_or_none(one, "CreatedDate");
    const int own = version_number(json_or(one, "VersionId", ""));
    numbers.current = own > 0 ? own : newest + std::max(1, made_elsewhere_until(numbers.changed));
  }
  return numbers;
}

Result<Numbers> read_numbers(Client& client, const std::string& id) {
  return number_versions(TRY(client.call_all("secretsmanager", "ListSecretVersionIds", {{"SecretId", id}, {"IncludeDeprecated", true}, {"MaxResults", 100}}, "Versions")));
}

tl::unexpected<Error> absent(const std::string& id) { return fail(ErrorCode::not_found, "no such secret", id, "see the names with 'redoubt secret list'"); }

}  // namespace

Result<std::unique_ptr<SecretsManagerStore>> SecretsManagerStore::create(SecretsManagerStoreOptions options, Client& client) {
  const auto& prefix = options.prefix;
  if (!prefix.empty() && (!prefix.ends_with('/') || !is_secret_name(prefix.substr(0, prefix.size() - 1)))) {
    return fail(ErrorCode::invalid_argument, "not a prefix of secrets' names", prefix, "write parts of [A-Za-z0-9._-], each with a '/' behind it");
  }
  if (options.recovery_days < 7 || options.recovery_days > 30) {
    return fail(ErrorCode::invalid_argument, fmt::format("{} days are no recovery window", options.recovery_days), "recovery_days", "Secrets Manager takes 7 to 30");
  }
  return std::unique_ptr<SecretsManagerStore>(new SecretsManagerStore(std::move(options), client));
}

tl::unexpected<Error> SecretsManagerStore::fail_secret(std::string_view name, Error error) const {
  if (error.code == ErrorCode::not_found && is_service_error(error, "ResourceNotFoundException")) return absent(id_of(name));
  const auto hint = fmt::format("allow the action on the secret {}* in the role's policy, and the use of its KMS key", options_.prefix);
  return fail_about(id_of(name), std::move(error), hint);
}

// Null where there is no such secret; one that is marked for deletion has a DeletedDate.
Result<Json> SecretsManagerStore::describe(std::string_view name) {
  auto known = client_.call("secretsmanager", "DescribeSecret", {{"SecretId", id_of(name)}});
  if (known) return known;
  if (known.error().code == ErrorCode::not_found) return Json(nullptr);
  return fail_secret(name, known.error());
}

Result<Json> SecretsManagerStore::make(std::string_view name, const std::string& value) {
  Json input = {{"Name", id_of(name)}, {"SecretBinary", value}, {"ClientRequestToken", version_id(1)}, {"Tags", Json::array({{{"Key", "redoubt"}, {"Value", "secret"}}})}};
  if (!options_.kms_key.empty()) input["KmsKeyId"] = options_.kms_key;
  return client_.call("secretsmanager", "CreateSecret", input);
}

// Marked for deletion again, as it was before a put that came to nothing.
tl::unexpected<Error> SecretsManagerStore::give_back(std::string_view name, Error error) {
  const auto marked = client_.call("secretsmanager", "DeleteSecret", {{"SecretId", id_of(name)}, {"RecoveryWindowInDays", options_.recovery_days}});
  if (!marked) error.hint = "the secret was restored and could not be marked for deletion again: 'redoubt secret delete'. " + error.hint;
  return fail(std::move(error));
}

// Optimistic: the number is one more than the newest version's, and when another put has it by now, the next is tried.
Result<SecretInfo> SecretsManagerStore::put(std::string_view name, const Secret& value) {
  TRY(check_secret(name, value));
  const auto id = id_of(name), encoded = to_base64(value.reveal(SecretAccess::for_protocol()));
  using Steady = std::chrono::steady_clock;
  const auto end = Steady::now() + std::chrono::milliseconds(options_.delete_wait_ms_max);
  int taken = 0, pause_ms = 250;
  bool is_restored = false;
  for (int attempt = 0; attempt < kPutAttemptsMax; ++attempt) {
    const Json known = TRY(describe(name));
    if (is_deleted(known)) {
      const auto restored = client_.call("secretsmanager", "RestoreSecret", {{"SecretId", id}});
      if (!restored && restored.error().code != ErrorCode::not_found && !is_service_error(restored.error(), "InvalidRequestException")) return fail_secret(name, restored.error());
      is_restored = is_restored || restored;
      continue;
    }
    const auto numbers = known.is_null() ? Result<Numbers>(Numbers{}) : read_numbers(client_, id);
    const int number = numbers ? std::max(numbers->next, taken + 1) : 0;
    const auto done = !numbers        ? Result<Json>(fail(numbers.error()))
                      : known.is_null() ? make(name, encoded)
                                        : client_.call("secretsmanager", "PutSecretValue", {{"SecretId", id}, {"SecretBinary", encoded}, {"ClientRequestToken", version_id(number)}});
    if (done) return SecretInfo{std::string(name), number, time_or_none(TRY(describe(name)), "LastChangedDate")};
    if (is_marked_for_deletion(done.error())) {
      if (Steady::now() >= end) return fail(ErrorCode::already_exists, "a secret of this name is still being deleted", id, "put it again when it is gone");
      std::this_thread::sleep_for(std::chrono::milliseconds(pause_ms));
      pause_ms = std::min(pause_ms * 2, 4000);
    } else if (done.error().code == ErrorCode::already_exists) {
      taken = known.is_null() ? 0 : number;
    } else if (done.error().code != ErrorCode::not_found || known.is_null()) {
      auto failed = fail_secret(name, done.error());
      return is_restored ? give_back(name, std::move(failed.value())) : failed;
    }
  }
  return fail(ErrorCode::unavailable, fmt::format("other puts of the secret were first {} times", kPutAttemptsMax), id, "find out who puts it so often, then try again");
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
    const auto name = id.substr(options_.prefix.size());
    const auto numbers = read_numbers(client_, id);
    if (!numbers && numbers.error().code == ErrorCode::not_found) continue;  // removed meanwhile
    if (!numbers) return fail_secret(name, numbers.error());
    if (numbers->current > 0) infos.push_back({name, numbers->current, numbers->changed});
  }
  std::sort(infos.begin(), infos.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return infos;
}

Result<std::optional<TimePoint>> SecretsManagerStore::remove(std::string_view name, Removal how) {
  if (!is_secret_name(name)) return fail(ErrorCode::invalid_argument, "not a secret's name", std::string(name.substr(0, 256)));
  // Forced deletion of what is not there succeeds.
  const Json known = TRY(describe(name));
  const bool at_once = how == Removal::at_once;
  if (known.is_null() || (is_deleted(known) && !at_once)) return absent(id_of(name));
  Json input = {{"SecretId", id_of(name)}};
  if (at_once) input["ForceDeleteWithoutRecovery"] = true;
  if (!at_once) input["RecoveryWindowInDays"] = options_.recovery_days;
  const auto removed = client_.call("secretsmanager", "DeleteSecret", input);
  if (!removed) return fail_secret(name, removed.error());
  return at_once ? std::nullopt : std::optional(time_or_none(*removed, "DeletionDate"));
}

Result<std::optional<SecretInfo>> SecretsManagerStore::rotate(std::string_view name) {
  if (!is_secret_name(name)) return fail(ErrorCode::invalid_argument, "not a secret's name", std::string(name.substr(0, 256)));
  const auto id = id_of(name);
  const Json known = TRY(describe(name));
  const auto function = known.is_null() ? "" : json_or(known, "RotationLambdaARN", "");
  if (known.is_null() || is_deleted(known) || !json_or(known, "RotationEnabled", false) || function.empty()) return std::nullopt;
  const auto numbers = read_numbers(client_, id);
  if (!numbers) return fail_secret(name, numbers.error());
  const auto token = version_id(numbers->next);
  const auto cure = fmt::format("look into the log of {}; the value before still counts", function);
  const auto begun = client_.call("secretsmanager", "RotateSecret", {{"SecretId", id}, {"ClientRequestToken", token}});
  if (!begun && is_service_error(begun.error(), "InvalidRequestException")) return fail(ErrorCode::unavailable, begun.error().message, id, "an earlier rotation has not ended: " + cure);
  if (!begun) return fail_secret(name, begun.error());
  const auto is_current = [&](const Json& secret) -> Result<bool> {
    const Json stages = json_or(secret, "VersionIdsToStages", Json::object());
    return stages.contains(token) && has_stage(stages[token], kCurrent);
  };
  const auto done = client_.wait_until("secretsmanager", "DescribeSecret", {{"SecretId", id}}, is_current, {500, 5'000, options_.rotation_wait_s_max});
  if (!done && done.error().code == ErrorCode::limit_exceeded) return fail(ErrorCode::unavailable, fmt::format("the rotation function made no new value in {} s", options_.rotation_wait_s_max), id, cure);
  if (!done) return fail_secret(name, done.error());
  return SecretInfo{std::string(name), numbers->next, time_or_none(*done, "LastChangedDate")};
}

}  // namespace redoubt::provider::aws
