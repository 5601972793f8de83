// SPDX-License-Identifier: Apache-2.0
//
// What a form and XML don't say about the members of the Query services: types, and EC2's other names for them.
#pragma once

#include <string>
#include <string_view>

#include "provider/aws/api/xml.h"

namespace redoubt::provider::aws {

bool is_query_map(std::string_view service, std::string_view member);
bool is_query_time(std::string_view service, std::string_view member);
XmlOptions query_xml_options(std::string_view service);

// "VpcIds" is sent as "VpcId".
std::string ec2_request_name(const std::string& member);
// Renames the members of an answer as the API's models have them: "vpcSet" is "Vpcs", "cidrBlock" is "CidrBlock".
Json ec2_answer(Json value);

}  // namespace redoubt::provider::aws
