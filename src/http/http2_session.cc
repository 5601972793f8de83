// SPDX-License-Identifier: Apache-2.0
#include "http/http2_session.h"

#include <algorithm>

#include "base/check.h"

namespace redoubt::http::detail {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kFieldOverhead = 32;  // of a field in a header list's size (RFC 9113 section 6.5.2)
// PING, SETTINGS, PRIORITY, WINDOW_UPDATE, RST_STREAM and empty frames: so many at once, and so many a second. What we send earns some
// back, because a client answers it with window updates and measures with pings.
constexpr double kNoiseBurst = 1'000, kNoisePerSecond = 100, kNoiseEarned = 2, kNoiseOfReset = 5;
constexpr std::uint64_t kResetBurst = 200, kResetsPerSecond = 20;
constexpr std::size_t kAcksMax = 100;  // that wait for a client which does not read
constexpr std::size_t kContinuationsMax = 4;

SteadyTime after(SteadyTime now, int ms) { return ms > 0 ? now + milliseconds(ms) : SteadyTime::max(); }

std::string_view text_from(const std::uint8_t* bytes, std::size_t size) { return {reinterpret_cast<const char*>(bytes), size}; }

nghttp2_nv field_of(std::string_view name, std::string_view value) {
  const auto bytes_of = [](std::string_view text) { return const_cast<std::uint8_t*>(reinterpret_cast<const std::uint8_t*>(text.data())); };
  return {bytes_of(name), bytes_of(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
}

}  // namespace

bool Allowance::spend(double cost, SteadyTime now) {
  const double passed_s = filled_ == SteadyTime{} ? 0 : std::chrono::duration<double>(now - filled_).count();
  filled_ = now;
  left_ = std::min(burst_, left_ + passed_s * per_second_) - cost;
  return left_ >= 0;
}

struct Http2Session::Stream {
  std::int32_t id = 0;
  RequestFields fields;
  std::size_t field_bytes = 0;
  std::optional<Refusal> refusal;  // found while its headers come
  Request request;
  std::uint64_t body_bytes_announced = 0;
  bool length_announced = false;
  BodyRoom::Part body_part;
  std::optional<Response> verdict;  // the refusal that waits for the body to be read off

  enum class State { head, body, handled, answered } state = State::head;
  bool client_done = false;  // END_STREAM came
  bool is_head = false;

  std::shared_ptr<Exchange> exchange;
  bool complete = false, deferred = false;
  std::string pending;  // of the answer, not yet in frames
  std::size_t pending_sent = 0;
  std::shared_ptr<const RandomAccess> source;
  std::uint64_t source_offset = 0, source_rest = 0;
  std::uint64_t sent_total = 0;
  SendWatch watch;
  SteadyTime deadline = SteadyTime::max();  // of the body, then of the answer

  std::size_t waiting() const { return pending.size() - pending_sent; }
  // Whether the handler has said what there is room for.
  bool has_news() const { return exchange && !complete && waiting() < Transport::kOutLow && exchange->has_news(); }
};

struct Http2Session::Callbacks {
  static Http2Session& self(void* data) { return *static_cast<Http2Session*>(data); }
  static Stream* stream_of(Http2Session& session, std::int32_t id) {
    const auto found = session.streams_.find(id);
    return found == session.streams_.end() ? nullptr : found->second.get();
  }

  static int begin_headers(nghttp2_session*, const nghttp2_frame* frame, void* data) {
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST) self(data).begin_request(frame->hd.stream_id);
    return 0;
  }

  static int header(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name, std::size_t name_size, const std::uint8_t* value,
                    std::size_t value_size, std::uint8_t, void* data) {
    auto& session = self(data);
    auto* stream = stream_of(session, frame->hd.stream_id);
    if (stream == nullptr) return 0;
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
      session.take_field(*stream, text_from(name, name_size), text_from(value, value_size));
    } else {
      session.take_trailer(*stream);
    }
    return 0;
  }

  static int begin_frame(nghttp2_session*, const nghttp2_frame_hd* head, void* data) {
    self(data).note_frame(*head);
    return 0;
  }

  static int frame_received(nghttp2_session*, const nghttp2_frame* frame, void* data) {
    auto& session = self(data);
    auto* stream = stream_of(session, frame->hd.stream_id);
    if (stream == nullptr) return 0;
    const bool is_last = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST) session.end_head(*stream, is_last);
    if (is_last && (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA)) session.end_request(*stream);
    return 0;
  }

  static int invalid_frame(nghttp2_session*, const nghttp2_frame*, int, void* data) {
    self(data).note_noise(kNoiseOfReset);
    return 0;
  }

  static int data_chunk(nghttp2_session*, std::uint8_t, std::int32_t id, const std::uint8_t* bytes, std::size_t size, void* data) {
    auto& session = self(data);
    if (auto* stream = stream_of(session, id)) session.take_body(*stream, text_from(bytes, size));
    return 0;
  }

  static int frame_sent(nghttp2_session*, const nghttp2_frame* frame, void* data) {
    auto& session = self(data);
    const bool is_answer = frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS;
    if (is_answer) session.noise_.earn(kNoiseEarned);
    if (frame->hd.type == NGHTTP2_RST_STREAM) session.note_noise(kNoiseOfReset);
    auto* stream = is_answer && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0 ? stream_of(session, frame->hd.stream_id) : nullptr;
    // A body that still comes is of no use: the client is told to stop (RFC 9113 section 8.1).
    if (stream != nullptr && !stream->client_done) session.reset(*stream, NGHTTP2_NO_ERROR);
    return 0;
  }

  static int stream_closed(nghttp2_session*, std::int32_t id, std::uint32_t, void* data) {
    self(data).end_stream(id);
    return 0;
  }

  static ssize_t read_answer(nghttp2_session*, std::int32_t id, std::uint8_t* into, std::size_t size, std::uint32_t* flags, nghttp2_data_source*, void* data) {
    auto& session = self(data);
    auto* stream = stream_of(session, id);
    return stream ? session.fill(*stream, into, size, *flags) : ssize_t{NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE};
  }

  // The same for all sessions.
  static nghttp2_session_callbacks* all() {
    static nghttp2_session_callbacks* const kCallbacks = [] {
      nghttp2_session_callbacks* callbacks = nullptr;
      CHECK(nghttp2_session_callbacks_new(&callbacks) == 0);
      nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, begin_headers);
      nghttp2_session_callbacks_set_on_header_callback(callbacks, header);
      nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, begin_frame);
      nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, frame_received);
      nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, invalid_frame);
      nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, data_chunk);
      nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, frame_sent);
      nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, stream_closed);
      return callbacks;
    }();
    return kCallbacks;
  }

  static nghttp2_option* options() {
    static nghttp2_option* const kOptions = [] {
      nghttp2_option* options = nullptr;
      CHECK(nghttp2_option_new(&options) == 0);
      nghttp2_option_set_no_closed_streams(options, 1);
      nghttp2_option_set_max_outbound_ack(options, kAcksMax);
      nghttp2_option_set_stream_reset_rate_limit(options, kResetBurst, kResetsPerSecond);
      nghttp2_option_set_max_continuations(options, kContinuationsMax);
      return options;
    }();
    return kOptions;
  }
};

Http2Session::Http2Session(std::uint64_t connection, Peer peer, Transport& transport, Shared& shared)
    : connection_(connection),
      peer_(std::move(peer)),
      transport_(transport),
      shared_(shared),
      idle_deadline_(after(shared.now, shared.options.head_ms_max)),
      noise_(kNoiseBurst, kNoisePerSecond) {
  CHECK(nghttp2_session_server_new2(&session_, Callbacks::all(), this, Callbacks::options()) == 0);
  const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, static_cast<std::uint32_t>(shared_.options.streams_max)},
                                             {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<std::uint32_t>(shared_.options.head_bytes_max)}};
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, std::size(settings));
}

Http2Session::~Http2Session() {
  for (auto& [id, stream] : streams_) {
    if (auto exchange = std::exchange(stream->exchange, nullptr)) exchange->client_left();
  }
  nghttp2_session_del(session_);
}

// What is no request costs us as much as one.
void Http2Session::note_noise(double cost) {
  if (!noise_.spend(cost, shared_.now)) nghttp2_session_terminate_session(session_, NGHTTP2_ENHANCE_YOUR_CALM);
}

void Http2Session::note_frame(const nghttp2_frame_hd& frame) {
  const bool is_empty_data = frame.type == NGHTTP2_DATA && frame.length == 0 && (frame.flags & NGHTTP2_FLAG_END_STREAM) == 0;
  if (is_empty_data || (frame.type != NGHTTP2_DATA && frame.type != NGHTTP2_HEADERS)) note_noise(1);
}

void Http2Session::begin_request(std::int32_t id) {
  auto stream = std::make_unique<Stream>();
  stream->id = id;
  streams_[id] = std::move(stream);
  head_stream_ = id;
  head_deadline_ = after(shared_.now, shared_.options.head_ms_max);
  idle_deadline_ = SteadyTime::max();
}

void Http2Session::take_field(Stream& stream, std::string_view name, std::string_view value) {
  if (stream.refusal) return;
  stream.field_bytes += name.size() + value.size() + kFieldOverhead;
  if (stream.field_bytes > shared_.options.head_bytes_max) {
    stream.refusal = Refusal{431, "the head is too large"};
  } else if (stream.fields.headers.size() == shared_.options.headers_max) {
    stream.refusal = Refusal{431, "there are too many headers"};
  } else if (!name.starts_with(':')) {
    stream.fields.headers.add(std::string(name), std::string(value));
  } else if (name == ":method") {
    stream.fields.method = value;
  } else if (name == ":path") {
    stream.fields.target = value;
  } else if (name == ":authority") {
    stream.fields.authority = value;
  } else if (name == ":scheme" && value != "https") {
    stream.refusal = Refusal{400, "the scheme is not https"};
  }
}

void Http2Session::take_trailer(Stream& stream) {
  if (stream.state == Stream::State::body) refuse(stream, {400, "trailers are not taken"});
}

void Http2Session::end_head(Stream& stream, bool is_last) {
  head_deadline_ = SteadyTime::max();
  stream.client_done = is_last;
  stream.state = Stream::State::body;
  stream.deadline = after(shared_.now, shared_.options.body_ms_max);
  if (stream.refusal) return refuse(stream, *stream.refusal, Handler::Refused::head);
  auto head = head_of_fields(std::exchange(stream.fields, {}), is_last ? BodyFraming::none : BodyFraming::chunked, shared_.parser_limits);
  if (!head) return refuse(stream, head.error(), Handler::Refused::head);
  stream.length_announced = head->framing == BodyFraming::length;
  stream.body_bytes_announced = head->body_bytes;
  stream.request = std::move(head->request);
  stream.request.peer = peer_.address;
  stream.request.client = peer_.certificate;
  stream.request.has_body = !is_last && head->framing != BodyFraming::none;
  stream.is_head = stream.request.method == "HEAD";
  auto verdict = shared_.handler.on_head(stream.request);
  if (!verdict) {
    is_known_ = true;
    if (head->expects_continue && !is_last) {
      const auto status = field_of(":status", "100");
      nghttp2_submit_headers(session_, NGHTTP2_FLAG_NONE, stream.id, nullptr, &status, 1, nullptr);
    }
    return;
  }
  const bool short_body = is_last || (stream.length_announced && stream.body_bytes_announced <= kDiscardBytesMax);
  if (!short_body || head->expects_continue) return answer(stream, std::move(*verdict));
  stream.verdict = std::move(verdict);
}

void Http2Session::take_body(Stream& stream, std::string_view bytes) {
  if (stream.state != Stream::State::body || stream.verdict) return;
  if (stream.request.body.size() + bytes.size() > shared_.parser_limits.body_bytes_max) return refuse(stream, {413, "the body is too large"});
  if (!shared_.body_room.grow(stream.body_part, stream.request.payer, bytes.size())) return refuse(stream, {503, "too many large requests at once"});
  stream.request.body += bytes;
}

void Http2Session::end_request(Stream& stream) {
  stream.client_done = true;
  if (stream.state != Stream::State::body) return;
  if (stream.verdict) return answer(stream, *std::exchange(stream.verdict, std::nullopt));
  dispatch(stream);
}

void Http2Session::dispatch(Stream& stream) {
  stream.state = Stream::State::handled;
  stream.deadline = after(shared_.now, shared_.options.answer_ms_max);
  stream.exchange = std::make_shared<Exchange>(connection_, shared_.bell, shared_.options.stream_bytes_max);
  shared_.handler.on_request(std::exchange(stream.request, {}), Responder(stream.exchange));
}

void Http2Session::refuse(Stream& stream, Refusal refusal, Handler::Refused what) {
  stream.verdict.reset();
  answer(stream, shared_.handler.on_refusal(refusal.status, refusal.why, what));
}

void Http2Session::answer(Stream& stream, Response response) {
  if (stream.state != Stream::State::handled) stream.deadline = SteadyTime::max();
  stream.state = Stream::State::answered;
  stream.request = {};
  stream.body_part = {};
  stream.complete = true;
  const bool has_body = !stream.is_head && !has_no_body(response.status) && (response.source ? response.length > 0 : !response.body.empty());
  submit(stream, response, has_body);
  if (!has_body) return;
  stream.pending = std::move(response.body);
  if (!response.source) return;
  stream.source = std::move(response.source);
  stream.source_offset = response.offset;
  stream.source_rest = response.length;
}

void Http2Session::submit(Stream& stream, const Response& response, bool has_body) {
  const auto status = std::to_string(response.status);
  const auto length = std::to_string(response.source ? response.length : response.body.size());
  const bool streamed = !stream.complete;
  std::vector<Header> own;
  own.reserve(response.headers.size());
  for (const auto& [name, value] : response.headers) {
    own.push_back({without_controls(name), without_controls(value)});
    std::transform(own.back().name.begin(), own.back().name.end(), own.back().name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  }
  std::vector<nghttp2_nv> fields = {field_of(":status", status), field_of("date", shared_.date)};
  for (const auto& [name, value] : shared_.head_fields) fields.push_back(field_of(name, value));
  for (const auto& [name, value] : own) fields.push_back(field_of(name, value));
  if (!streamed && !has_no_body(response.status)) fields.push_back(field_of("content-length", length));
  nghttp2_data_provider provider{{.ptr = nullptr}, Callbacks::read_answer};
  nghttp2_submit_response(session_, stream.id, fields.data(), fields.size(), has_body ? &provider : nullptr);
}

// What the handler has said since, as far as there is room for it.
void Http2Session::take_output(Stream& stream) {
  auto output = stream.exchange->take();
  if (output.whole) return answer(stream, std::move(*output.whole));
  if (output.begun) submit(stream, *output.begun, !stream.is_head);
  if (output.aborted) return reset(stream, NGHTTP2_INTERNAL_ERROR);
  stream.complete |= output.ended;
  if (!stream.is_head) stream.pending += output.bytes;
  if (std::exchange(stream.deferred, false)) nghttp2_session_resume_data(session_, stream.id);
}

ssize_t Http2Session::fill(Stream& stream, std::uint8_t* into, std::size_t size, std::uint32_t& flags) {
  std::size_t count = 0;
  if (stream.waiting() > 0) {
    count = std::min(size, stream.waiting());
    std::copy_n(stream.pending.data() + stream.pending_sent, count, into);
    stream.pending_sent += count;
    if (stream.waiting() == 0) {
      stream.pending.clear();
      stream.pending_sent = 0;
    }
  } else if (stream.source_rest > 0) {
    count = static_cast<std::size_t>(std::min<std::uint64_t>(size, stream.source_rest));
    // The client sees fewer bytes than were announced.
    if (!stream.source->read_at(stream.source_offset, MutableByteView(into, count))) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    stream.source_offset += count;
    stream.source_rest -= count;
  }
  stream.sent_total += count;
  if (stream.complete && stream.waiting() == 0 && stream.source_rest == 0) {
    flags |= NGHTTP2_DATA_FLAG_EOF;
  } else if (count == 0) {
    stream.deferred = true;
    return NGHTTP2_ERR_DEFERRED;
  }
  return static_cast<ssize_t>(count);
}

void Http2Session::reset(Stream& stream, std::uint32_t code) { nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream.id, code); }

void Http2Session::end_stream(std::int32_t id) {
  auto node = streams_.extract(id);
  if (node.empty()) return;
  if (id == head_stream_) head_deadline_ = SteadyTime::max();
  auto& stream = *node.mapped();
  if (stream.exchange) stream.exchange->client_left();
  if (streams_.empty()) idle_deadline_ = after(shared_.now, shared_.options.idle_ms_max);
}

bool Http2Session::receive() {
  std::string_view bytes;
  switch (transport_.read(bytes)) {
    case Transport::Outcome::wait: return true;
    case Transport::Outcome::broken: return false;
    case Transport::Outcome::done: break;
  }
  const auto used = nghttp2_session_mem_recv(session_, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  return used >= 0;
}

bool Http2Session::produce() {
  auto& out = transport_.out();
  while (transport_.waiting() < Transport::kOutLow) {
    const std::uint8_t* frame = nullptr;
    const auto size = nghttp2_session_mem_send(session_, &frame);
    if (size < 0) return false;
    if (size == 0) return true;
    out += text_from(frame, static_cast<std::size_t>(size));
  }
  return true;
}

Session::Next Http2Session::step() {
  if (wants_input() && transport_.readable && !receive()) return Next::cut;
  for (auto& [id, stream] : streams_)
    if (stream->has_news()) take_output(*stream);
  if (!produce()) return Next::cut;
  const auto sent = transport_.flush();
  if (sent == Transport::Outcome::broken) return Next::cut;
  bool more = transport_.readable && wants_input();
  for (auto& [id, stream] : streams_) {
    watch(*stream);
    more |= stream->has_news();
  }
  if (transport_.waiting() > 0) return sent == Transport::Outcome::done ? Next::again : Next::wait;
  const bool wants_write = nghttp2_session_want_write(session_) != 0;
  if (!wants_write && !nghttp2_session_want_read(session_)) return Next::linger;
  return more || wants_write ? Next::again : Next::wait;
}

void Http2Session::watch(Stream& stream) {
  const auto waiting = stream.waiting() + (stream.source_rest > 0 ? 1 : 0);
  stream.watch.note(stream.sent_total, waiting, shared_.now, shared_.options.send_ms_max);
}

Session::Next Http2Session::on_tick() {
  const auto now = shared_.now;
  if (transport_.is_late() || now >= head_deadline_) return Next::cut;
  if (std::exchange(drain_told_, false)) {
    nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(session_), NGHTTP2_NO_ERROR, nullptr, 0);
    drained_ = true;
  }
  if (streams_.empty() && now >= idle_deadline_) {
    // Once it is told and still does not go, it is cut.
    if (idle_deadline_ == SteadyTime::min()) return Next::cut;
    idle_deadline_ = SteadyTime::min();
    nghttp2_session_terminate_session(session_, NGHTTP2_NO_ERROR);
    return Next::again;
  }
  std::vector<Stream*> late;
  for (auto& [id, stream] : streams_)
    if (now >= stream->deadline || stream->watch.is_late(now)) late.push_back(stream.get());
  for (auto* stream : late) {
    if (stream->state == Stream::State::body && !stream->verdict)
      refuse(*stream, {408, "the request did not come in time"});
    else
      reset(*stream, NGHTTP2_CANCEL);
  }
  return late.empty() && !drained_ ? Next::wait : Next::again;
}

// First the client is told to begin no more streams; those that were under way to us meanwhile are still taken, until the next tick.
Session::Next Http2Session::drain() {
  nghttp2_submit_shutdown_notice(session_);
  drain_told_ = true;
  return Next::again;
}

}  // namespace redoubt::http::detail
