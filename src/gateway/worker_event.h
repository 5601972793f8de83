// SPDX-License-Identifier: Apache-2.0
//
// What an engine says, a line each (docs/formats/worker-protocol.md), checked and read. Nothing of a line is believed: whatever is no
// event of the protocol is unavailable, and its worker is replaced.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "openai/answer.h"
#include "telemetry/answer_times.h"

namespace redoubt::gateway {

struct WorkerReady {
  int slots = 0, context_length = 0;
  bool knows_scopes = false;  // the engine of an older image refuses the word
  bool knows_tools = false;
  int embedding_length = 0;  // 0: it reads no texts
  std::vector<std::string> adapters;
};
// What the engine made of one text of a request.
struct TextRead {
  std::string embedding;  // floats of four bytes, the lowest first, in base64
  int tokens = 0;
  // How unexpected its tokens are, the mean of -log p: of all, and of the `window` in a row that are most so. Nothing where that was not asked
  // for, and of a text of one token.
  std::optional<double> nats = {}, window_nats = {};
};
struct WorkerPong {};
struct RequestStarted {
  std::uint64_t id = 0;
  int prompt_tokens = 0;
};
struct RequestToken {
  std::uint64_t id = 0;
  openai::Piece piece;
};
struct RequestText {
  std::uint64_t id = 0;
  int index = 0;   // among the request's texts
  int length = 0;  // numbers of the embedding
  TextRead text;
};
struct RequestDone {
  std::uint64_t id = 0;
  openai::GenerateEnd end;
  telemetry::AnswerTimes times = {};  // what the worker says of them
};
struct RequestFailed {
  std::uint64_t id = 0;
  Error error;
};
using WorkerEvent = std::variant<WorkerReady, WorkerPong, RequestStarted, RequestToken, RequestText, RequestDone, RequestFailed>;

// Of errors about a worker, and the one that ends it.
inline constexpr std::string_view kWorkerWhere = "engine worker";
// Of what ends a request because too many came: no failure of any worker.
inline constexpr std::string_view kQueueWhere = "queue of requests";
inline tl::unexpected<Error> broken_worker(std::string message) { return fail(ErrorCode::unavailable, std::move(message), std::string(kWorkerWhere)); }

// Keeps its memory from one line to the next. For one thread at a time.
class WorkerEventReader {
 public:
  WorkerEventReader();
  ~WorkerEventReader();
  Result<WorkerEvent> read(std::string_view line);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace redoubt::gateway
