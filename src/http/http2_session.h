// SPDX-License-Identifier: Apache-2.0
//
// HTTP/2 (RFC 9113) by libnghttp2: frames, header compression and flow control are its, and what a request may be is parser.h's, as
// for HTTP/1.1. Bounded beyond what the protocol asks: streams at once, headers of a request, frames that carry no request
// (CVE-2019-9512, -9515, -9518), streams that are reset (CVE-2023-44487, CVE-2025-8671), a window that never opens.
#pragma once

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <unordered_map>

#include "http/session.h"

namespace redoubt::http::detail {

// So many at once, and so many a second for ever.
class Allowance {
 public:
  Allowance(double burst, double per_second) : burst_(burst), per_second_(per_second), left_(burst) {}
  bool spend(double cost, SteadyTime now);
  void earn(double credit) { left_ = std::min(burst_, left_ + credit); }

 private:
  const double burst_, per_second_;
  double left_;
  SteadyTime filled_{};
};

class Http2Session final : public Session {
 public:
  Http2Session(std::uint64_t connection, Peer peer, Transport& transport, Shared& shared);
  ~Http2Session() override;
  Next step() override;
  Next on_tick() override;
  Next drain() override;
  bool wants_input() const override { return transport_.waiting() < 2 * Transport::kOutLow; }
  bool is_quiet() const override { return streams_.empty(); }

 private:
  struct Stream;
  struct Callbacks;  // what nghttp2 calls

  void begin_request(std::int32_t id);
  void take_field(Stream& stream, std::string_view name, std::string_view value);
  void take_trailer(Stream& stream);
  void take_body(Stream& stream, std::string_view bytes);
  void end_head(Stream& stream, bool is_last);
  void end_request(Stream& stream);
  void end_stream(std::int32_t id);
  void note_frame(const nghttp2_frame_hd& frame);
  void note_noise(double cost);

  void dispatch(Stream& stream);
  void refuse(Stream& stream, Refusal refusal, Handler::Refused what = Handler::Refused::body);
  void answer(Stream& stream, Response response);
  void submit(Stream& stream, const Response& response, bool has_body);
  void take_output(Stream& stream);
  ssize_t fill(Stream& stream, std::uint8_t* into, std::size_t size, std::uint32_t& flags);
  void reset(Stream& stream, std::uint32_t code);
  void watch(Stream& stream);
  bool receive();
  bool produce();

  const std::uint64_t connection_;
  const Peer peer_;
  Transport& transport_;
  Shared& shared_;
  nghttp2_session* session_ = nullptr;
  std::unordered_map<std::int32_t, std::unique_ptr<Stream>> streams_;
  SteadyTime idle_deadline_, head_deadline_ = SteadyTime::max();
  std::int32_t head_stream_ = 0;  // whose headers come, or came last
  Allowance noise_;
  bool drain_told_ = false, drained_ = false;
};

}  // namespace redoubt::http::detail
