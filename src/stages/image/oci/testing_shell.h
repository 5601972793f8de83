// SPDX-License-Identifier: Apache-2.0
//
// For tests: what a shell says of a command.
#pragma once

#include <cstdio>
#include <string>

namespace redoubt::stages::image::oci {

// "STATUS:OUTPUT", both streams of it.
inline std::string shell(const std::string& command) {
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  std::string out;
  char chunk[4096];
  while (const std::size_t count = std::fread(chunk, 1, sizeof chunk, pipe)) out.append(chunk, count);
  return std::to_string(::pclose(pipe)) + ":" + out;
}

}  // namespace redoubt::stages::image::oci
