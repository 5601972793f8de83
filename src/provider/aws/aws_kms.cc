// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/aws_kms.h"

#include "provider/aws/about.h"
#include "provider/aws/resource_region.h"

namespace redoubt::provider::aws {
namespace {

constexpr std::size_t kDataKeyBytesMax = 4096;  // what Encrypt takes
constexpr std::size_t kWrappedBytesMax = 6144;  // what Decrypt takes
constexpr int kRotationDays = 90;
constexpr int kDeletionDays = 7;  // the least that KMS allows

Result<std::string> id_of(std::string_view key_uri) {
  if (key_uri.starts_with(kKmsScheme) && key_uri.size() > kKmsScheme.size()) return std::string(key_uri.substr(kKmsScheme.size()));
  return fail(ErrorCode::invalid_argument, "not the URI of a key of AWS KMS", std::string(key_uri), "write aws-kms:alias/NAME, aws-kms:KEY-ID or aws-kms:ARN");
}

Status check_context(const EncryptionContext& context) {
  if (context.empty()) return fail(ErrorCode::invalid_argument, "the encryption context is empty");
  return {};
}

Json json_of(const EncryptionContext& context) {
  Json json = Json::object();
  for (const auto& [key, value] : context) json[key] = value;
  return json;
}

// KMS answers "The ciphertext refers to a customer master key that does not exist..." with the code of a refusal; one of the
// caller says that it is not authorized.
bool names_another_key(const Error& error) {
  return is_service_error(error, "AccessDeniedException") && error.message.find("not authorized") == error.message.npos;
}

tl::unexpected<Error> not_what_was_wrapped(std::string_view key_uri) {
  return fail(ErrorCode::tampered, "the wrapped key was not made by this key under this context", std::string(key_uri));
}

}  // namespace

tl::unexpected<Error> AwsKms::fail_kms(std::string_view key_uri, Error error) {
  const bool is_gone = is_service_error(error, "KMSInvalidStateException") || is_service_error(error, "DisabledException");
  if (is_gone) {
    forget(key_uri);
    return fail(ErrorCode::not_found, error.message, std::string(key_uri), "enable the key, or cancel its deletion, where that is meant");
  }
  return fail_about(std::string(key_uri), std::move(error), "make the key (config/cloudformation_template.yaml), or allow its use in its key policy and in the role's");
}

void AwsKms::forget(std::string_view key_uri) {
  const std::lock_guard lock(mutex_);
  if (const auto found = arns_.find(key_uri); found != arns_.end()) arns_.erase(found);
}

Result<std::string> AwsKms::arn_of(std::string_view key_uri) {
  const auto id = TRY(id_of(key_uri));
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = arns_.find(key_uri); found != arns_.end()) return found->second;
  }
  // KMS would say that there is no such key.
  if (auto here = check_region("key", id, client_); !here) return fail_about(std::string(key_uri), here.error());
  auto answer = client_.call("kms", "DescribeKey", {{"KeyId", id}});
  if (!answer) return fail_kms(key_uri, std::move(answer.error()));
  const Json key = json_or(*answer, "KeyMetadata", Json::object());
  const auto state = json_or(key, "KeyState", "");
  if (state == "PendingDeletion" || state == "PendingReplicaDeletion") return fail(ErrorCode::not_found, "the key is about to be deleted", std::string(key_uri), "cancel its deletion, where that is meant");
  if (state != "Enabled") return fail(ErrorCode::not_found, "the key is not enabled: " + state, std::string(key_uri), "enable it in KMS");
  if (json_or(key, "KeyUsage", "ENCRYPT_DECRYPT") != "ENCRYPT_DECRYPT") return fail(ErrorCode::invalid_argument, "the key is not one for encryption", std::string(key_uri), "name a symmetric key for encryption");
  auto arn = TRY(json_string(key, "Arn", "kms.DescribeKey"));
  const std::lock_guard lock(mutex_);
  return arns_.emplace(std::string(key_uri), std::move(arn)).first->second;
}

Result<Bytes> AwsKms::wrap(std::string_view key_uri, const Secret& data_key, const EncryptionContext& context) {
  TRY(check_context(context));
  if (data_key.empty() || data_key.size() > kDataKeyBytesMax) return fail(ErrorCode::invalid_argument, "a data key has 1 to 4096 bytes");
  const auto arn = TRY(arn_of(key_uri));
  const auto plaintext = to_base64(data_key.reveal(SecretAccess::for_protocol()));
  auto answer = client_.call("kms", "Encrypt", {{"KeyId", arn}, {"Plaintext", plaintext}, {"EncryptionContext", json_of(context)}});
  if (!answer) return fail_kms(key_uri, std::move(answer.error()));
  return from_base64(TRY(json_string(*answer, "CiphertextBlob", "kms.Encrypt")));
}

Result<Secret> AwsKms::unwrap(std::string_view key_uri, ByteView wrapped, const EncryptionContext& context) {
  TRY(check_context(context));
  const auto arn = TRY(arn_of(key_uri));
  if (wrapped.empty() || wrapped.size() > kWrappedBytesMax) return not_what_was_wrapped(key_uri);
  auto answer = client_.call("kms", "Decrypt", {{"KeyId", arn}, {"CiphertextBlob", to_base64(wrapped)}, {"EncryptionContext", json_of(context)}});
  if (!answer && (answer.error().code == ErrorCode::tampered || names_another_key(answer.error()))) return not_what_was_wrapped(key_uri);
  // The key is there, so what is not found is the one that the blob names.
  if (!answer && is_service_error(answer.error(), "NotFoundException")) {
    forget(key_uri);
    (void)TRY(arn_of(key_uri));
    return not_what_was_wrapped(key_uri);
  }
  if (!answer) return fail_kms(key_uri, std::move(answer.error()));
  if (json_or(*answer, "KeyId", "") != arn) return not_what_was_wrapped(key_uri);
  return Secret(TRY(from_base64(TRY(json_string(*answer, "Plaintext", "kms.Decrypt")))));
}

Result<std::string> AwsKms::make_key() {
  const Json tags = Json::array({{{"TagKey", "redoubt"}, {"TagValue", "data-keys"}}});
  const auto answer = TRY(client_.call("kms", "CreateKey", {{"Description", "Redoubt: wraps the data keys of stored objects"}, {"KeyUsage", "ENCRYPT_DECRYPT"}, {"KeySpec", "SYMMETRIC_DEFAULT"}, {"Tags", tags}}));
  return json_string(json_or(answer, "KeyMetadata", Json::object()), "Arn", "kms.CreateKey");
}

Status AwsKms::schedule_deletion(const std::string& arn) {
  const auto id = arn.substr(arn.rfind('/') + 1);
  TRY(client_.call("kms", "ScheduleKeyDeletion", {{"KeyId", id}, {"PendingWindowInDays", kDeletionDays}}));
  return {};
}

Status AwsKms::create_key(std::string_view key_uri) {
  const auto alias = TRY(id_of(key_uri));
  if (!alias.starts_with("alias/")) return fail(ErrorCode::invalid_argument, "a new key is named by an alias", std::string(key_uri), "write aws-kms:alias/NAME");
  const auto known = client_.call("kms", "DescribeKey", {{"KeyId", alias}});
  if (known) return fail(ErrorCode::already_exists, "the alias is taken", std::string(key_uri));
  if (known.error().code != ErrorCode::not_found) return fail_kms(key_uri, known.error());
  auto arn = make_key();
  if (!arn) return fail_kms(key_uri, std::move(arn.error()));
  auto made = client_.call("kms", "EnableKeyRotation", {{"KeyId", *arn}, {"RotationPeriodInDays", kRotationDays}});
  if (made) made = name_key(alias, *arn);
  if (made) return {};
  (void)schedule_deletion(*arn);  // a key without a name would be nobody's
  return fail_kms(key_uri, std::move(made.error()));
}

Result<Json> AwsKms::name_key(const std::string& alias, const std::string& arn) {
  auto made = client_.call("kms", "CreateAlias", {{"AliasName", alias}, {"TargetKeyId", arn}});
  if (made || made.error().code != ErrorCode::unavailable) return made;
  // The answer may have got lost on its way: then the key has its name.
  auto now = client_.call("kms", "DescribeKey", {{"KeyId", alias}});
  return now && json_or(json_or(*now, "KeyMetadata", Json::object()), "Arn", "") == arn ? now : made;
}

Status AwsKms::rotate_key(std::string_view key_uri) {
  const auto arn = TRY(arn_of(key_uri));
  auto rotated = client_.call("kms", "RotateKeyOnDemand", {{"KeyId", arn}});
  if (rotated || is_service_error(rotated.error(), "ConflictException")) return {};
  return fail_kms(key_uri, std::move(rotated.error()));
}

Status AwsKms::destroy_key(std::string_view key_uri) {
  const auto arn = TRY(arn_of(key_uri));
  auto scheduled = schedule_deletion(arn);
  forget(key_uri);
  if (!scheduled) return fail_kms(key_uri, std::move(scheduled.error()));
  return {};
}

}  // namespace redoubt::provider::aws
