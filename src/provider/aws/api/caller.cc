// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/api/caller.h"

#include <fmt/format.h>

#include <ctime>
#include <thread>

#include "base/counting_sink.h"

namespace redoubt::provider::aws {
namespace {

constexpr std::int64_t kSkewMsMin = 4 * 60 * 1000;  // less is no reason for a refused signature

// A part of an object, read from its start for every attempt.
class PartSource final : public Source {
 public:
  PartSource(const RandomAccess& object, std::uint64_t offset, std::uint64_t size) : object_(object), offset_(offset), rest_(size) {}
  Result<std::size_t> read(MutableByteView into) override {
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(into.size(), rest_));
    TRY(object_.read_at(offset_, into.first(count)));
    offset_ += count;
    rest_ -= count;
    return count;
  }

 private:
  const RandomAccess& object_;
  std::uint64_t offset_, rest_;
};

// "Sun, 06 Nov 1994 08:49:37 GMT", the form that RFC 9110 tells senders to use.
std::optional<TimePoint> http_date(const std::string* text) {
  std::tm parts{};
  if (text == nullptr || strptime(text->c_str(), "%a, %d %b %Y %H:%M:%S GMT", &parts) == nullptr) return std::nullopt;
  return TimePoint{std::chrono::seconds(timegm(&parts))};
}

}  // namespace

// The attempts of one request.
class Attempts {
 public:
  Attempts(Caller& caller, const Outgoing& request, CredentialCache* credentials, Sink& body)
      : caller_(caller), request_(request), credentials_(credentials), body_(body) {}

  Result<http::ClientResponse> run() {
    for (number_ = 1;; ++number_) {
      pause(caller_.retry_.pause_to_send(RetryPolicy::Steady::now()));
      auto outcome = TRY(attempt());
      if (outcome.response && outcome.response->status < 300) {
        caller_.retry_.on_success(number_);
        caller_.retry_.on_answer(false, RetryPolicy::Steady::now());
        return std::move(*outcome.response);
      }
      const int wait = outcome.response ? judge_refusal(outcome) : judge_failure(outcome);
      if (wait < 0) return fail(error_of_outcome(outcome));
      pause(wait);
    }
  }

 private:
  void pause(int milliseconds) const {
    constexpr int kSliceMs = 200;  // how soon it is seen that nobody waits any more
    for (; milliseconds > 0 && !caller_.http_.has_given_up(); milliseconds -= kSliceMs) {
      std::this_thread::sleep_for(std::chrono::milliseconds(std::min(milliseconds, kSliceMs)));
    }
  }

  Result<http::ExchangeOutcome> attempt() {
    http::ExchangeRequest out;
    out.method = request_.method;
    const auto path = request_.endpoint.base_path + request_.path;
    const auto query = canonical_query(request_.query);
    out.url = request_.endpoint.url + path + (query.empty() ? "" : "?" + query);
    out.headers = TRY(headers_for(path));
    out.body = request_.body;
    out.bytes_max = request_.bytes_max;
    out.once = !request_.repeatable;
    out.allow_plain = request_.endpoint.url.starts_with("http://");
    PartSource part(request_.upload != nullptr ? *request_.upload : static_cast<const RandomAccess&>(kNothing), request_.upload_offset, request_.upload_bytes);
    if (request_.upload != nullptr) {
      out.upload = &part;
      out.upload_bytes = request_.upload_bytes;
    }
    auto outcome = caller_.http_.exchange(out, body_);
    if (outcome.failure && outcome.failure->code != ErrorCode::unavailable) return fail(std::move(*outcome.failure));
    return outcome;
  }

  Result<http::Headers> headers_for(const std::string& path) {
    SignableRequest signable{request_.method, path, request_.query, request_.headers, request_.payload_hash, request_.service->name == "s3"};
    signable.headers.add("host", request_.endpoint.host);
    if (!request_.is_signed || credentials_ == nullptr) return signable.headers;
    used_ = TRY(credentials_->get());
    return signed_headers(std::move(signable), {request_.endpoint.signing_region, std::string(request_.service->signing_name), caller_.now()}, *used_);
  }

  // Milliseconds to wait before the next attempt, or -1 for none.
  int judge_refusal(const http::ExchangeOutcome& outcome) {
    const auto refusal = read_refusal(*outcome.response, outcome.error_body);
    const auto remedy = remedy_of(refusal);
    caller_.retry_.on_answer(remedy == Remedy::again_slower, RetryPolicy::Steady::now());
    switch (remedy) {
      // An answer to HEAD has no body to say what is wrong.
      case Remedy::none: return request_.method == "HEAD" && outcome.response->status == 403 && set_clock(*outcome.response) ? 0 : -1;
      case Remedy::set_clock: return set_clock(*outcome.response) ? 0 : -1;
      case Remedy::new_credentials: return renew_credentials() ? 0 : -1;
      case Remedy::again_slower: return next_pause(RetryPolicy::Cause::throttled, outcome.response->headers);
      case Remedy::again: return request_.repeatable ? next_pause(RetryPolicy::Cause::transient, outcome.response->headers) : -1;
    }
    return -1;
  }

  int judge_failure(const http::ExchangeOutcome& outcome) {
    if (caller_.http_.has_given_up()) return -1;
    if (outcome.reached && !request_.repeatable) return -1;
    if (body_.count() > forgotten_ && !request_.forget_body) return -1;
    if (request_.forget_body) request_.forget_body();
    forgotten_ = body_.count();
    return next_pause(outcome.reached ? RetryPolicy::Cause::timeout : RetryPolicy::Cause::transient, {});
  }

  int next_pause(RetryPolicy::Cause cause, const http::Headers& headers) {
    const int wait = caller_.retry_.pause_before(number_ + 1, cause);
    const auto* asked = headers.find("retry-after");
    if (wait < 0 || asked == nullptr) return wait;
    return std::max(wait, std::clamp(std::atoi(asked->c_str()), 0, 30) * 1000);
  }

  // The service's clock is right: signatures are made by it from now on.
  bool set_clock(const http::ClientResponse& response) {
    const auto theirs = http_date(response.headers.find("date"));
    if (!theirs || clock_was_set_) return false;
    const auto now_skew = (*theirs - caller_.now()).count();
    if (std::abs(now_skew) < kSkewMsMin) return false;
    caller_.skew_ms_ += now_skew;
    return clock_was_set_ = true;
  }

  bool renew_credentials() {
    if (credentials_ == nullptr || !used_ || renewed_) return false;
    credentials_->reject(*used_);
    return renewed_ = true;
  }

  Error error_of_outcome(const http::ExchangeOutcome& outcome) const {
    if (outcome.response) {
      auto error = error_of(read_refusal(*outcome.response, outcome.error_body), request_.subject());
      if (number_ > 1) error.message += fmt::format(", after {} attempts", number_);
      return error;
    }
    auto error = *outcome.failure;
    error.message = fmt::format("{} ({}, after {} attempt{})", error.message, request_.subject(), number_, number_ == 1 ? "" : "s");
    if (outcome.reached && !request_.repeatable) {
      error.hint = "the service may have carried it out; it was not asked again, so that nothing is made twice: look, then run this again";
    }
    return error;
  }

  struct Nothing final : RandomAccess {
    std::uint64_t size() const override { return 0; }
    Status read_at(std::uint64_t, MutableByteView) const override { return {}; }
  };
  inline static const Nothing kNothing;

  Caller& caller_;
  const Outgoing& request_;
  CredentialCache* credentials_;
  CountingSink body_;
  std::uint64_t forgotten_ = 0;  // of the body, by the caller
  int number_ = 1;
  bool clock_was_set_ = false, renewed_ = false;
  std::optional<Credentials> used_;
};

Result<http::ClientResponse> Caller::send(const Outgoing& request, CredentialCache* credentials, Sink& body) {
  return Attempts(*this, request, credentials, body).run();
}

}  // namespace redoubt::provider::aws
