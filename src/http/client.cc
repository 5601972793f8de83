// SPDX-License-Identifier: Apache-2.0
#include "http/client.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <mutex>
#include <thread>

namespace redoubt::http {
namespace {

struct FreeCurl {
  void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
};
using Handle = std::unique_ptr<CURL, FreeCurl>;

struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using List = std::unique_ptr<curl_slist, FreeList>;

struct FreeUrl {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};

// What libcurl's callbacks write to while one exchange runs.
struct Exchange {
  ClientResponse response;
  Sink* body = nullptr;
  std::uint64_t received = 0, bytes_max = 0;
  std::optional<Error> failure;
};

std::size_t on_header(char* data, std::size_t, std::size_t size, void* user) {
  auto& exchange = *static_cast<Exchange*>(user);
  std::string_view line(data, size);
  if (line.starts_with("HTTP/")) {
    exchange.response.headers = {};  // a new answer, after a 100 Continue
    return size;
  }
  const auto colon = line.find(':');
  if (colon == line.npos || exchange.response.headers.size() > 200) return size;
  std::string name(line.substr(0, colon));
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  auto value = line.substr(colon + 1);
  while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
  while (!value.empty() && (value.back() == '\r' || value.back() == '\n' || value.back() == ' ')) value.remove_suffix(1);
  exchange.response.headers.add(std::move(name), std::string(value));
  return size;
}

std::size_t on_body(char* data, std::size_t, std::size_t size, void* user) {
  auto& exchange = *static_cast<Exchange*>(user);
  exchange.received += size;
  if (exchange.received > exchange.bytes_max) {
    exchange.failure = Error{ErrorCode::limit_exceeded, fmt::format("the answer is longer than {} bytes", exchange.bytes_max)};
    return 0;
  }
  if (exchange.body == nullptr) return size;  // of an error or a redirect: not the caller's
  if (auto written = exchange.body->write({reinterpret_cast<const std::uint8_t*>(data), size}); !written) {
    exchange.failure = written.error();
    return 0;
  }
  return size;
}

bool is_loopback(const std::string& host) { return host == "127.0.0.1" || host == "::1" || host == "[::1]" || host == "localhost"; }

std::string origin_of(const UrlParts& url) { return fmt::format("{}://{}:{}", url.scheme, url.host, url.port); }

std::optional<Error> error_of_status(int status, const std::string& where) {
  if (status < 400) return std::nullopt;
  if (status == 401 || status == 403) {
    return Error{ErrorCode::permission_denied, fmt::format("the server refused access (HTTP {})", status), where, "check the token, and that it may read this"};
  }
  if (status == 404 || status == 410) return Error{ErrorCode::not_found, fmt::format("the server has no such thing (HTTP {})", status), where, "check the name and the revision"};
  if (status == 408 || status == 429 || status >= 500) return Error{ErrorCode::unavailable, fmt::format("the server failed (HTTP {})", status), where, "try again later"};
  return Error{ErrorCode::invalid_argument, fmt::format("the server refused the request (HTTP {})", status), where};
}

Error error_of_curl(CURLcode code, const char* detail, const std::string& where) {
  std::string message = *detail != '\0' ? detail : curl_easy_strerror(code);
  if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE) {
    return {ErrorCode::permission_denied, "the server's certificate is not trusted: " + message, where, "name the authority that signed it (ca_file), or put the certificate right"};
  }
  return {ErrorCode::unavailable, "no answer: " + message, where, "check the address and the network, then try again"};
}

void initialise_once() {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

}  // namespace

Result<UrlParts> parse_url(const std::string& url) {
  const std::unique_ptr<CURLU, FreeUrl> parsed(curl_url());
  if (curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), 0) != CURLUE_OK) return fail(ErrorCode::invalid_argument, "not an absolute URL", url);
  const auto part = [&](CURLUPart which, unsigned flags = 0) {
    char* text = nullptr;
    std::string out = curl_url_get(parsed.get(), which, &text, flags) == CURLUE_OK ? text : "";
    curl_free(text);
    return out;
  };
  UrlParts parts{part(CURLUPART_SCHEME), part(CURLUPART_HOST), part(CURLUPART_PATH) + (part(CURLUPART_QUERY).empty() ? "" : "?" + part(CURLUPART_QUERY)), 0};
  if (parts.scheme != "https" && parts.scheme != "http") return fail(ErrorCode::invalid_argument, "neither https nor http", url);
  if (!part(CURLUPART_USER).empty() || !part(CURLUPART_PASSWORD).empty()) return fail(ErrorCode::invalid_argument, "a URL must not hold a password", parts.host);
  std::transform(parts.host.begin(), parts.host.end(), parts.host.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  parts.port = std::atoi(part(CURLUPART_PORT, CURLU_DEFAULT_PORT).c_str());
  return parts;
}

Result<ClientResponse> Client::send_once(const ClientRequest& request, Sink& body, bool& body_started) const {
  const auto first = TRY(parse_url(request.url));
  std::string url = request.url;
  for (int hop = 0; hop <= options_.redirects_max; ++hop) {
    const auto here = TRY(parse_url(url));
    if (here.scheme != "https" && !(options_.allow_plain_loopback && is_loopback(here.host))) {
      return fail(ErrorCode::gate_refused, "plain HTTP is not used", url, "use https://");
    }
    const bool known = here.host == first.host || std::find(options_.allowed_hosts.begin(), options_.allowed_hosts.end(), here.host) != options_.allowed_hosts.end();
    if (!known) return fail(ErrorCode::gate_refused, "a redirect to a host that is not allowed", here.host, "add it to allowed_hosts if it belongs there");

    const Handle curl(curl_easy_init());
    char detail[CURL_ERROR_SIZE] = {};
    Exchange exchange;
    exchange.bytes_max = request.bytes_max;
    List headers;
    const auto add_header = [&headers](const std::string& line) { headers.reset(curl_slist_append(headers.release(), line.c_str())); };
    for (const auto& header : request.headers) add_header(header.name + ": " + header.value);
    // The token belongs to the host that was asked, not to one that it points to.
    if (request.bearer && origin_of(here) == origin_of(first)) {
      add_header("Authorization: Bearer " + to_text(request.bearer->reveal(SecretAccess::for_protocol())));
    }
    CURL* c = curl.get();
    curl_easy_setopt(c, CURLOPT_URL, url.c_str());
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, options_.allow_plain_loopback ? "https,http" : "https");
    curl_easy_setopt(c, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    curl_easy_setopt(c, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, static_cast<long>(options_.connect_s_max));
    curl_easy_setopt(c, CURLOPT_TIMEOUT, static_cast<long>(options_.total_s_max));
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, static_cast<long>(options_.stalled_s_max));
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, detail);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "redoubt");
    if (!options_.ca_file.empty()) curl_easy_setopt(c, CURLOPT_CAINFO, options_.ca_file.c_str());
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, &exchange);
    if (request.method == "HEAD") {
      curl_easy_setopt(c, CURLOPT_NOBODY, 1L);
    } else if (request.method != "GET") {
      curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, request.method.c_str());
      curl_easy_setopt(c, CURLOPT_POSTFIELDS, request.body.c_str());
      curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
    }
    const std::string range = fmt::format("{}-{}", request.offset, request.offset + request.length - 1);
    if (request.length > 0) curl_easy_setopt(c, CURLOPT_RANGE, range.c_str());
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers.get());

    // The body goes to the caller only once the status says that it is what was asked for.
    struct Gate final : Sink {
      CURL* curl;
      Sink* to;
      bool* started;
      Status write(ByteView bytes) override {
        long status = 0;
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
        if (status < 200 || status >= 300) return {};
        *started = true;
        return to->write(bytes);
      }
    } gate;
    gate.curl = c;
    gate.to = &body;
    gate.started = &body_started;
    exchange.body = &gate;
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, &exchange);

    const CURLcode code = curl_easy_perform(c);
    if (exchange.failure) {
      if (exchange.failure->where.empty()) exchange.failure->where = url;
      return fail(*exchange.failure);
    }
    if (code != CURLE_OK) return fail(error_of_curl(code, detail, url));
    long status = 0;
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
    exchange.response.status = static_cast<int>(status);
    if (status >= 300 && status < 400 && exchange.response.headers.find("location") != nullptr) {
      char* next = nullptr;
      curl_easy_getinfo(c, CURLINFO_REDIRECT_URL, &next);
      if (next == nullptr) return fail(ErrorCode::invalid_argument, "a redirect to nowhere", url);
      url = next;
      continue;
    }
    if (auto error = error_of_status(exchange.response.status, url)) return fail(*error);
    if (request.length > 0 && status != 206) return fail(ErrorCode::unsupported, "the server does not serve byte ranges", url);
    return std::move(exchange.response);
  }
  return fail(ErrorCode::limit_exceeded, "too many redirects", request.url);
}

Result<ClientResponse> Client::send(const ClientRequest& request, Sink& body) const {
  initialise_once();
  for (int attempt = 1;; ++attempt) {
    bool body_started = false;
    auto response = send_once(request, body, body_started);
    const bool again = !response && response.error().code == ErrorCode::unavailable && !body_started && attempt < request.attempts_max && request.method != "POST";
    if (!again) return response;
    std::this_thread::sleep_for(std::chrono::milliseconds(200 << attempt));
  }
}

Result<std::pair<ClientResponse, std::string>> Client::fetch(const ClientRequest& request) const {
  MemorySink sink;
  auto response = TRY(send(request, sink));
  return std::pair(std::move(response), to_text(sink.take()));
}

}  // namespace redoubt::http
