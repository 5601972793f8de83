// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/stack/region_facts.h"

#include <fmt/format.h>

#include "provider/aws/about.h"

namespace redoubt::provider::aws::stack {

Result<std::string> s3_prefix_list(Client& client) {
  const auto name = fmt::format("com.amazonaws.{}.s3", client.region());
  const Json input = {{"Filters", Json::array({{{"Name", "prefix-list-name"}, {"Values", {name}}}})}};
  const char* const cure = "say --parameter S3PrefixListId=pl-..., or allow ec2:DescribePrefixLists to the role that runs this";
  const auto lists = client.call_all("ec2", "DescribePrefixLists", input, "PrefixLists");
  if (!lists) return fail_about(name, lists.error(), cure);
  if (lists->empty()) return fail(ErrorCode::not_found, "the region names no prefix list of S3", name, cure);
  return json_string((*lists)[0], "PrefixListId", "ec2.DescribePrefixLists");
}

Result<bool> is_guardduty_on(Client& client) {
  const auto detectors = client.call_all("guardduty", "ListDetectors", Json::object(), "detectorIds");
  if (!detectors) return fail_about("guardduty", detectors.error(), "say --parameter EnableGuardDuty=true or false, or allow guardduty:ListDetectors to the role that runs this");
  return !detectors->empty();
}

}  // namespace redoubt::provider::aws::stack
