// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace redoubt::http {

// Who counts as one where addresses are counted: an IPv4 address, within IPv6 too ("::ffff:192.0.2.1"), or the 64 bits that a network of IPv6 has
// ("2001:db8:1:2::/64"), of which a single host may have as many addresses as it likes. What is no address stays as it is.
std::string source_of(const std::string& address);

}  // namespace redoubt::http
