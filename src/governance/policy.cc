// SPDX-License-Identifier: Apache-2.0
#include "governance/policy.h"

#include <fmt/ranges.h>

#include <algorithm>

namespace redoubt::governance {
namespace {

bool contains(const std::vector<std::string>& list, const std::string& word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

// A time in the future means that a clock ran backwards: as bad as none.
bool is_older_than(std::optional<TimePoint> time, TimePoint now, std::chrono::hours age_max) {
  return !time || *time > now || now - *time > age_max;
}

Result<std::vector<ImageSigner>> signers_of(const Json& images) {
  std::vector<ImageSigner> signers;
  for (const auto& item : TRY(json_array(images, "signed_by", "policy: images"))) {
    ImageSigner signer;
    signer.name = TRY(json_string(item, "name", "policy: images.signed_by"));
    signer.key = TRY(json_string(item, "key", "policy: images.signed_by"));
    signers.push_back(std::move(signer));
  }
  return signers;
}

Result<std::optional<SignatureSource>> source_of(const Json& images) {
  if (!images.contains("signatures_from")) return std::optional<SignatureSource>();
  const char* where = "policy: images.signatures_from";
  const Json from = TRY(json_object(images, "signatures_from", where));
  SignatureSource source;
  source.repository = TRY(json_string(from, "repository", where));
  source.ca_file = TRY(json_string(from, "ca_file", where));
  source.login_secret = TRY(json_string(from, "login_secret", where));
  return std::optional(std::move(source));
}

// The reasons that the image's scan and its signatures give.
void judge_image(const Policy& policy, const AdmissionFacts& facts, std::vector<std::string>& refusals) {
  for (const auto& severity : policy.vulnerabilities_block) {
    const auto found = facts.vulnerabilities.find(severity);
    if (found != facts.vulnerabilities.end() && found->second > 0) {
      refusals.push_back(fmt::format("the image has {} open {} vulnerabilities", found->second, severity));
    }
  }
  if (policy.block_exploited && facts.exploited > 0) refusals.push_back(fmt::format("the image has {} open vulnerabilities that are known to be exploited (KEV)", facts.exploited));
  if (policy.epss_block > 0 && facts.epss_max >= policy.epss_block) {
    refusals.push_back(fmt::format("the image has an open vulnerability with an EPSS score of {:.3f}; the policy's limit is {:.3f}", facts.epss_max, policy.epss_block));
  }
  if (policy.image_signers.empty()) return;
  std::vector<std::string> names;
  for (const auto& signer : policy.image_signers) names.push_back(signer.name);
  const auto signed_by = std::count_if(names.begin(), names.end(), [&](const std::string& name) { return facts.image_signed_by.contains(name); });
  if (signed_by >= policy.image_signatures_min) return;
  const std::string place = policy.signatures_from ? " in " + policy.signatures_from->repository : "";
  const std::string image = policy.signatures_from ? policy.signatures_from->repository + "@DIGEST" : "IMAGE";
  refusals.push_back(fmt::format("the image carries {} of {} signatures of those whom the policy names ({}){}; have it signed: redoubt image sign {} --key-file KEY", signed_by,
                                 policy.image_signatures_min, fmt::join(names, ", "), place, image));
}

}  // namespace

Result<Policy> Policy::from_json(const Json& checked) {
  Policy policy;
  policy.approvals_min = static_cast<int>(TRY(json_integer(checked, "approvals_min", "policy")));
  const Json vulnerabilities = TRY(json_object(checked, "vulnerabilities", "policy"));
  policy.vulnerabilities_block = TRY(json_array(vulnerabilities, "block", "policy")).get<std::vector<std::string>>();
  policy.scan_age_hours_max = static_cast<int>(TRY(json_integer(vulnerabilities, "scan_age_hours_max", "policy")));
  // Versions that were registered before there were these have what is safe.
  policy.block_exploited = json_or(vulnerabilities, "block_exploited", true);
  policy.epss_block = json_or(vulnerabilities, "epss_block", 0.0);
  if (checked.contains("images")) {
    const Json images = TRY(json_object(checked, "images", "policy"));
    policy.image_signers = TRY(signers_of(images));
    policy.image_signatures_min = static_cast<int>(TRY(json_integer(images, "signatures_min", "policy: images")));
    policy.signatures_from = TRY(source_of(images));
  }
  policy.evaluation_age_days_max = static_cast<int>(TRY(json_integer(checked, "evaluation_age_days_max", "policy")));
  policy.licenses = TRY(json_array(checked, "licenses", "policy")).get<std::vector<std::string>>();
  policy.environments = TRY(json_array(checked, "environments", "policy")).get<std::vector<std::string>>();
  policy.promotion = json_or(checked, "promotion", Json::object()).get<std::map<std::string, std::string>>();
  return policy;
}

Json Policy::to_json() const {
  Json signers = Json::array();
  for (const auto& signer : image_signers) signers.push_back({{"name", signer.name}, {"key", signer.key}});
  Json json = {{"approvals_min", approvals_min},
          {"vulnerabilities", {{"block", vulnerabilities_block}, {"scan_age_hours_max", scan_age_hours_max}, {"block_exploited", block_exploited}, {"epss_block", epss_block}}},
          {"images", {{"signed_by", signers}, {"signatures_min", image_signatures_min}}},
          {"evaluation_age_days_max", evaluation_age_days_max},
          {"licenses", licenses},
          {"environments", environments}};
  if (signatures_from) {
    json["images"]["signatures_from"] = {{"repository", signatures_from->repository}, {"ca_file", signatures_from->ca_file}, {"login_secret", signatures_from->login_secret}};
  }
  if (!promotion.empty()) json["promotion"] = promotion;
  return json;
}

std::vector<std::string> admission_refusals(const Policy& policy, const AdmissionFacts& facts, TimePoint now) {
  std::vector<std::string> refusals;
  if (facts.state != "Approved" && facts.state != "Deployed") {
    refusals.push_back(fmt::format("the version is {}; only an approved one is deployed", facts.state));
  }
  if (!contains(policy.environments, facts.environment)) {
    refusals.push_back(fmt::format("the policy does not allow the environment '{}'", facts.environment));
  }
  if (const auto before = policy.promotion.find(facts.environment); before != policy.promotion.end() && !facts.stood_in.contains(before->second)) {
    refusals.push_back(fmt::format("these bytes have not served in {0}; deploy them there, then: redoubt promote --from {0} --environment {1}", before->second, facts.environment));
  }
  if (facts.gate != "pass") refusals.push_back("the evaluation did not pass its thresholds");
  if (is_older_than(facts.evaluated, now, std::chrono::days(policy.evaluation_age_days_max))) {
    refusals.push_back(fmt::format("the evaluation is older than {} days; evaluate again", policy.evaluation_age_days_max));
  }
  std::vector<std::string> approvals;
  std::set_difference(facts.approved_by.begin(), facts.approved_by.end(), facts.run_by.begin(), facts.run_by.end(), std::back_inserter(approvals));
  if (static_cast<int>(approvals.size()) < policy.approvals_min) {
    refusals.push_back(fmt::format("{} of {} approvals by somebody other than who ran the pipeline ({})", approvals.size(), policy.approvals_min,
                                   fmt::join(facts.run_by, ", ")));
  }
  if (is_older_than(facts.scanned, now, std::chrono::hours(policy.scan_age_hours_max))) {
    refusals.push_back(fmt::format("the image's vulnerability scan is older than {} hours; scan again", policy.scan_age_hours_max));
  }
  judge_image(policy, facts, refusals);
  if (!policy.licenses.empty() && !contains(policy.licenses, facts.license)) {
    refusals.push_back(fmt::format("the base model's license '{}' is none that the policy allows", facts.license));
  }
  return refusals;
}

}  // namespace redoubt::governance
