// SPDX-License-Identifier: Apache-2.0
#include "http/keep_alive_client.h"

#include <algorithm>

#include "http/transfer.h"

namespace redoubt::http {
namespace {

// Control characters would be a second header; everything from 0x80 on is text of the caller's.
bool is_sendable_text(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](unsigned char c) { return (c >= 0x20 && c != 0x7f) || c == '\t'; });
}

Result<detail::Transfer> transfer_of(const ExchangeRequest& request) {
  static const std::string kNoBody;
  detail::Transfer transfer;
  transfer.method = request.method;
  transfer.url = request.url;
  transfer.body = request.body != nullptr ? request.body : &kNoBody;
  transfer.upload = request.upload;
  transfer.upload_bytes = request.upload_bytes;
  transfer.bytes_max = request.bytes_max;
  transfer.verbatim = true;
  transfer.direct = request.direct;
  transfer.once = request.once;
  for (const auto& header : request.headers) {
    if (!is_sendable_text(header.name) || !is_sendable_text(header.value)) {
      return fail(ErrorCode::invalid_argument, "a header holds control characters", header.name);
    }
    // libcurl takes "Name:" for a header to leave out and "Name;" for one without a value.
    transfer.header_lines.push_back(header.value.empty() ? header.name + ";" : header.name + ": " + header.value);
  }
  if (request.headers.find("content-type") == nullptr) transfer.header_lines.push_back("Content-Type:");  // libcurl would call it a form
  transfer.header_lines.push_back("Expect:");  // no waiting for a 100 Continue before a body
  return transfer;
}

}  // namespace

KeepAliveClient::KeepAliveClient(ClientOptions options) : options_(std::move(options)), pool_(std::make_unique<detail::HandlePool>()) {}

KeepAliveClient::~KeepAliveClient() = default;

ExchangeOutcome KeepAliveClient::exchange(const ExchangeRequest& request, Sink& body) const {
  ExchangeOutcome outcome;
  auto transfer = transfer_of(request);
  if (!transfer) {
    outcome.failure = std::move(transfer.error());
    return outcome;
  }
  if (!request.allow_plain && !request.url.starts_with("https://")) {
    outcome.failure = Error{ErrorCode::gate_refused, "plain HTTP is not used", without_query(request.url), "use https://"};
    return outcome;
  }
  if (given_up_) {
    outcome.failure = detail::given_up_error(without_query(request.url));
    return outcome;
  }
  transfer->given_up = &given_up_;
  auto options = options_;
  options.allow_plain_loopback = request.allow_plain;
  options.total_s_max = request.total_s_max;
  if (request.connect_s_max > 0) options.connect_s_max = request.connect_s_max;
  detail::Delivery delivery{body};
  delivery.error_body = &outcome.error_body;
  auto response = detail::perform(options, *transfer, delivery, pool_.get());
  outcome.reached = delivery.reached;
  if (response) {
    outcome.response = std::move(*response);
  } else {
    outcome.failure = std::move(response.error());
  }
  return outcome;
}

}  // namespace redoubt::http
