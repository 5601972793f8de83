// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/api/denial.h"

#include <algorithm>
#include <array>
#include <utility>

namespace redoubt::provider::aws {
namespace {

using Pair = std::pair<std::string_view, std::string_view>;

// Operations whose action has another name, and services whose actions have another prefix (Service Authorization Reference).
constexpr std::array<Pair, 13> kActions = {{{"s3.HeadObject", "s3:GetObject"},
                                            {"s3.HeadBucket", "s3:ListBucket"},
                                            {"s3.ListObjectsV2", "s3:ListBucket"},
                                            {"s3.ListObjectVersions", "s3:ListBucketVersions"},
                                            {"s3.CreateMultipartUpload", "s3:PutObject"},
                                            {"s3.UploadPart", "s3:PutObject"},
                                            {"s3.CompleteMultipartUpload", "s3:PutObject"},
                                            {"s3.ListMultipartUploads", "s3:ListBucketMultipartUploads"},
                                            {"s3.ListParts", "s3:ListMultipartUploadParts"},
                                            {"s3.PutBucketEncryption", "s3:PutEncryptionConfiguration"},
                                            {"s3.PutPublicAccessBlock", "s3:PutBucketPublicAccessBlock"},
                                            {"s3.PutBucketLifecycleConfiguration", "s3:PutLifecycleConfiguration"},
                                            {"accessanalyzer.ListFindingsV2", "access-analyzer:ListFindings"}}};
constexpr std::array<Pair, 4> kPrefixes = {{{"accessanalyzer", "access-analyzer"}, {"sagemaker-runtime", "sagemaker"}, {"service-quotas", "servicequotas"}, {"stepfunctions", "states"}}};

template <std::size_t count>
std::string_view other_name(const std::array<Pair, count>& names, std::string_view name) {
  const auto found = std::find_if(names.begin(), names.end(), [&](const Pair& pair) { return pair.first == name; });
  return found == names.end() ? std::string_view() : found->second;
}

// The word that follows `mark`, without the quotes that S3 puts around a resource and the sentence's end; empty where there is none.
std::string word_after(std::string_view text, std::string_view mark) {
  const auto at = text.find(mark);
  if (at == text.npos) return {};
  auto word = text.substr(at + mark.size());
  word = word.substr(0, word.find_first_of(" ("));
  while (!word.empty() && (word.front() == '"' || word.front() == '\'')) word.remove_prefix(1);
  while (!word.empty() && (word.back() == '"' || word.back() == '\'' || word.back() == ',' || word.back() == '.')) word.remove_suffix(1);
  return std::string(word);
}

std::string between(std::string_view text, std::string_view from, std::string_view to) {
  const auto at = text.find(from);
  if (at == text.npos) return {};
  const auto rest = text.substr(at + from.size());
  const auto end = rest.find(to);
  return std::string(rest.substr(0, end));
}

}  // namespace

std::string action_of(std::string_view subject) {
  if (const auto named = other_name(kActions, subject); !named.empty()) return std::string(named);
  const auto dot = subject.find('.');
  if (dot == subject.npos) return {};
  const auto service = subject.substr(0, dot), prefix = other_name(kPrefixes, service);
  return std::string(prefix.empty() ? service : prefix) + ":" + std::string(subject.substr(dot + 1));
}

Denial read_denial(std::string_view message, std::string_view subject) {
  Denial denial;
  denial.principal = word_after(message, "User: ");
  denial.action = word_after(message, "not authorized to perform: ");
  // Some services name no action of IAM there, but their operation.
  if (denial.action.find(':') == std::string::npos) denial.action = action_of(subject);
  denial.resource = word_after(message, "on resource: ");
  denial.policy = between(message, "because no ", " allows");
  if (denial.policy.empty() && (message.find("explicit deny in a") != message.npos)) {
    denial.policy = between(message, "explicit deny in a", "\n");
    denial.policy = denial.policy.substr(denial.policy.find(' ') + 1);
    while (!denial.policy.empty() && denial.policy.back() == '.') denial.policy.pop_back();
    denial.is_explicit = true;
  }
  return denial;
}

std::string cure_of(const Denial& denial) {
  std::string cure = "allow " + (denial.action.empty() ? "the action" : denial.action);
  if (!denial.resource.empty()) cure += " on " + denial.resource;
  cure += " to " + (denial.principal.empty() ? "the role or user that runs this" : denial.principal);
  if (denial.policy.empty()) return cure + ", in its policies and in the resource's own policy";
  return cure + (denial.is_explicit ? ": denied by a statement of a " + denial.policy + ", which counts more than what allows it" : ": no " + denial.policy + " does");
}

}  // namespace redoubt::provider::aws
