// SPDX-License-Identifier: Apache-2.0
#include "http/client.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <thread>

#include "http/allowed_host.h"
#include "http/loopback.h"
#include "http/transfer.h"

namespace redoubt::http {
namespace {

using detail::Delivery;
using detail::Transfer;

constexpr int kResumesMax = 100;  // a server that breaks off after every byte is not waited for

struct FreeUrl {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};


std::string origin_of(const UrlParts& url) { return fmt::format("{}://{}:{}", url.scheme, url.host, url.port); }

Status check_status(int status, const std::string& where) {
  if (status < 400) return {};
  if (status == 401 || status == 403) {
    return fail(ErrorCode::permission_denied, fmt::format("the server refused access (HTTP {})", status), where, "check the token, and that it may read this");
  }
  if (status == 404 || status == 410) {
    return fail(ErrorCode::not_found, fmt::format("the server has no such thing (HTTP {})", status), where, "check the name and the revision");
  }
  if (status == 408 || status == 429 || status >= 500) {
    return fail(ErrorCode::unavailable, fmt::format("the server failed (HTTP {})", status), where, "try again later");
  }
  return fail(ErrorCode::invalid_argument, fmt::format("the server refused the request (HTTP {})", status), where);
}

// A line break in a header would be a second header.
bool is_header_text(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](unsigned char c) { return (c >= 0x20 && c < 0x7f) || c == '\t'; });
}

Status check_request(const ClientRequest& request) {
  const std::string where = without_query(request.url);
  for (const auto& header : request.headers) {
    if (!is_header_text(header.name + header.value)) return fail(ErrorCode::invalid_argument, "a header holds control characters", where);
  }
  const auto token = request.bearer ? text_of(request.bearer->reveal(SecretAccess::for_protocol())) : std::string_view();
  if (!is_header_text(token) || token.find_first_of(" \t") != token.npos) {
    return fail(ErrorCode::invalid_argument, "the token holds characters that no token has", where, "look for white space or a line break in it");
  }
  return {};
}

// A strong ETag, which promises the same bytes; empty when there is none.
std::string strong_etag(const std::optional<ClientResponse>& response) {
  const auto* etag = response ? response->headers.find("etag") : nullptr;
  return etag != nullptr && etag->starts_with('"') ? *etag : "";
}

// One request on its way through redirects, and again where it broke.
class Sending {
 public:
  Sending(const ClientOptions& options, const ClientRequest& request, UrlParts first, Sink& body)
      : options_(options), request_(request), first_(std::move(first)), delivery_{body} {}

  Result<ClientResponse> run() {
    int failures = 0;
    for (int attempt = 0;; ++attempt) {
      const std::uint64_t before = delivery_.bytes;
      auto response = follow();
      if (response) return delivery_.response ? std::move(*delivery_.response) : std::move(*response);
      failures = delivery_.bytes > before ? 0 : failures + 1;
      const bool again = response.error().code == ErrorCode::unavailable && failures < request_.attempts_max && attempt < kResumesMax && can_repeat();
      if (!again) return response;
      std::this_thread::sleep_for(std::chrono::milliseconds(options_.backoff_ms << std::min(failures, 8) >> 1));
    }
  }

 private:
  bool can_repeat() const {
    if (request_.method == "POST" || request_.upload != nullptr) return false;
    if (delivery_.bytes == 0) return true;
    const bool same_object = request_.length > 0 ? request_.length > delivery_.bytes : !strong_etag(delivery_.response).empty();
    return request_.method == "GET" && same_object;
  }

  Result<ClientResponse> follow() {
    std::string url = request_.url;
    for (int hop = 0; hop <= options_.redirects_max; ++hop) {
      auto transfer_or = transfer_to(url);
      // An address that the server made up is the server's fault, not the caller's.
      if (!transfer_or && hop > 0 && transfer_or.error().code == ErrorCode::invalid_argument) {
        return fail(ErrorCode::gate_refused, "a redirect to an address that is not followed: " + transfer_or.error().message, transfer_or.error().where);
      }
      const auto transfer = TRY(std::move(transfer_or));
      auto response = TRY(detail::perform(options_, transfer, delivery_));
      const auto* location = response.headers.find("location");
      if (response.status < 300 || response.status >= 400 || location == nullptr) {
        const auto& expected = request_.expected_statuses;
        if (std::find(expected.begin(), expected.end(), response.status) == expected.end()) TRY(check_status(response.status, without_query(url)));
        return response;
      }
      if (request_.method != "GET" && request_.method != "HEAD") {
        return fail(ErrorCode::gate_refused, "a redirect of a request that changes something is not followed", without_query(url), "name the final address");
      }
      url = TRY(resolved(url, *location));
    }
    const bool follows = options_.redirects_max > 0;
    return fail(ErrorCode::limit_exceeded, follows ? "too many redirects" : "a redirect, and none is followed here", without_query(request_.url));
  }

  Status check_destination(const UrlParts& here) const {
    if (here.scheme != "https" && !(options_.allow_plain_loopback && is_loopback(here.host))) {
      return fail(ErrorCode::gate_refused, "plain HTTP is not used", origin_of(here), "use https://");
    }
    const auto is_host = [&](const std::string& allowed) { return is_allowed_host(allowed, here.host); };
    if (here.host == first_.host || options_.redirects == Redirects::to_any_host || std::any_of(options_.allowed_hosts.begin(), options_.allowed_hosts.end(), is_host)) return {};
    return fail(ErrorCode::gate_refused, "a redirect to a host that is not allowed", here.host, "add it to allowed_hosts if it belongs there");
  }

  Result<Transfer> transfer_to(const std::string& url) const {
    const auto here = TRY(parse_url(url));
    TRY(check_destination(here));
    Transfer transfer;
    transfer.method = request_.method;
    transfer.url = url;
    transfer.body = &request_.body;
    transfer.upload = request_.upload;
    transfer.upload_bytes = request_.upload_bytes;
    transfer.bytes_max = request_.bytes_max;
    for (const auto& header : request_.headers) transfer.header_lines.push_back(header.name + ": " + header.value);
    // The token belongs to the host that was asked, not to one that it points to.
    if (request_.bearer && origin_of(here) == origin_of(first_)) {
      transfer.header_lines.push_back("Authorization: Bearer " + to_text(request_.bearer->reveal(SecretAccess::for_protocol())));
    } else if (request_.basic && origin_of(here) == origin_of(first_)) {
      transfer.header_lines.push_back("Authorization: Basic " + to_base64(request_.basic->reveal(SecretAccess::for_protocol())));
    }
    if (request_.length > 0) {
      transfer.range = {request_.offset + delivery_.bytes, request_.length - delivery_.bytes};
    } else if (delivery_.bytes > 0) {
      TRY(ask_for_rest(transfer));
    }
    return transfer;
  }

  // The rest of an object whose length the first answer gave.
  Status ask_for_rest(Transfer& transfer) const {
    const auto* length = delivery_.response->headers.find("content-length");
    const std::uint64_t total = length != nullptr ? std::strtoull(length->c_str(), nullptr, 10) : 0;
    if (total <= delivery_.bytes) return fail(ErrorCode::unavailable, "the answer broke off, and its length is not known", without_query(transfer.url), "try again");
    if (total > request_.bytes_max) return fail(ErrorCode::limit_exceeded, fmt::format("the answer is longer than {} bytes", request_.bytes_max), without_query(transfer.url));
    transfer.range = {delivery_.bytes, total - delivery_.bytes};
    transfer.header_lines.push_back("If-Range: " + strong_etag(delivery_.response));
    return {};
  }

  static Result<std::string> resolved(const std::string& base, const std::string& location) {
    const std::unique_ptr<CURLU, FreeUrl> url(curl_url());
    char* text = nullptr;
    if (!url || curl_url_set(url.get(), CURLUPART_URL, base.c_str(), 0) != CURLUE_OK ||
        curl_url_set(url.get(), CURLUPART_URL, location.c_str(), 0) != CURLUE_OK ||
        curl_url_get(url.get(), CURLUPART_URL, &text, 0) != CURLUE_OK) {
      return fail(ErrorCode::gate_refused, "a redirect to nowhere", without_query(base));
    }
    std::string out = text;
    curl_free(text);
    return out;
  }

  const ClientOptions& options_;
  const ClientRequest& request_;
  UrlParts first_;
  Delivery delivery_;
};

}  // namespace

bool is_safe_way(const UrlParts& url) { return url.scheme == "https" || is_loopback(url.host); }

std::string without_query(const std::string& url) { return url.substr(0, url.find_first_of("?#")); }

Result<UrlParts> parse_url(const std::string& url) {
  const std::unique_ptr<CURLU, FreeUrl> parsed(curl_url());
  if (!parsed || curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), 0) != CURLUE_OK) {
    return fail(ErrorCode::invalid_argument, "not an absolute URL", without_query(url));
  }
  const auto part = [&](CURLUPart which, unsigned flags = 0) {
    char* text = nullptr;
    std::string out = curl_url_get(parsed.get(), which, &text, flags) == CURLUE_OK ? text : "";
    curl_free(text);
    return out;
  };
  UrlParts parts{part(CURLUPART_SCHEME), part(CURLUPART_HOST), part(CURLUPART_PATH) + (part(CURLUPART_QUERY).empty() ? "" : "?" + part(CURLUPART_QUERY)), 0};
  if (parts.scheme != "https" && parts.scheme != "http") return fail(ErrorCode::invalid_argument, "neither https nor http", without_query(url));
  if (!part(CURLUPART_USER).empty() || !part(CURLUPART_PASSWORD).empty()) return fail(ErrorCode::invalid_argument, "a URL must not hold a password", parts.host);
  std::transform(parts.host.begin(), parts.host.end(), parts.host.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  parts.port = std::atoi(part(CURLUPART_PORT, CURLU_DEFAULT_PORT).c_str());
  return parts;
}

Result<ClientResponse> Client::send(const ClientRequest& request, Sink& body) const {
  TRY(check_request(request));
  auto first = TRY(parse_url(request.url));
  return Sending(options_, request, std::move(first), body).run();
}

Result<std::pair<ClientResponse, std::string>> Client::fetch(const ClientRequest& request) const {
  MemorySink sink;
  auto response = TRY(send(request, sink));
  return std::pair(std::move(response), to_text(sink.take()));
}

}  // namespace redoubt::http
