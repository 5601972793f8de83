// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/resource_region.h"

#include <fmt/format.h>

namespace redoubt::provider::aws {
namespace {

// The part of the text between the n-th separator and the next.
std::string_view part(std::string_view text, char separator, int number) {
  for (; number > 0; --number) {
    const auto at = text.find(separator);
    if (at == text.npos) return {};
    text.remove_prefix(at + 1);
  }
  return text.substr(0, text.find(separator));
}

}  // namespace

std::string region_of_resource(std::string_view name) {
  if (name.starts_with("arn:")) return std::string(part(name, ':', 3));
  const auto host = name.substr(0, name.find('/'));
  const bool is_ecr = part(host, '.', 1) == "dkr" && part(host, '.', 2).starts_with("ecr") && part(host, '.', 4) == "amazonaws";
  return is_ecr ? std::string(part(host, '.', 3)) : std::string();
}

Status check_region(const char* what, const std::string& name, const Client& client) {
  const auto region = region_of_resource(name);
  if (region.empty() || region == client.region()) return {};
  return fail(ErrorCode::invalid_argument, fmt::format("the {} is in the region {}, the client in {}", what, region, client.region()), name,
              fmt::format("name a {} of the region, or set the region in the block 'aws'", what));
}

}  // namespace redoubt::provider::aws
