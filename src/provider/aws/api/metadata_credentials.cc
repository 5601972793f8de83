// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <thread>

#include "base/file.h"
#include "http/client.h"
#include "provider/aws/api/credential_sources.h"

namespace redoubt::provider::aws {
namespace {

constexpr int kTokenLifetimeSeconds = 21'600;
constexpr std::size_t kAnswerBytesMax = 64 << 10;

struct MetadataRequest {
  std::string method = "GET";
  std::string url;
  http::Headers headers = {};
  int seconds_max = 2;
  int attempts = 3;
};

// These services stand on this machine or its link: plain HTTP, no proxy, short deadlines. 404 is not_found.
Result<std::string> ask(const http::KeepAliveClient& http, const MetadataRequest& asked) {
  http::ExchangeRequest request{.method = asked.method, .url = asked.url, .headers = asked.headers};
  request.bytes_max = kAnswerBytesMax;
  request.allow_plain = request.direct = true;
  request.total_s_max = request.connect_s_max = asked.seconds_max;
  Error last;
  for (int attempt = 1; attempt <= asked.attempts; ++attempt) {
    if (attempt > 1) std::this_thread::sleep_for(std::chrono::milliseconds(100 << attempt));
    MemorySink body;
    const auto outcome = http.exchange(request, body);
    if (outcome.response && outcome.response->status < 300) return to_text(body.take());
    if (!outcome.response) {
      last = *outcome.failure;
      continue;
    }
    const int status = outcome.response->status;
    last = {status == 404 ? ErrorCode::not_found : ErrorCode::permission_denied, fmt::format("the service answered with status {}", status), http::without_query(asked.url)};
    if (status < 500) break;
  }
  return fail(std::move(last));
}

// --- containers

bool is_allowed_plain(const std::string& host) {
  constexpr std::string_view kHosts[] = {"127.0.0.1", "localhost", "[::1]", "::1", "169.254.170.2", "169.254.170.23", "[fd00:ec2::23]", "fd00:ec2::23"};
  return host.starts_with("127.") || std::find(std::begin(kHosts), std::end(kHosts), host) != std::end(kHosts);
}

Result<std::string> container_url(const Environment& environment) {
  if (const auto relative = environment.variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")) {
    if (!relative->starts_with('/')) return fail(ErrorCode::invalid_argument, "the path does not begin with '/'", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    return "http://169.254.170.2" + *relative;
  }
  const auto full = environment.text("AWS_CONTAINER_CREDENTIALS_FULL_URI");
  const auto parts = TRY(http::parse_url(full));
  if (parts.scheme == "https" || is_allowed_plain(parts.host)) return full;
  return fail(ErrorCode::permission_denied, fmt::format("credentials are not fetched over plain HTTP from {}", parts.host), "AWS_CONTAINER_CREDENTIALS_FULL_URI",
              "use https, or an address of this machine or its container host");
}

Result<http::Headers> container_headers(const Environment& environment) {
  http::Headers headers{{"accept", "application/json"}};
  auto token = environment.text("AWS_CONTAINER_AUTHORIZATION_TOKEN");
  if (const auto file = environment.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")) {
    auto text = read_text_file(environment.path(*file), kAnswerBytesMax);
    if (!text) return fail(ErrorCode::permission_denied, "the container's token can't be read: " + text.error().message, *file, "check AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    token = std::move(*text);
  }
  if (token.find_first_of("\r\n") != token.npos) return fail(ErrorCode::permission_denied, "the container's token has a line break in it", "AWS_CONTAINER_AUTHORIZATION_TOKEN");
  if (!token.empty()) headers.add("authorization", token);
  return headers;
}

Result<Credentials> read_answer(const std::string& text, const std::string& source) {
  const auto json = parse_json(text, source, {.bytes_max = kAnswerBytesMax, .depth_max = 8});
  // Its text may hold a secret, so the parser's words are not passed on.
  if (!json) return fail(ErrorCode::permission_denied, "the answer is no JSON", source);
  return credentials_of_json(*json, "Token", source);
}

// --- instances

std::string instance_endpoint(const Environment& environment) {
  auto url = environment.text("AWS_EC2_METADATA_SERVICE_ENDPOINT");
  while (url.ends_with('/')) url.pop_back();
  if (!url.empty()) return url;
  const bool is_v6 = http::equal_ignoring_case(environment.text("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"), "ipv6");
  return is_v6 ? "http://[fd00:ec2::254]" : "http://169.254.169.254";
}

Result<Credentials> instance_credentials(const http::KeepAliveClient& http, const std::string& endpoint) {
  const std::string path = endpoint + "/latest/meta-data/iam/security-credentials/";
  auto token = ask(http, {"PUT", endpoint + "/latest/api/token", {{"x-aws-ec2-metadata-token-ttl-seconds", std::to_string(kTokenLifetimeSeconds)}}, 1, 1});
  if (!token) {
    return fail(ErrorCode::permission_denied, "no AWS credentials were found; the last place, the instance's metadata service, gave none: " + token.error().message, endpoint,
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a profile (AWS_PROFILE), or sign in with 'aws sso login'; on an instance, allow IMDSv2");
  }
  const http::Headers headers{{"x-aws-ec2-metadata-token", *token}};
  auto role = ask(http, {"GET", path, headers});
  if (!role) return fail(ErrorCode::permission_denied, "the instance has no role: " + role.error().message, endpoint, "give it an instance profile");
  const auto name = role->substr(0, role->find_first_of("\r\n"));
  if (name.empty() || name.find('/') != name.npos) return fail(ErrorCode::permission_denied, "the instance's metadata service names no role", endpoint);
  return read_answer(TRY(ask(http, {"GET", path + uri_encode(name), headers})), "instance role " + name);
}

}  // namespace

Result<std::optional<CredentialSource>> container_source(const CredentialContext& context) {
  const auto& environment = context.environment;
  if (!environment.variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") && !environment.variable("AWS_CONTAINER_CREDENTIALS_FULL_URI")) return std::nullopt;
  const auto url = TRY(container_url(environment));
  return [&http = context.http, environment, url]() -> Result<Credentials> {
    const auto headers = TRY(container_headers(environment));  // the token's file is written anew while we run
    auto answer = ask(http, {"GET", url, headers});
    if (!answer) {
      return fail(ErrorCode::permission_denied, "the container's credentials can't be fetched: " + answer.error().message, http::without_query(url),
                  "check AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI and its token");
    }
    return read_answer(*answer, "container credentials");
  };
}

std::optional<CredentialSource> instance_source(const CredentialContext& context) {
  if (context.environment.is_true("AWS_EC2_METADATA_DISABLED")) return std::nullopt;
  return [&http = context.http, endpoint = instance_endpoint(context.environment)]() { return instance_credentials(http, endpoint); };
}

}  // namespace redoubt::provider::aws
