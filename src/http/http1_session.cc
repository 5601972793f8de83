// SPDX-License-Identifier: Apache-2.0
#include "http/http1_session.h"

#include <algorithm>
#include <cstdio>

namespace redoubt::http::detail {

using Outcome = Transport::Outcome;
using Next = Session::Next;

Http1Session::Http1Session(std::uint64_t connection, Peer peer, Transport& transport, Shared& shared)
    : connection_(connection), peer_(std::move(peer)), transport_(transport), shared_(shared), body_parser_(RequestHead{}, 0) {
  expect_request(shared_.options.head_ms_max);
}

Http1Session::~Http1Session() {
  if (exchange_) exchange_->client_left();
}

void Http1Session::set_deadline(int ms_max) { deadline_ = shared_.now + std::chrono::milliseconds(ms_max); }

Next Http1Session::on_tick() {
  if (transport_.is_late()) return Next::cut;
  if (shared_.now < deadline_) return Next::wait;
  if (shared_.draining && is_quiet()) return Next::linger;
  const bool slow_request = phase_ == Phase::body || (phase_ == Phase::head && head_begun_);
  if (!slow_request || verdict_) return Next::cut;
  refuse({408, "the request did not come in time"});
  return Next::again;
}

Next Http1Session::drain() {
  if (is_quiet()) deadline_ = std::min(deadline_, shared_.now + std::chrono::milliseconds(kDrainIdleMs));
  return Next::wait;
}

Next Http1Session::step() {
  switch (phase_) {
    case Phase::head: return step_head();
    case Phase::body: return step_body();
    case Phase::answer: return step_answer();
  }
  return Next::cut;
}

void Http1Session::expect_request(int ms_max) {
  phase_ = Phase::head;
  checked_ = 0;
  head_begun_ = false;
  set_deadline(ms_max);
}

Next Http1Session::step_head() {
  if (in_.empty()) return read_more();
  if (!head_begun_) {
    head_begun_ = true;
    set_deadline(shared_.options.head_ms_max);
  }
  auto end = find_head_end(in_, checked_, shared_.parser_limits);
  if (!end) return refuse(end.error()), Next::again;
  checked_ = in_.size();
  if (*end == 0) {
    const auto next = read_more();
    if (next == Next::wait) transport_.let_go();
    return next;
  }
  auto head = parse_checked_head(std::string_view(in_).substr(0, *end), shared_.parser_limits);
  if (!head) return refuse(head.error()), Next::again;
  in_.erase(0, *end);
  start_body(std::move(*head));
  return Next::again;
}

void Http1Session::start_body(RequestHead head) {
  request_ = std::move(head.request);
  request_.peer = peer_.address;
  request_.client = peer_.certificate;
  request_.has_body = head.framing != BodyFraming::none;
  is_head_ = request_.method == "HEAD";
  http_1_0_ = request_.is_http_1_0;
  keep_alive_ = head.keep_alive;
  body_parser_ = BodyParser(head, shared_.parser_limits.body_bytes_max);
  phase_ = Phase::body;
  set_deadline(shared_.options.body_ms_max);
  verdict_ = shared_.handler.on_head(request_);
  if (!verdict_) {
    is_known_ = true;
    if (head.expects_continue && in_.empty()) {
      transport_.out() += "HTTP/1.1 100 Continue\r\n\r\n";
      (void)transport_.flush();
    }
    return;
  }
  const bool short_body = head.framing == BodyFraming::none || (head.framing == BodyFraming::length && head.body_bytes <= kDiscardBytesMax);
  if (short_body && !head.expects_continue) return;
  keep_alive_ = false;
  answer_now(*std::exchange(verdict_, std::nullopt));
}

Next Http1Session::step_body() {
  const auto before = request_.body.size();
  auto used = body_parser_.consume(in_, request_.body);
  if (!used) return refuse(used.error()), Next::again;
  in_.erase(0, *used);
  if (verdict_) {
    request_.body.clear();
  } else {
    if (!shared_.body_room.grow(body_part_, request_.payer, request_.body.size() - before)) return refuse({503, "too many large requests at once"}), Next::again;
  }
  if (!body_parser_.done()) return read_more();
  verdict_ ? answer_now(*std::exchange(verdict_, std::nullopt)) : dispatch();
  return Next::again;
}

Next Http1Session::read_more() {
  std::string_view bytes;
  switch (transport_.read(bytes)) {
    case Outcome::done: in_ += bytes; return Next::again;
    case Outcome::wait: return transport_.flush() == Outcome::broken ? Next::cut : Next::wait;
    case Outcome::broken: return Next::cut;
  }
  return Next::cut;
}

void Http1Session::dispatch() {
  phase_ = Phase::answer;
  deadline_ = SteadyTime::max();
  if (shared_.options.answer_ms_max > 0) set_deadline(shared_.options.answer_ms_max);
  exchange_ = std::make_shared<Exchange>(connection_, shared_.bell, shared_.options.stream_bytes_max);
  shared_.handler.on_request(std::exchange(request_, {}), Responder(exchange_));
}

void Http1Session::answer_now(Response response) {
  phase_ = Phase::answer;
  deadline_ = SteadyTime::max();
  request_ = {};
  queue_whole(std::move(response));
}

// A request that could not be understood: where it ends is unknown, so nothing after it may be read as another.
void Http1Session::refuse(Refusal refusal) {
  keep_alive_ = false;
  verdict_.reset();
  answer_now(shared_.handler.on_refusal(refusal.status, refusal.why, phase_ == Phase::head ? Handler::Refused::head : Handler::Refused::body));
}

void Http1Session::queue_head(const Response& response, bool streamed) {
  if (shared_.draining) keep_alive_ = false;
  auto& out = transport_.out();
  out += "HTTP/1.1 ";
  out += std::to_string(response.status);
  out += ' ';
  out += reason_of(response.status);
  out += "\r\n";
  out += shared_.head_lines;
  for (const auto& [name, value] : response.headers) append_header(out, name, value);
  if (streamed) {
    out += "Transfer-Encoding: chunked\r\n";
  } else if (!has_no_body(response.status)) {
    out += "Content-Length: ";
    out += std::to_string(response.source ? response.length : response.body.size());
    out += "\r\n";
  }
  if (!keep_alive_) out += "Connection: close\r\n";
  out += "\r\n";
}

void Http1Session::queue_whole(Response response) {
  queue_head(response, false);
  complete_ = true;
  if (is_head_ || has_no_body(response.status)) return;
  transport_.out() += response.body;
  if (!response.source) return;
  source_ = std::move(response.source);
  source_offset_ = response.offset;
  source_rest_ = response.length;
}

Next Http1Session::take_output(Exchange::Output output) {
  if (output.whole) return queue_whole(std::move(*output.whole)), Next::again;
  if (output.begun) {
    // HTTP/1.0 knows no chunks: there the end of the connection is the end of the answer (and such a request never keeps it).
    chunked_ = !http_1_0_;
    queue_head(*output.begun, chunked_);
  }
  auto& out = transport_.out();
  if (!output.bytes.empty() && !is_head_) {
    if (chunked_) {
      char size[24];
      out.append(size, static_cast<std::size_t>(std::snprintf(size, sizeof size, "%zx\r\n", output.bytes.size())));
    }
    out += output.bytes;
    if (chunked_) out += "\r\n";
  }
  if (output.aborted) return Next::cut;
  if (!output.ended) return Next::again;
  complete_ = true;
  if (chunked_ && !is_head_) out += "0\r\n\r\n";
  return Next::again;
}

Next Http1Session::step_answer() {
  const auto has_room = [&] { return transport_.waiting() < Transport::kOutLow; };
  if (!complete_ && exchange_ && has_room() && take_output(exchange_->take()) == Next::cut) return Next::cut;
  // The client sees fewer bytes than were announced.
  if (source_rest_ > 0 && has_room() && !fill_from_source()) return Next::cut;
  const auto sent = transport_.flush();
  if (sent != Outcome::done) return sent == Outcome::wait ? Next::wait : Next::cut;
  if (transport_.waiting() > 0 || source_rest_ > 0) return Next::again;
  return complete_ ? finish_answer() : Next::wait;
}

bool Http1Session::fill_from_source() {
  const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(kSourceBytes, source_rest_));
  auto& out = transport_.out();
  const auto before = out.size();
  out.resize(before + count);
  if (!source_->read_at(source_offset_, MutableByteView(reinterpret_cast<std::uint8_t*>(out.data()) + before, count))) return false;
  source_offset_ += count;
  source_rest_ -= count;
  return true;
}

Next Http1Session::finish_answer() {
  exchange_.reset();
  source_.reset();
  complete_ = chunked_ = is_head_ = false;
  body_part_ = {};
  if (!keep_alive_ || shared_.draining) return Next::linger;
  expect_request(shared_.options.idle_ms_max);
  return Next::again;
}

}  // namespace redoubt::http::detail
