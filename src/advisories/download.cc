// SPDX-License-Identifier: Apache-2.0
#include "advisories/download.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "base/file.h"

namespace redoubt::advisories {
namespace {

std::string escaped(const std::string& ecosystem) {
  std::string out;
  for (unsigned char c : ecosystem) out += std::isalnum(c) != 0 || c == '-' || c == '.' || c == '_' || c == '~' ? std::string(1, static_cast<char>(c)) : fmt::format("%{:02X}", c);
  return out;
}

std::string header(const http::ClientResponse& response, const char* name) {
  const auto* value = response.headers.find(name);
  return value == nullptr ? "" : *value;
}

Result<ReadFeed> read_downloaded(const RemoteFeed& remote, const std::filesystem::path& file, TimePoint dated) {
  switch (remote.kind) {
    case RemoteFeed::Kind::debian_tracker: return read_debian_tracker(file, dated);
    case RemoteFeed::Kind::epss: return read_epss(file);
    case RemoteFeed::Kind::kev: return read_kev(file);
    case RemoteFeed::Kind::osv: break;
  }
  return read_osv(file, remote.name);
}

const KeptFeed* last_of(const std::vector<KeptFeed>& earlier, const std::string& url) {
  const auto found = std::find_if(earlier.begin(), earlier.end(), [&](const KeptFeed& kept) { return kept.source == url; });
  return found == earlier.end() ? nullptr : &*found;
}

}  // namespace

RemoteFeed osv_dump(const std::string& base, const std::string& ecosystem) {
  std::string url = base;
  while (url.ends_with('/')) url.pop_back();
  return {RemoteFeed::Kind::osv, url + "/" + escaped(ecosystem) + "/all.zip", "OSV " + ecosystem};
}

std::optional<TimePoint> parse_http_date(const std::string& text) {
  constexpr std::string_view kMonths = "JanFebMarAprMayJunJulAugSepOctNovDec";
  int day = 0, year = 0, hour = 0, minute = 0, second = 0;
  char month[4] = {};
  if (std::sscanf(text.c_str(), "%*3s, %d %3s %d %d:%d:%d GMT", &day, month, &year, &hour, &minute, &second) != 6) return std::nullopt;
  const auto number = kMonths.find(month);
  if (number == kMonths.npos || number % 3 != 0) return std::nullopt;
  const auto time = parse_rfc3339(fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", year, number / 3 + 1, day, hour, minute, second));
  return time ? std::optional(*time) : std::nullopt;
}

Result<Downloaded> download_feed(const RemoteFeed& remote, const DownloadOptions& options, const std::vector<KeptFeed>& earlier, const std::function<Result<bool>(const Digest&)>& has,
                                 const KeepBlob& keep, TimePoint now) {
  const auto parts = TRY(http::parse_url(remote.url));
  if (parts.scheme != "https") return fail(ErrorCode::gate_refused, "advisories are taken over HTTPS alone", http::without_query(remote.url), "use https://, or a file");
  const KeptFeed* last = last_of(earlier, remote.url);
  if (last != nullptr && !TRY(has(last->blob))) last = nullptr;
  http::ClientRequest request;
  request.url = remote.url;
  request.bytes_max = options.bytes_max;
  if (last != nullptr && !last->etag.empty()) request.headers.add("If-None-Match", last->etag);
  if (last != nullptr && !last->last_modified.empty()) request.headers.add("If-Modified-Since", last->last_modified);
  const auto folder = TRY(TemporaryFolder::create());
  const auto path = folder.path() / "feed";
  const auto file = TRY(AtomicFile::create(path));
  const auto response = TRY(http::Client(options.client).send(request, *file));
  if (response.status == 304) {
    if (last == nullptr) return fail(ErrorCode::unavailable, "the server says that nothing has changed, and was not asked so", http::without_query(remote.url));
    return Downloaded{*last, true};
  }
  if (response.status != 200) return fail(ErrorCode::unavailable, fmt::format("an answer that is no file (HTTP {})", response.status), http::without_query(remote.url));
  TRY(file->commit());
  const std::string modified = header(response, "last-modified");
  auto read = read_downloaded(remote, path, parse_http_date(modified).value_or(now));
  // The temporary file's name says nothing to anybody.
  if (!read) return fail(read.error().code, read.error().message, http::without_query(remote.url), read.error().hint);
  if (last != nullptr && read->feed.dated < last->feed.dated) {
    return fail(ErrorCode::gate_refused, fmt::format("the feed is of {}, older than the one that was loaded last ({})", to_rfc3339(read->feed.dated), to_rfc3339(last->feed.dated)), http::without_query(remote.url),
                "ask whoever runs this mirror; load another feed to go back");
  }
  const Digest digest = TRY(digest_of_file(path));
  Downloaded done{TRY(keep_feed(std::move(*read), remote.url, digest, keep))};
  done.feed.etag = header(response, "etag");
  done.feed.last_modified = modified;
  return done;
}

}  // namespace redoubt::advisories
