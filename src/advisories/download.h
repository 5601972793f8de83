// SPDX-License-Identifier: Apache-2.0
//
// Feeds over HTTPS. What has not changed since the last time is not sent again; what is older than the last time is refused.
#pragma once

#include "advisories/database.h"
#include "http/client.h"

namespace redoubt::advisories {

inline constexpr const char* kOsvAddress = "https://osv-vulnerabilities.storage.googleapis.com";

struct RemoteFeed {
  enum class Kind { osv, debian_tracker, epss, kev } kind = Kind::osv;
  std::string url, name;
};
// "<base>/<ecosystem>/all.zip", as OSV lays its dumps out.
RemoteFeed osv_dump(const std::string& base, const std::string& ecosystem);

struct DownloadOptions {
  http::ClientOptions client = {};
  std::uint64_t bytes_max = 4ull << 30;  // of one feed
};
struct Downloaded {
  KeptFeed feed;
  bool unchanged = false;  // the server said so
};

// `earlier` are the feeds of the last database; `has` tells whether an index of it is still there. gate_refused for a plain http address and
// for a feed that is older than the one of the same address in `earlier`; the client's errors.
Result<Downloaded> download_feed(const RemoteFeed& remote, const DownloadOptions& options, const std::vector<KeptFeed>& earlier, const std::function<Result<bool>(const Digest&)>& has,
                                 const KeepBlob& keep, TimePoint now);

// An HTTP date (RFC 9110, section 5.6.7, the preferred form); nothing for another text.
std::optional<TimePoint> parse_http_date(const std::string& text);

}  // namespace redoubt::advisories
