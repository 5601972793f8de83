// SPDX-License-Identifier: Apache-2.0
#include "gateway/issuer_keys.h"

#include <algorithm>
#include <charconv>

#include "base/json.h"
#include "http/allowed_host.h"
#include "http/client.h"

namespace redoubt::gateway {
namespace {

constexpr std::size_t kDocumentBytesMax = 1 << 20;
constexpr std::string_view kDocument = "OpenID configuration";

bool is_allowed(const std::string& host, const std::string& issuer_host, const std::vector<std::string>& allowed) {
  return host == issuer_host || std::any_of(allowed.begin(), allowed.end(), [&](const std::string& one) { return http::is_allowed_host(one, host); });
}

}  // namespace

Status check_issuer(const std::string& issuer) {
  const auto url = TRY(http::parse_url(issuer));
  if (url.scheme != "https" || issuer.find_first_of("?#") != issuer.npos)
    return fail(ErrorCode::invalid_argument, "an issuer whose document is read is an https URL without query and fragment", http::without_query(issuer));
  return {};
}

std::string configuration_url(const std::string& issuer) {
  const auto end = issuer.ends_with('/') ? issuer.size() - 1 : issuer.size();
  return issuer.substr(0, end) + "/.well-known/openid-configuration";
}

Result<std::string> key_set_url_of(std::string_view document, const KeySource& source) {
  const auto json = TRY(parse_json(document, kDocument, {kDocumentBytesMax, 16}));
  const auto issuer = TRY(json_string(json, "issuer", kDocument));
  // Else one issuer could speak for another, whose tokens would then count by its keys.
  if (issuer != source.issuer) return fail(ErrorCode::gate_refused, "the document is of another issuer than the configured one", std::string(kDocument) + ": issuer");
  auto url = TRY(json_string(json, "jwks_uri", kDocument));
  const auto where = std::string(kDocument) + ": jwks_uri";
  const auto place = http::parse_url(url);
  if (!place || place->scheme != "https") return fail(ErrorCode::gate_refused, "the keys are not at an https URL", where);
  const auto own = TRY(http::parse_url(source.issuer));
  if (!is_allowed(place->host, own.host, source.key_set_hosts))
    return fail(ErrorCode::gate_refused, "the keys are on a host that the configuration does not name: " + place->host, where, "add it to oidc.key_set_hosts if it belongs there");
  return url;
}

std::optional<std::chrono::seconds> max_age_of(std::string_view cache_control) {
  constexpr std::string_view kMaxAge = "max-age=";
  std::optional<std::chrono::seconds> age;
  for (std::size_t from = 0; from <= cache_control.size();) {
    const auto end = std::min(cache_control.find(',', from), cache_control.size());
    auto word = cache_control.substr(from, end - from);
    from = end + 1;
    word.remove_prefix(std::min(word.find_first_not_of(" \t"), word.size()));
    word = word.substr(0, word.find_last_not_of(" \t") + 1);
    if (http::equal_ignoring_case(word, "no-store") || http::equal_ignoring_case(word, "no-cache")) return std::chrono::seconds(0);
    if (!http::equal_ignoring_case(word.substr(0, kMaxAge.size()), kMaxAge)) continue;
    std::uint32_t seconds = 0;
    const auto text = word.substr(kMaxAge.size());
    const auto [last, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
    if (error == std::errc::result_out_of_range) seconds = UINT32_MAX;
    else if (error != std::errc{} || last != text.data() + text.size()) continue;
    age = std::min(age.value_or(std::chrono::seconds::max()), std::chrono::seconds(seconds));
  }
  return age;
}

IssuerKeys::IssuerKeys(KeySource source, TokenIssuer& tokens, Fetch fetch, Heard heard, KeyTiming timing)
    : source_(std::move(source)), tokens_(tokens), fetch_(std::move(fetch)), heard_(std::move(heard)), timing_(timing) {
  tokens_.on_missing_key([this] { return ask(); });
  thread_ = std::thread([this] { run(); });
}

IssuerKeys::~IssuerKeys() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

bool IssuerKeys::is_stopping() {
  const std::lock_guard lock(mutex_);
  return stopping_;
}

bool IssuerKeys::wait_first(std::chrono::milliseconds time_max) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, time_max, [this] { return is_first_done_; });
}

// However many tokens name however many keys, the issuer is asked once in a while.
bool IssuerKeys::ask() {
  {
    const std::lock_guard lock(mutex_);
    if (fetching_ || asked_) return true;
    if (Steady::now() < begun_ + timing_.asked_min) return false;
    asked_ = true;
  }
  changed_.notify_all();
  return true;
}

Result<std::chrono::milliseconds> IssuerKeys::refresh() {
  std::string url = source_.key_set_url;
  if (url.empty()) {
    const auto document = TRY(fetch_(configuration_url(source_.issuer)));
    url = TRY(key_set_url_of(document.body, source_));
    if (is_stopping()) return fail(ErrorCode::unavailable, "the endpoint stops");
  }
  const auto set = TRY(fetch_(url));
  TRY(tokens_.replace_keys(set.body));
  const auto age = max_age_of(set.cache_control);
  return age ? std::clamp<std::chrono::milliseconds>(*age, timing_.age_min, timing_.age_max) : timing_.age;
}

void IssuerKeys::run() {
  auto retry = timing_.retry_min;
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    fetching_ = true;
    asked_ = false;
    begun_ = Steady::now();
    lock.unlock();
    const auto age = refresh();
    if (is_stopping()) return;
    heard_(age ? Status() : Status(fail(age.error())), tokens_.key_count());
    lock.lock();
    fetching_ = false;
    is_first_done_ = true;
    changed_.notify_all();
    const auto next = Steady::now() + (age ? *age : retry);
    retry = age ? timing_.retry_min : std::min(2 * retry, timing_.retry_max);
    changed_.wait_until(lock, next, [this] { return stopping_ || asked_; });
  }
}

IssuerKeys::Fetch fetch_over_https(const std::string& ca_file) {
  http::ClientOptions options;
  options.ca_file = ca_file;
  options.connect_s_max = 5;
  options.total_s_max = 10;
  options.redirects_max = 0;  // where the keys come from is configured, and nobody else's to say
  return [client = http::Client(options)](const std::string& url) -> Result<IssuerKeys::Fetched> {
    http::ClientRequest request;
    request.url = url;
    request.bytes_max = kDocumentBytesMax;
    request.attempts_max = 1;
    auto [response, body] = TRY(client.fetch(request));
    if (response.status != 200) return fail(ErrorCode::unavailable, "the server answered with status " + std::to_string(response.status), http::without_query(url));
    const auto* caching = response.headers.find("cache-control");
    return IssuerKeys::Fetched{std::move(body), caching != nullptr ? *caching : ""};
  };
}

}  // namespace redoubt::gateway
