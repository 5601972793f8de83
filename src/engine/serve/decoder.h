// SPDX-License-Identifier: Apache-2.0
//
// One thread that decodes for many that ask: requests join the running batch, and each asking thread gets its own text.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "engine/generate/worker.h"
#include "openai/answer.h"
#include "openai/request.h"

namespace redoubt::engine::serve {

// Hears an answer's pieces; false when nobody wants more.
using OnPiece = std::function<bool(const openai::Piece&)>;

class Decoder final : private generate::Listener {
 public:
  // What `model` refers to must outlive it.
  explicit Decoder(generate::WorkerModel model, generate::SchedulerOptions options = {});
  ~Decoder();  // cancels what is running

  // Blocks until the answer's end; `on_piece` hears each piece on the calling thread, and an answer of false cancels. Errors:
  // limit_exceeded when the prompt does not fit the context or too many wait (`where` is "queue"), invalid_argument.
  Result<openai::GenerateEnd> generate(const openai::GenerateRequest& request, const OnPiece& on_piece);

 private:
  // One request's way back to the thread that asked.
  struct Answer {
    openai::Piece piece;
    std::optional<Result<openai::GenerateEnd>> end;
  };
  Result<generate::Request> prepare(const openai::GenerateRequest& request) const;
  void run();

  void started(const std::string&, std::size_t) override {}
  void piece(const std::string& id, const generate::Piece& piece) override;
  openai::TokenLogprob told(const generate::TokenLogprob& one) const;
  void done(const std::string& id, generate::FinishReason reason, const generate::Usage& usage) override;
  void failed(const std::string& id, const Error& error) override;

  generate::WorkerModel model_;
  generate::Scheduler scheduler_;  // the decoding thread's alone
  std::mutex mutex_;
  std::condition_variable asked_, answered_;
  std::vector<generate::Request> inbox_;
  std::vector<std::string> cancelled_;
  std::map<std::string, Answer> answers_;  // of requests whose caller waits
  std::uint64_t next_id_ = 1;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace redoubt::engine::serve
