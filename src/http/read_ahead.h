// SPDX-License-Identifier: Apache-2.0
//
// libcurl's exchange for an answer that may be long. libcurl asks the system twice for each TLS record of 16 KiB, once for its head and
// once for its body, and waits for the socket in between; here OpenSSL takes several records at a time, and libcurl is called for each of them
// until they are used up.
#pragma once

#include <curl/curl.h>

namespace redoubt::http::detail {

// As curl_easy_perform, for a handle without connections that are to be kept; where libcurl's TLS is not OpenSSL's, it is that.
CURLcode perform_reading_ahead(CURL* handle);

}  // namespace redoubt::http::detail
