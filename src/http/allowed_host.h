// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace redoubt::http {

// Whether a configuration's word for hosts names this one: "*.example.com" is every host below example.com, not that one itself.
inline bool is_allowed_host(std::string_view allowed, std::string_view host) {
  return allowed.starts_with("*.") && allowed.size() > 2 ? host.size() > allowed.size() - 1 && host.ends_with(allowed.substr(1)) : allowed == host;
}

}  // namespace redoubt::http
