// SPDX-License-Identifier: Apache-2.0
#include "http/exchange.h"

#include "http/server.h"

namespace redoubt::http {
namespace detail {

void Exchange::tell() {
  news_ = true;
  bell_->ring(connection_);
}

void Exchange::send(Response response) {
  {
    std::lock_guard lock(mutex_);
    if (started_ || gone_) return;
    started_ = ended_ = true;
    output_.whole = std::move(response);
    output_.ended = true;
  }
  tell();
}

void Exchange::begin(int status, Headers headers) {
  {
    std::lock_guard lock(mutex_);
    if (started_ || gone_) return;
    started_ = true;
    output_.begun = Response{status, std::move(headers), {}, {}, 0, 0};
  }
  tell();
}

Status Exchange::write(std::string_view bytes) {
  {
    std::lock_guard lock(mutex_);
    if (gone_) return fail(ErrorCode::unavailable, "the client is gone");
    if (!started_ || ended_) return fail(ErrorCode::internal, "a write outside of a streamed answer");
    if (!output_.bytes.empty() && output_.bytes.size() + bytes.size() > stream_bytes_max_)
      return fail(ErrorCode::limit_exceeded, "the client reads more slowly than the answer comes");
    output_.bytes.append(bytes);
  }
  tell();
  return {};
}

void Exchange::end() {
  {
    std::lock_guard lock(mutex_);
    if (!started_ || ended_ || gone_) return;
    ended_ = output_.ended = true;
  }
  tell();
}

void Exchange::abort() {
  {
    std::lock_guard lock(mutex_);
    if (ended_ || gone_) return;
    cut();
  }
  tell();
}

void Exchange::cut() {
  ended_ = true;
  output_.aborted = true;
}

void Exchange::on_abort(std::function<void()> callback) {
  {
    std::lock_guard lock(mutex_);
    if (ended_) return;
    if (!gone_) {
      on_abort_ = std::move(callback);
      return;
    }
  }
  callback();
}

void Exchange::on_drain(std::function<void()> callback) {
  {
    std::lock_guard lock(mutex_);
    if (ended_ || gone_) return;
    on_drain_ = std::move(callback);
  }
  tell();
}

void Exchange::dropped() {
  {
    std::lock_guard lock(mutex_);
    if (ended_ || gone_) return;
    if (started_) {
      cut();
    } else {
      started_ = ended_ = output_.ended = true;
      output_.whole = Response{500, {}, {}, {}, 0, 0};
    }
  }
  tell();
}

Exchange::Output Exchange::take() {
  Output output;
  std::function<void()> drained;
  news_ = false;
  {
    std::lock_guard lock(mutex_);
    output = std::exchange(
        output_, Output{.whole = {}, .begun = {}, .bytes = {}, .ended = output_.ended, .aborted = output_.aborted});
    if (started_) drained = std::exchange(on_drain_, nullptr);
  }
  if (drained) drained();
  return output;
}

void Exchange::client_left() {
  std::function<void()> callback, dropped_callback;
  {
    std::lock_guard lock(mutex_);
    if (std::exchange(gone_, true)) return;
    callback = std::exchange(on_abort_, nullptr);
    dropped_callback = std::exchange(on_drain_, nullptr);
    if (ended_ && !output_.aborted) callback = nullptr;
  }
  if (callback) callback();
}

}  // namespace detail

Responder::Responder(std::shared_ptr<detail::Exchange> exchange)
    : guard_(nullptr, [exchange](void*) { exchange->dropped(); }), exchange_(std::move(exchange)) {}
void Responder::send(Response response) const { exchange_->send(std::move(response)); }
void Responder::begin(int status, Headers headers) const { exchange_->begin(status, std::move(headers)); }
Status Responder::write(std::string_view bytes) const { return exchange_->write(bytes); }
void Responder::end() const { exchange_->end(); }
void Responder::abort() const { exchange_->abort(); }
void Responder::on_abort(std::function<void()> callback) const { exchange_->on_abort(std::move(callback)); }
void Responder::on_drain(std::function<void()> callback) const { exchange_->on_drain(std::move(callback)); }

}  // namespace redoubt::http
