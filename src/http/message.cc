// SPDX-License-Identifier: Apache-2.0
#include "http/message.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace redoubt::http {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = lower(c);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

struct Range {
  std::uint64_t first = 0, length = 0;
};

std::optional<std::uint64_t> parse_number(std::string_view text) {
  std::uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

enum class RangeKind { none, satisfiable, unsatisfiable };

// One byte-range-spec. What is malformed or has several ranges is `none`: RFC 9110 lets a server ignore it, and so no
// request makes us send overlapping pieces.
RangeKind parse_range(std::string_view text, std::uint64_t size, Range& range) {
  if (!text.starts_with("bytes=") || text.find(',') != text.npos) return RangeKind::none;
  text.remove_prefix(6);
  auto dash = text.find('-');
  if (dash == text.npos) return RangeKind::none;
  auto first = parse_number(text.substr(0, dash)), last = parse_number(text.substr(dash + 1));
  if (dash == 0) {
    if (!last) return RangeKind::none;
    if (*last == 0 || size == 0) return RangeKind::unsatisfiable;
    range.length = std::min(*last, size);
    range.first = size - range.length;
    return RangeKind::satisfiable;
  }
  bool open_ended = dash + 1 == text.size();
  if (!first || (!last && !open_ended) || (last && *last < *first)) return RangeKind::none;
  if (*first >= size) return RangeKind::unsatisfiable;
  range.first = *first;
  range.length = std::min(last.value_or(size - 1), size - 1) - *first + 1;
  return RangeKind::satisfiable;
}

// Whether an If-None-Match list names the tag (weak comparison, RFC 9110 section 13.1.2).
bool names_tag(std::string_view list, std::string_view etag) {
  if (etag.starts_with("W/")) etag.remove_prefix(2);
  return !etag.empty() && (list == "*" || list.find(etag) != list.npos);
}

}  // namespace

const std::string* Headers::find(std::string_view name) const {
  for (const auto& header : headers_)
    if (equal_ignoring_case(header.name, name)) return &header.value;
  return nullptr;
}

std::size_t Headers::count(std::string_view name) const {
  return static_cast<std::size_t>(
      std::count_if(begin(), end(), [&](const Header& header) { return equal_ignoring_case(header.name, name); }));
}

std::string_view reason_of(int status) {
  static constexpr std::array<std::pair<int, std::string_view>, 29> kReasons = {{{100, "Continue"},
                                                                                 {200, "OK"},
                                                                                 {201, "Created"},
                                                                                 {202, "Accepted"},
                                                                                 {204, "No Content"},
                                                                                 {206, "Partial Content"},
                                                                                 {301, "Moved Permanently"},
                                                                                 {302, "Found"},
                                                                                 {304, "Not Modified"},
                                                                                 {307, "Temporary Redirect"},
                                                                                 {400, "Bad Request"},
                                                                                 {401, "Unauthorized"},
                                                                                 {403, "Forbidden"},
                                                                                 {404, "Not Found"},
                                                                                 {405, "Method Not Allowed"},
                                                                                 {408, "Request Timeout"},
                                                                                 {409, "Conflict"},
                                                                                 {413, "Content Too Large"},
                                                                                 {414, "URI Too Long"},
                                                                                 {415, "Unsupported Media Type"},
                                                                                 {416, "Range Not Satisfiable"},
                                                                                 {417, "Expectation Failed"},
                                                                                 {422, "Unprocessable Content"},
                                                                                 {429, "Too Many Requests"},
                                                                                 {431, "Request Header Fields Too Large"},
                                                                                 {500, "Internal Server Error"},
                                                                                 {501, "Not Implemented"},
                                                                                 {503, "Service Unavailable"},
                                                                                 {505, "HTTP Version Not Supported"}}};
  for (const auto& [code, reason] : kReasons)
    if (code == status) return reason;
  return "Unknown";
}

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return lower(x) == lower(y); });
}

Result<std::string> percent_decode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1, low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
    if (high < 0 || low < 0 || high + low == 0)
      return fail(ErrorCode::invalid_argument, "malformed percent-encoding", "URL");
    out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return out;
}

Result<std::vector<std::string>> path_segments(std::string_view path) {
  std::vector<std::string> segments;
  while (path.size() > 1) {
    path.remove_prefix(1);
    auto slash = std::min(path.find('/'), path.size());
    auto segment = TRY(percent_decode(path.substr(0, slash)));
    segments.push_back(std::move(segment));
    path.remove_prefix(slash);
  }
  return segments;
}

Result<std::optional<std::string>> query_value(std::string_view query, std::string_view name) {
  std::optional<std::string> found;
  while (!query.empty()) {
    auto pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(pair.size() + 1, query.size()));
    auto equals = std::min(pair.find('='), pair.size());
    const auto key = TRY(percent_decode(pair.substr(0, equals)));
    if (key != name) continue;
    if (found) return fail(ErrorCode::invalid_argument, "a query parameter is there twice", std::string(name));
    found = TRY(percent_decode(pair.substr(std::min(equals + 1, pair.size()))));
  }
  return found;
}

Response object_response(const Request& request, std::shared_ptr<const RandomAccess> object, std::string_view content_type,
                         std::string_view etag) {
  Response response;
  const auto size = object->size();
  response.headers.add("Accept-Ranges", "bytes");
  if (!etag.empty()) response.headers.add("ETag", std::string(etag));
  if (const auto* tags = request.headers.find("if-none-match"); tags && names_tag(*tags, etag)) {
    response.status = 304;
    return response;
  }
  response.headers.add("Content-Type", std::string(content_type));
  const auto* if_range = request.headers.find("if-range");
  const auto* range_text = request.headers.find("range");
  Range range{0, size};
  auto kind = range_text && (!if_range || *if_range == etag) ? parse_range(*range_text, size, range) : RangeKind::none;
  if (kind == RangeKind::unsatisfiable) {
    response.status = 416;
    response.headers.add("Content-Range", "bytes */" + std::to_string(size));
    return response;
  }
  if (kind == RangeKind::satisfiable) {
    response.status = 206;
    response.headers.add("Content-Range", "bytes " + std::to_string(range.first) + "-" +
                                              std::to_string(range.first + range.length - 1) + "/" + std::to_string(size));
  }
  response.source = std::move(object);
  response.offset = range.first;
  response.length = range.length;
  return response;
}

}  // namespace redoubt::http
