// SPDX-License-Identifier: Apache-2.0
//
// One generation on its way back to its client: gathers or streams the text, and at the end counts and captures it once.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "gateway/budget.h"
#include "gateway/capture.h"
#include "gateway/limits.h"
#include "gateway/metrics.h"
#include "gateway/reply.h"
#include "gateway/worker.h"
#include "http/server.h"
#include "openai/answer.h"

namespace redoubt::gateway {

// How a stream is cut into pieces: as OpenAI's clients read it, or those same events within AWS's event stream.
enum class Framing { server_sent_events, aws_event_stream };

class Completion final : public GenerateListener {
 public:
  struct Context {
    openai::AnswerFrame frame;
    std::string route;  // the table's pattern
    bool stream = false, include_usage = false;
    std::optional<std::int64_t> seed;  // named in the answer's head; nothing where chance played no part
    std::string input;    // the request's body, for the capture; empty when nothing is captured
    Admission admission;  // held until the end
    GatewayMetrics& metrics;
    const Clock& clock;
    CaptureSink* capture;
    Dialect dialect = Dialect::openai;
    Framing framing = Framing::server_sent_events;
    std::shared_ptr<Reservation> reservation = {};  // of the limits that hold; null: none
    std::int64_t prompt_tokens_max = 0;             // of the key; 0: no limit
    http::Headers headers = {};                     // of every answer: how the limits stand
    std::optional<openai::ToolCallReader> tools = {};  // where the answer may call some
  };
  Completion(Context context, http::Responder responder);

  void on_started(int prompt_tokens) override;
  void on_token(const Piece& piece) override;
  void on_done(const GenerateEnd& end) override;
  void on_error(const Error& error) override;
  // The pool did not take the request at all.
  void refuse(const Error& error);
  // How to stop what is running; called at most once, from any thread, and at once if it should have stopped by then.
  void on_stop(std::function<void()> stop);
  // The client left; what is running is told to stop by whoever calls this.
  void client_left();

 private:
  void begin_stream();
  Status write(const std::string& events);
  void tell(openai::Piece piece);
  openai::Piece with_names(openai::ToolCallReader::Found found);
  http::Headers headers_of(const char* content_type) const;
  // Comes before the last byte of an answer: who has the whole of it finds it counted, captured and its place free.
  void finish(int status);
  void fail_early(http::Response response);
  double elapsed_ms() const;

  std::mutex mutex_;
  Context context_;
  const http::Responder responder_;
  const TimePoint begun_;
  openai::Piece answer_;
  openai::StreamPlace place_;
  double first_token_ms_ = 0;
  bool streaming_ = false, finished_ = false, stop_wanted_ = false;
  std::function<void()> stop_;
};

}  // namespace redoubt::gateway
