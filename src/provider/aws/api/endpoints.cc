// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/api/endpoints.h"

#include <fmt/format.h>

#include <algorithm>

#include "http/client.h"
#include "provider/aws/api/sigv4.h"

namespace redoubt::provider::aws {
namespace {

constexpr Partition kPartitions[] = {
    {"aws-cn", "amazonaws.com.cn", "api.amazonwebservices.com.cn", "cn-northwest-1"},
    {"aws-us-gov", "amazonaws.com", "api.aws", "us-gov-west-1"},
    {"aws-iso", "c2s.ic.gov", "api.aws.ic.gov", "us-iso-east-1"},
    {"aws-iso-b", "sc2s.sgov.gov", "api.aws.scloud", "us-isob-east-1"},
    {"aws-iso-e", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk", "eu-isoe-west-1"},
    {"aws-iso-f", "csp.hci.ic.gov", "api.aws.hci.ic.gov", "us-isof-south-1"},
    {"aws-eusc", "amazonaws.eu", "api.amazonwebservices.eu", "eusc-de-east-1"},
    {"aws", "amazonaws.com", "api.aws", "us-east-1"},
};

struct RegionPrefix {
  std::string_view prefix, partition;
};
constexpr RegionPrefix kRegionPrefixes[] = {
    {"cn-", "aws-cn"},       {"us-gov-", "aws-us-gov"}, {"us-iso-", "aws-iso"},  {"us-isob-", "aws-iso-b"},
    {"eu-isoe-", "aws-iso-e"}, {"us-isof-", "aws-iso-f"}, {"eusc-", "aws-eusc"},
};

Result<Endpoint> custom_endpoint(const std::string& url, const std::string& region) {
  const auto parts = TRY(http::parse_url(url));
  if (!http::is_safe_way(parts)) {
    return fail(ErrorCode::invalid_argument, "an endpoint's URL is plain HTTP to another machine", http::without_query(url), "use https://");
  }
  if (parts.target.find('?') != std::string::npos) return fail(ErrorCode::invalid_argument, "an endpoint's URL has a query", http::without_query(url));
  const int usual_port = parts.scheme == "https" ? 443 : 80;
  Endpoint endpoint;
  endpoint.host = parts.port == usual_port ? parts.host : fmt::format("{}:{}", parts.host, parts.port);
  endpoint.url = parts.scheme + "://" + endpoint.host;
  endpoint.base_path = parts.target;
  while (endpoint.base_path.ends_with('/')) endpoint.base_path.pop_back();
  endpoint.signing_region = region;
  endpoint.is_custom = true;
  return endpoint;
}

Endpoint endpoint_at(std::string host, std::string_view signing_region) {
  return {"https://" + host, std::move(host), {}, std::string(signing_region), false};
}

// Services of a partition rather than of its regions.
bool is_global(std::string_view service) { return service == "iam" || service == "route53" || service == "budgets" || service == "ce"; }

}  // namespace

const Partition& partition_of(std::string_view region) {
  std::string_view name = "aws";
  for (const auto& [prefix, partition] : kRegionPrefixes) {
    if (region.starts_with(prefix)) name = partition;
  }
  return *std::find_if(std::begin(kPartitions), std::end(kPartitions), [&](const Partition& partition) { return partition.name == name; });
}

Status check_region(std::string_view region) {
  const bool good = !region.empty() && region.size() <= 40 && region.front() != '-' && region.back() != '-' &&
                    std::all_of(region.begin(), region.end(), [](unsigned char c) { return std::islower(c) || std::isdigit(c) || c == '-'; });
  if (good) return {};
  return fail(ErrorCode::invalid_argument, fmt::format("\"{}\" is no region", region.substr(0, 60)), {}, "name one like eu-central-1 (AWS_REGION, or 'region' in the profile)");
}

Endpoints::Endpoints(EndpointOptions options, Environment environment, const Section* profile, const Section* services)
    : options_(std::move(options)), environment_(std::move(environment)) {
  if (profile != nullptr) profile_ = *profile;
  if (services != nullptr) services_ = *services;
}

// https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html has the order.
std::string Endpoints::custom_url(const Service& service) const {
  if (!options_.endpoint_url.empty()) return options_.endpoint_url;
  if (environment_.is_true("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")) return {};
  std::string id(service.service_id);
  std::transform(id.begin(), id.end(), id.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  if (const auto url = environment_.variable("AWS_ENDPOINT_URL_" + id)) return *url;
  if (const auto url = environment_.variable("AWS_ENDPOINT_URL")) return *url;
  if (const auto* ignored = profile_.find("ignore_configured_endpoint_urls"); ignored != nullptr && *ignored == "true") return {};
  if (const auto* url = services_.find(std::string(service.service_id) + ".endpoint_url")) return *url;
  const auto* url = profile_.find("endpoint_url");
  return url != nullptr ? *url : "";
}

Result<Endpoint> Endpoints::of(const Service& service) const {
  const auto& partition = partition_of(options_.region);
  const auto region = is_global(service.name) ? std::string(partition.global_region) : options_.region;
  if (const auto url = custom_url(service); !url.empty()) return custom_endpoint(url, region);
  const auto prefix = std::string(service.host_prefix) + (options_.use_fips ? "-fips" : "");
  if (is_global(service.name)) return endpoint_at(fmt::format("{}.{}", prefix, partition.dns_suffix), region);
  const auto suffix = options_.use_dual_stack ? partition.dual_stack_suffix : partition.dns_suffix;
  return endpoint_at(fmt::format("{}.{}.{}", prefix, region, suffix), region);
}

BucketAddress address_of(const Endpoint& endpoint, std::string_view bucket) {
  if (bucket.empty()) return {endpoint.host, ""};
  const bool can_be_host = bucket.size() >= 3 && bucket.size() <= 63 && bucket.front() != '-' && bucket.back() != '-' &&
                           std::all_of(bucket.begin(), bucket.end(), [](unsigned char c) { return std::islower(c) || std::isdigit(c) || c == '-'; });
  // A dot would make a name that the certificate's wildcard does not cover.
  if (endpoint.is_custom || !can_be_host) return {endpoint.host, "/" + uri_encode(bucket)};
  return {fmt::format("{}.{}", bucket, endpoint.host), ""};
}

}  // namespace redoubt::provider::aws
