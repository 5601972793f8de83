// SPDX-License-Identifier: Apache-2.0
//
// HTTP/1.1: request after request, each read whole before it is handled and answered whole before the next is looked at.
#pragma once

#include "http/session.h"

namespace redoubt::http::detail {

class Http1Session final : public Session {
 public:
  Http1Session(std::uint64_t connection, Peer peer, Transport& transport, Shared& shared);
  ~Http1Session() override;
  Next step() override;
  Next on_tick() override;
  Next drain() override;
  bool wants_input() const override { return phase_ != Phase::answer; }
  bool is_quiet() const override { return phase_ == Phase::head && !head_begun_; }

 private:
  enum class Phase { head, body, answer };

  Next step_head();
  Next step_body();
  Next step_answer();
  Next read_more();
  void start_body(RequestHead head);
  void dispatch();
  void answer_now(Response response);
  void refuse(Refusal refusal);
  void queue_head(const Response& response, bool streamed);
  void queue_whole(Response response);
  Next take_output(Exchange::Output output);
  bool fill_from_source();
  Next finish_answer();
  void expect_request(int ms_max);
  void set_deadline(int ms_max);

  const std::uint64_t connection_;
  const Peer peer_;
  Transport& transport_;
  Shared& shared_;
  Phase phase_ = Phase::head;
  SteadyTime deadline_ = SteadyTime::max();

  std::string in_;           // bytes of the client not yet taken
  std::size_t checked_ = 0;  // how much of in_ was searched for the end of the head
  bool head_begun_ = false;
  Request request_;
  BodyParser body_parser_;
  BodyRoom::Part body_part_;
  std::optional<Response> verdict_;  // the refusal that waits for the body to be read off

  std::shared_ptr<Exchange> exchange_;
  bool is_head_ = false, http_1_0_ = false, keep_alive_ = true, chunked_ = false, complete_ = false;
  std::shared_ptr<const RandomAccess> source_;
  std::uint64_t source_offset_ = 0, source_rest_ = 0;
};

}  // namespace redoubt::http::detail
