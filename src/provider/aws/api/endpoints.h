// SPDX-License-Identifier: Apache-2.0
//
// Where a service is: partition, host and signing region, from the region and what the environment and the profile say.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "provider/aws/api/environment.h"
#include "provider/aws/api/profile.h"
#include "provider/aws/api/services.h"

namespace redoubt::provider::aws {

struct Partition {
  std::string_view name;             // "aws"
  std::string_view dns_suffix;       // "amazonaws.com"
  std::string_view dual_stack_suffix;
  std::string_view global_region;    // where the services without regions are signed for
};
const Partition& partition_of(std::string_view region);

struct Endpoint {
  std::string url;             // without a path's trailing slash: "https://kms.eu-west-1.amazonaws.com"
  std::string host;            // with the port where it is not the scheme's own: what the Host header says
  std::string base_path = {};  // of a custom endpoint, percent-encoded; "" or "/x"
  std::string signing_region;
  bool is_custom = false;      // named by the user, not by the region
};

struct EndpointOptions {
  std::string region;
  std::string endpoint_url = {};  // of the caller, before everything else
  bool use_fips = false;
  bool use_dual_stack = false;
};

class Endpoints {
 public:
  // `services` is the profile's section of that name, or null. invalid_argument for a URL that is none, or that is plain HTTP
  // to another machine.
  Endpoints(EndpointOptions options, Environment environment, const Section* profile, const Section* services);
  Result<Endpoint> of(const Service& service) const;

 private:
  std::string custom_url(const Service& service) const;

  EndpointOptions options_;
  Environment environment_;
  Section profile_, services_;
};

// A region's name, as far as its letters go: "eu-central-1". invalid_argument, so that nothing else gets into a host's name.
Status check_region(std::string_view region);

// Where a bucket is, under S3's endpoint: as a part of the host where its name can be one, else as the first of the path.
struct BucketAddress {
  std::string host;
  std::string path_prefix;  // "" or "/bucket"
};
BucketAddress address_of(const Endpoint& endpoint, std::string_view bucket);

}  // namespace redoubt::provider::aws
