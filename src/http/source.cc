// SPDX-License-Identifier: Apache-2.0
#include "http/source.h"

#include <arpa/inet.h>

#include <algorithm>
#include <iterator>

namespace redoubt::http {

std::string source_of(const std::string& address) {
  in6_addr bytes{};
  if (address.find(':') == address.npos || inet_pton(AF_INET6, address.c_str(), &bytes) != 1) return address;
  char text[INET6_ADDRSTRLEN] = "";
  if (IN6_IS_ADDR_V4MAPPED(&bytes)) return inet_ntop(AF_INET, &bytes.s6_addr[12], text, sizeof text);
  std::fill(std::begin(bytes.s6_addr) + 8, std::end(bytes.s6_addr), 0);
  return std::string(inet_ntop(AF_INET6, &bytes, text, sizeof text)) + "/64";
}

}  // namespace redoubt::http
