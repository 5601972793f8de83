// SPDX-License-Identifier: Apache-2.0
#include "http/transfer.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <mutex>

#include "crypto/vector_gcm.h"
#include "http/read_ahead.h"

namespace redoubt::http::detail {
namespace {

constexpr std::size_t kHeadersMax = 200;
constexpr std::uint64_t kErrorBodyBytesMax = 64 << 10;  // read even where it is dropped, so that small errors end in order
constexpr std::size_t kIdleHandlesMax = 64;
constexpr long kBufferBytes = 256 << 10;

// Goes back to its pool, or away.
struct ReleaseCurl {
  HandlePool* pool = nullptr;
  void operator()(CURL* curl) const { pool != nullptr ? pool->give_back(curl) : curl_easy_cleanup(curl); }
};
using Handle = std::unique_ptr<CURL, ReleaseCurl>;

struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using List = std::unique_ptr<curl_slist, FreeList>;

// "bytes 0-4/10"; the total may be "*".
bool is_content_range(std::string_view text, const Range& range) {
  constexpr std::string_view kUnit = "bytes ";
  if (!text.starts_with(kUnit)) return false;
  std::uint64_t first = 0, last = 0;
  const char *at = text.data() + kUnit.size(), *end = text.data() + text.size();
  auto parsed = std::from_chars(at, end, first);
  if (parsed.ec != std::errc{} || parsed.ptr == end || *parsed.ptr != '-') return false;
  parsed = std::from_chars(parsed.ptr + 1, end, last);
  return parsed.ec == std::errc{} && parsed.ptr != end && *parsed.ptr == '/' && first == range.first && last - first + 1 == range.length;
}

// What libcurl's callbacks write to while one exchange runs.
struct RunningTransfer {
  const Transfer& transfer;
  Delivery& delivery;
  CURL* curl = nullptr;
  ClientResponse response = {};
  std::uint64_t received = 0;
  bool admitted = false;        // the body is the caller's
  bool cut_short = false;       // the rest of an error's body is of no interest
  std::optional<Error> failure = {};

  // Whether the answer is what was asked for, judged once, before its first byte.
  Status admit() {
    long status = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    response.status = static_cast<int>(status);
    if (status < 200 || status >= 300) return {};
    if (transfer.range) {
      const auto* given = response.headers.find("content-range");
      if (status != 206 || given == nullptr || !is_content_range(*given, *transfer.range)) {
        return fail(ErrorCode::unsupported, "the server does not serve the byte range it was asked for", without_query(transfer.url));
      }
    } else if (status == 206 && !transfer.verbatim) {
      return fail(ErrorCode::unsupported, "the server sent a part where the whole was asked for", without_query(transfer.url));
    }
    admitted = true;
    if (!delivery.response) delivery.response = response;
    return {};
  }

  Status take(ByteView bytes) {
    if (received == 0) TRY(admit());
    received += bytes.size();
    if (!admitted) {
      cut_short = received > kErrorBodyBytesMax;
      if (delivery.error_body != nullptr && !cut_short) delivery.error_body->append(text_of(bytes));
      return {};
    }
    const std::uint64_t bytes_max = transfer.range ? transfer.range->length : transfer.bytes_max;
    if (received > bytes_max) {
      return fail(ErrorCode::limit_exceeded, fmt::format("the answer is longer than {} bytes", bytes_max), without_query(transfer.url));
    }
    TRY(delivery.sink.write(bytes));
    delivery.bytes += bytes.size();
    return {};
  }
};

std::size_t on_header(char* data, std::size_t, std::size_t size, void* user) {
  auto& exchange = *static_cast<RunningTransfer*>(user);
  std::string_view line(data, size);
  if (line.starts_with("HTTP/")) {
    exchange.response.headers = {};  // a new answer, after a 100 Continue
    return size;
  }
  const auto colon = line.find(':');
  if (colon == line.npos) return size;
  if (exchange.response.headers.size() == kHeadersMax) {
    exchange.failure = Error{ErrorCode::limit_exceeded, "the answer has too many headers", without_query(exchange.transfer.url)};
    return 0;
  }
  std::string name(line.substr(0, colon));
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  auto value = line.substr(colon + 1);
  while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
  while (!value.empty() && (value.back() == '\r' || value.back() == '\n' || value.back() == ' ')) value.remove_suffix(1);
  exchange.response.headers.add(std::move(name), std::string(value));
  return size;
}

std::size_t on_body(char* data, std::size_t, std::size_t size, void* user) {
  auto& exchange = *static_cast<RunningTransfer*>(user);
  if (auto taken = exchange.take({reinterpret_cast<const std::uint8_t*>(data), size}); !taken) {
    exchange.failure = std::move(taken.error());
    return 0;
  }
  return exchange.cut_short ? 0 : size;
}

std::size_t on_upload(char* into, std::size_t, std::size_t size, void* user) {
  auto& exchange = *static_cast<RunningTransfer*>(user);
  auto count = exchange.transfer.upload->read({reinterpret_cast<std::uint8_t*>(into), size});
  if (count) return *count;
  exchange.failure = std::move(count.error());
  return CURL_READFUNC_ABORT;
}

// Asked at least once a second, also while nothing comes.
int on_progress(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) { return static_cast<const std::atomic<bool>*>(user)->load() ? 1 : 0; }

void set_limits(CURL* curl, const ClientOptions& options) {
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, options.allow_plain_loopback ? "https,http" : "https");
  curl_easy_setopt(curl, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, static_cast<long>(options.connect_s_max));
  curl_easy_setopt(curl, CURLOPT_TIMEOUT, static_cast<long>(options.total_s_max));
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, static_cast<long>(options.stalled_s_max));
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "redoubt");
  curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, kBufferBytes);
  curl_easy_setopt(curl, CURLOPT_UPLOAD_BUFFERSIZE, kBufferBytes);
  if (options.ca_file.empty()) return;
  curl_easy_setopt(curl, CURLOPT_CAINFO, options.ca_file.c_str());
  // Without this the machine's folder of authorities would be trusted beside the one that was named.
  curl_easy_setopt(curl, CURLOPT_CAPATH, nullptr);
}

void set_request(CURL* curl, const Transfer& transfer) {
  curl_easy_setopt(curl, CURLOPT_URL, transfer.url.c_str());
  if (transfer.verbatim) curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
  if (transfer.direct) curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
  if (transfer.given_up != nullptr) {
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, const_cast<std::atomic<bool>*>(transfer.given_up));
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  }
  curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT, transfer.once ? 1L : 0L);
  if (transfer.range) {
    const auto& range = *transfer.range;
    curl_easy_setopt(curl, CURLOPT_RANGE, fmt::format("{}-{}", range.first, range.first + range.length - 1).c_str());
  }
  if (transfer.method == "HEAD") {
    curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
  } else if (transfer.upload != nullptr) {
    curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, transfer.method.c_str());
    curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(transfer.upload_bytes));
  } else if (transfer.method != "GET") {
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, transfer.method.c_str());
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, transfer.body->c_str());
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(transfer.body->size()));
  }
}

tl::unexpected<Error> fail_curl(CURLcode code, const char* detail, const ClientOptions& options, const std::string& where) {
  const std::string message = *detail != '\0' ? detail : curl_easy_strerror(code);
  if (code == CURLE_SSL_CACERT_BADFILE) {
    return fail(ErrorCode::invalid_argument, "the file of authorities can't be read: " + message, options.ca_file, "name a PEM file");
  }
  if (code == CURLE_PEER_FAILED_VERIFICATION) {
    return fail(ErrorCode::permission_denied, "the server's certificate is not trusted: " + message, where,
                "name the authority that signed it (ca_file), or put the certificate right");
  }
  return fail(ErrorCode::unavailable, "no answer: " + message, where, "check the address and the network, then try again");
}

void initialise_once() {
  static std::once_flag once;
  std::call_once(once, [] {
    (void)crypto::prefer_vector_gcm();  // libcurl's TLS takes it too
    curl_global_init(CURL_GLOBAL_DEFAULT);
  });
}

}  // namespace

Error given_up_error(const std::string& where) { return {ErrorCode::unavailable, "no answer is waited for any more", where}; }

HandlePool::HandlePool() { initialise_once(); }

HandlePool::~HandlePool() {
  for (void* handle : idle_) curl_easy_cleanup(handle);
}

void* HandlePool::take() {
  const std::lock_guard lock(mutex_);
  if (idle_.empty()) return curl_easy_init();
  void* handle = idle_.back();  // the one used last: its connections are the likeliest to be open still
  idle_.pop_back();
  return handle;
}

void HandlePool::give_back(void* handle) {
  curl_easy_reset(handle);
  const std::lock_guard lock(mutex_);
  if (idle_.size() < kIdleHandlesMax) return idle_.push_back(handle);
  curl_easy_cleanup(handle);
}

Result<ClientResponse> perform(const ClientOptions& options, const Transfer& transfer, Delivery& delivery, HandlePool* pool) {
  initialise_once();
  const Handle curl(pool != nullptr ? pool->take() : curl_easy_init(), ReleaseCurl{pool});
  if (!curl) return fail(ErrorCode::unavailable, "libcurl has no memory");
  RunningTransfer exchange{transfer, delivery, curl.get()};
  List headers;
  for (const auto& line : transfer.header_lines) headers.reset(curl_slist_append(headers.release(), line.c_str()));
  char detail[CURL_ERROR_SIZE] = {};
  set_limits(curl.get(), options);
  set_request(curl.get(), transfer);
  curl_easy_setopt(curl.get(), CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(curl.get(), CURLOPT_ERRORBUFFER, detail);
  curl_easy_setopt(curl.get(), CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(curl.get(), CURLOPT_HEADERDATA, &exchange);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &exchange);
  curl_easy_setopt(curl.get(), CURLOPT_READFUNCTION, on_upload);
  curl_easy_setopt(curl.get(), CURLOPT_READDATA, &exchange);

  const bool is_long = pool == nullptr && transfer.method == "GET";
  const CURLcode code = is_long ? perform_reading_ahead(curl.get()) : curl_easy_perform(curl.get());
  long sent = 0;
  curl_easy_getinfo(curl.get(), CURLINFO_REQUEST_SIZE, &sent);
  delivery.reached = delivery.reached || sent > 0;
  if (exchange.failure) return fail(std::move(*exchange.failure));
  const std::string where = without_query(transfer.url);
  if (code == CURLE_ABORTED_BY_CALLBACK && transfer.given_up != nullptr && *transfer.given_up) return fail(given_up_error(where));
  if (code != CURLE_OK && !exchange.cut_short) return fail_curl(code, detail, options, where);
  if (exchange.received == 0) TRY(exchange.admit());  // an answer without a body
  if (exchange.admitted && transfer.range && transfer.method != "HEAD" && exchange.received != transfer.range->length) {
    return fail(ErrorCode::unavailable, "the server ended the byte range early", where);
  }
  return std::move(exchange.response);
}

}  // namespace redoubt::http::detail
