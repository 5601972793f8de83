// SPDX-License-Identifier: Apache-2.0
//
// One generation on its way back to its client: gathers or streams the text, and at the end counts and captures it once.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "gateway/answer_guard.h"
#include "gateway/budget.h"
#include "gateway/capture.h"
#include "gateway/limits.h"
#include "gateway/metrics.h"
#include "gateway/release_meter.h"
#include "gateway/reply.h"
#include "gateway/worker.h"
#include "http/server.h"
#include "openai/answer.h"
#include "telemetry/request_record.h"

namespace redoubt::gateway {

// How a stream is cut into pieces: as OpenAI's clients read it, or those same events within AWS's event stream.
enum class Framing { server_sent_events, aws_event_stream };

class Completion final : public GenerateListener, public std::enable_shared_from_this<Completion> {
 public:
  struct Context {
    openai::AnswerFrame frame;
    std::string_view route;  // the table's pattern, which stays
    bool stream = false;
    std::optional<std::int64_t> seed;  // named in the answer's head; nothing where chance played no part
    std::string input;    // the request's body, for the capture; empty when nothing is captured
    Admission admission;  // held until the end
    GatewayMetrics& metrics;
    const Clock& clock;      // for points in time
    const Clock& intervals;  // for what lasts
    CaptureSink* capture;    // null: this one is not captured
    Dialect dialect = Dialect::openai;
    Framing framing = Framing::server_sent_events;
    std::shared_ptr<Reservation> reservation = {};  // of the limits that hold; null: none
    std::int64_t prompt_tokens_max = 0;             // of the key; 0: no limit
    http::Headers headers = {};                     // of every answer, a refusal too: its id and how the limits stand
    std::unique_ptr<openai::ToolCallReader> tools = {};  // where the answer may call some
    std::shared_ptr<ReleaseMeter> meter = {};          // of the release that answers; may be null
    std::string version = {};                          // of that release, named in the answer's head
    struct Fallback {
      std::function<bool(std::shared_ptr<GenerateListener>)> ask;  // another release; false when it does not take the request either
      std::shared_ptr<ReleaseMeter> meter;
      std::string version;
    };
    std::optional<Fallback> fallback = {};  // who answers when this release can't, while nothing was sent
    std::optional<AnswerGuard> guard = {};             // what may be told of it
    std::shared_ptr<telemetry::Observation> seen = {}; // what is told of it; null: nothing
    bool base64 = false;  // of embeddings: in base64, not as numbers
    std::string inference_id = {};  // by which the client will find it among what is captured
  };
  Completion(Context&& context, http::Responder responder);

  bool forget() override;
  void on_started(int prompt_tokens) override;
  void on_token(const Piece& piece) override;
  void on_text(const TextRead& text) override;
  void on_times(const telemetry::AnswerTimes& times) override;
  void on_done(const GenerateEnd& end) override;
  void on_error(const Error& error) override;
  // The pool did not take the request at all; who comes too much may come again after so many seconds.
  void refuse(const Error& error, int retry_s);
  // The request goes no further: this is its answer. Nothing is charged.
  void answer_instead(http::Response response);
  // How to stop what is running; called at most once, from any thread, and at once if it should have stopped by then.
  void on_stop(std::function<void()> stop);
  // The client left; what is running is told to stop by whoever calls this. What was made until it stopped is charged, and no more.
  void client_left();

 private:
  void begin_stream();
  Status write(const std::string& events);
  void tell(openai::Piece piece);
  void write_piece(const openai::Piece& piece);
  bool is_cut() const { return context_.guard && !context_.guard->ended().empty(); }
  void complete(GenerateEnd end);
  void capture(const std::string& body);
  std::string body_of(const GenerateEnd& end) const;
  bool is_embedding() const { return context_.frame.protocol == openai::Protocol::embedding; }
  void meter_guard();
  openai::Piece with_names(openai::ToolCallReader::Found found);
  http::Headers take_headers(const char* content_type);
  void send_failure(http::Response response);
  // Comes before the last byte of an answer: who has the whole of it finds it counted, captured and its place free.
  void finish(int status);
  void fail_early(http::Response response);
  void forget_heard();
  // Whose failure it is that a release does not answer: nobody's, its engine's, or the request's, as the engine says.
  enum class Fault { nobodys, engines, requests };
  bool fall_back(Fault fault);
  void charge_left(TokenUse made);
  double elapsed_ms() const;

  std::mutex mutex_;
  Context context_;
  const http::Responder responder_;
  const TimePoint begun_;
  openai::Piece answer_;
  std::vector<std::string> embeddings_;
  openai::StreamPlace place_;
  std::shared_ptr<ReleaseMeter> refused_by_;  // a candidate that found the request wrong, which is its failure once another release answers
  double first_token_ms_ = 0;
  const std::unique_ptr<const openai::ToolCallReader> fresh_tools_;  // as the answer begins
  TokenUse heard_;  // what is known of an answer that has not come to its end: tokens held back by the engine are not in it
  bool streaming_ = false, finished_ = false, left_ = false, stop_wanted_ = false;
  std::function<void()> stop_;
};

}  // namespace redoubt::gateway
