// SPDX-License-Identifier: Apache-2.0
//
// What the XML of Route 53 and S3 looks like where members alone don't say it: lists, their items' names, the order of
// elements, types.
#pragma once

#include <string>
#include <string_view>

#include "provider/aws/api/xml.h"

namespace redoubt::provider::aws {

// A document whose root holds `value`'s members.
std::string write_rest_xml(std::string_view service, std::string_view root, const Json& value);
XmlOptions rest_xml_options(std::string_view service);
// Gives the members of a parsed answer their names: S3's "Rule" elements are "Rules".
Json rest_xml_answer(std::string_view service, Json value);

}  // namespace redoubt::provider::aws
