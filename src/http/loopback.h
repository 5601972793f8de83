// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace redoubt::http {

// Whether a URL's host is this machine by its name or address: what goes there needs no TLS.
inline bool is_loopback(std::string_view host) { return host == "localhost" || host == "127.0.0.1" || host == "[::1]" || host == "::1"; }

}  // namespace redoubt::http
