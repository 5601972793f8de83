// SPDX-License-Identifier: Apache-2.0
//
// A file for --providers with the names of one stack.
#pragma once

#include <map>
#include <string>

namespace redoubt::cli {

// `outputs` are the stack's, as config/cloudformation_template.yaml names them. Every interface stands in AWS; who reads the file takes out
// what shall stay here.
std::string providers_file_of(const std::string& region, const std::string& environment, const std::map<std::string, std::string>& outputs);

}  // namespace redoubt::cli
