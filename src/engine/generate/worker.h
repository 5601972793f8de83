// SPDX-License-Identifier: Apache-2.0
//
// The engine's end of the worker protocol (docs/formats/worker-protocol.md): newline-delimited JSON over a connected socket.
// A bad line is answered with an error and harms no other request.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "engine/generate/reader.h"
#include "engine/generate/request_fields.h"
#include "engine/generate/scheduler.h"

namespace redoubt::engine::generate {

inline constexpr std::size_t kLineBytesMax = 8 << 20;

struct WorkerOptions {
  std::size_t unsent_bytes_max = 4 << 20;  // decoding waits while the gateway leaves so much unread
  SchedulerOptions scheduler = {};
  ReaderOptions reader = {};
};

// What the worker asks of the model.
struct WorkerModel {
  SequenceModel& sequences;
  const tokenizer::Tokenizer& tokenizer;
  std::vector<std::int32_t> end_tokens;
  std::function<Result<std::vector<std::int32_t>>(const Prompt&)> encode_messages;
  std::function<Result<std::vector<std::int32_t>>(std::string_view)> encode_prompt;
  std::vector<std::string> adapters = {};  // names, of the sequences' adapters 1 and on
  std::size_t default_adapter = 0;         // of a request that names none
  TextModel* texts = nullptr;              // null: texts are not read

  // invalid_argument for a name that is none; empty: the default.
  Result<std::size_t> adapter_of(std::string_view name) const;
};

class Worker final : private Listener {
 public:
  // `socket` stays the caller's; it is made non-blocking.
  Worker(int socket, WorkerModel model, WorkerOptions options = {});
  // Answers until the gateway closes its end.
  Status run();

 private:
  void started(const std::string& id, std::size_t prompt_tokens) override;
  void piece(const std::string& id, const Piece& piece) override;
  void done(const std::string& id, FinishReason reason, const Usage& usage) override;
  void failed(const std::string& id, const Error& error) override;

  bool clogged() const { return unsent_.size() - sent_ > options_.unsent_bytes_max; }
  Result<bool> wait();  // false at the end of the stream
  Result<bool> receive();
  Status flush();
  void take_lines();
  void take_line(std::string_view line);
  Status handle(const Json& message, const std::string& id);
  Status handle_read(const Json& message, const std::string& id);
  void read_text(const std::string& id, const TextRead& text);
  void work();
  bool busy() const { return scheduler_.busy() || (reader_ && reader_->busy()); }
  Result<Request> parse_request(const Json& message, const std::string& id) const;
  void send(Json message);
  Json logprob_json(const TokenLogprob& one) const;

  int socket_;
  WorkerModel model_;
  WorkerOptions options_;
  Scheduler scheduler_;
  std::optional<Reader> reader_;
  std::string received_, unsent_;
  std::size_t searched_ = 0, sent_ = 0;
  bool skipping_ = false;  // inside a line that is too long
};

}  // namespace redoubt::engine::generate
