// SPDX-License-Identifier: Apache-2.0
#include "gateway/signed_request.h"

#include <algorithm>
#include <cstdio>

#include "provider/aws/api/sigv4.h"

namespace redoubt::gateway {
namespace {

namespace aws = provider::aws;

constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256 ";
constexpr std::size_t kSignedHeadersMax = 40;

tl::unexpected<Error> denied_signature(const char* why) { return fail(ErrorCode::permission_denied, why, "signed request"); }

bool is_hex(std::string_view text, std::size_t size) {
  return text.size() == size && std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

// "NAME=value", then ',' and spaces or the end.
Result<std::string_view> take_part(std::string_view& text, std::string_view name) {
  if (!text.starts_with(name)) return denied_signature("the Authorization header has not Credential, SignedHeaders and Signature in this order");
  text.remove_prefix(name.size());
  const auto value = text.substr(0, text.find_first_of(", "));
  text.remove_prefix(value.size());
  if (text.starts_with(",")) text.remove_prefix(1);
  while (text.starts_with(" ")) text.remove_prefix(1);
  return value;
}

std::vector<std::string> split(std::string_view text, char by) {
  std::vector<std::string> parts;
  while (true) {
    const auto end = text.find(by);
    parts.emplace_back(text.substr(0, end));
    if (end == text.npos) return parts;
    text.remove_prefix(end + 1);
  }
}

// "20150830T123600Z", in no other form.
std::optional<TimePoint> parse_amz_date(const std::string& text) {
  int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;
  if (text.size() != 16 || std::sscanf(text.c_str(), "%4d%2d%2dT%2d%2d%2dZ", &year, &month, &day, &hour, &minute, &second) != 6) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month)), std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok()) return std::nullopt;
  const TimePoint time = std::chrono::sys_days(date) + std::chrono::hours(hour) + std::chrono::minutes(minute) + std::chrono::seconds(second);
  return aws::amz_date(time) == text ? std::optional(time) : std::nullopt;
}

const std::string* once(const http::Headers& headers, std::string_view name) { return headers.count(name) == 1 ? headers.find(name) : nullptr; }

bool is_our_host(const http::Request& request, const SigningRules& rules) {
  const auto* host = once(request.headers, "host");
  if (host == nullptr) return false;
  const auto name = std::string_view(*host).substr(0, host->starts_with("[") ? std::min(host->find(']'), host->size() - 1) + 1 : host->find(':'));
  return std::any_of(rules.hosts.begin(), rules.hosts.end(), [&](const auto& ours) { return http::equal_ignoring_case(ours, name) || "[" + ours + "]" == name; });
}

// What was signed has to hold the host and everything that AWS gives a meaning.
Status check_signed_headers(const SignedRequest& given, const http::Request& request) {
  const auto& names = given.signed_headers;
  if (names.size() > kSignedHeadersMax || !std::is_sorted(names.begin(), names.end()) || std::adjacent_find(names.begin(), names.end()) != names.end())
    return denied_signature("the signed headers are not a sorted list");
  const auto is_listed = [&](std::string_view name) { return std::binary_search(names.begin(), names.end(), name); };
  for (const auto& name : names)
    if (request.headers.count(name) != 1) return denied_signature("a signed header is not there once");
  for (const auto& header : request.headers)
    if ((header.name == "host" || header.name == "content-type" || header.name.starts_with("x-amz-")) && !is_listed(header.name)) return denied_signature("a header that matters is not signed");
  return {};
}

}  // namespace

bool is_signed(const http::Request& request) {
  const auto* header = request.headers.find("authorization");
  return header != nullptr && header->starts_with(kAlgorithm);
}

Result<SignedRequest> read_signed_request(const http::Request& request, const SigningRules& rules, TimePoint now) {
  const auto* header = once(request.headers, "authorization");
  if (header == nullptr || !header->starts_with(kAlgorithm)) return denied_signature("no signature");
  if (!is_our_host(request, rules)) return denied_signature("signed for another host");
  std::string_view text = std::string_view(*header).substr(kAlgorithm.size());
  const auto credential = split(TRY(take_part(text, "Credential=")), '/');
  SignedRequest given;
  given.signed_headers = split(TRY(take_part(text, "SignedHeaders=")), ';');
  given.signature = TRY(take_part(text, "Signature="));
  if (!text.empty() || credential.size() != 5 || !is_hex(given.signature, 64)) return denied_signature("the Authorization header is malformed");
  given.access_key_id = credential[0];
  const auto* date = once(request.headers, "x-amz-date");
  const auto time = date == nullptr ? std::nullopt : parse_amz_date(*date);
  if (!time || !date->starts_with(credential[1]) || credential[1].size() != 8) return denied_signature("the date is malformed, or not the scope's");
  if (credential[2] != rules.region || credential[3] != rules.service || credential[4] != "aws4_request") return denied_signature("signed for another region or service");
  given.time = *time;
  if (std::chrono::abs(now - given.time) > std::chrono::seconds(rules.skew_s_max)) return denied_signature("signed too long ago, or ahead of our clock");
  if (request.headers.count("x-amz-security-token") > 0) return denied_signature("our key pairs have no session");
  TRY(check_signed_headers(given, request));
  if (request.headers.count("x-amz-content-sha256") > 0) {
    const auto* hash = once(request.headers, "x-amz-content-sha256");
    // An unsigned or a streamed payload would be any payload.
    if (hash == nullptr || !is_hex(*hash, 64)) return denied_signature("the payload is not signed");
    given.payload_hash = *hash;
  }
  return given;
}

bool signature_fits(const SignedRequest& given, const http::Request& request, const SigningRules& rules, const Secret& secret, const std::string& payload_hash) {
  aws::SignableRequest signable;
  signable.method = request.method;
  signable.path = request.path;
  signable.payload_hash = payload_hash;
  for (const auto& name : given.signed_headers) signable.headers.add(name, *request.headers.find(name));
  for (const auto& pair : request.query.empty() ? std::vector<std::string>() : split(request.query, '&')) {
    const auto equals = std::min(pair.find('='), pair.size());
    auto name = http::percent_decode(std::string_view(pair).substr(0, equals)), value = http::percent_decode(std::string_view(pair).substr(std::min(equals + 1, pair.size())));
    if (!name || !value) return false;
    signable.query.emplace_back(std::move(*name), std::move(*value));
  }
  const auto expected = aws::signature(signable, {rules.region, rules.service, given.time}, secret);
  return equal_constant_time(view_of(expected), view_of(given.signature));
}

}  // namespace redoubt::gateway
