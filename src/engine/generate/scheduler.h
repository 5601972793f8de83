// SPDX-License-Identifier: Apache-2.0
//
// Continuous batching: requests wait in a bounded queue, take a slot when one is free, and all running sequences advance by
// one token a step. A long prompt is read in pieces between steps, so that nobody waits for it whole.
#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/generate/constraint.h"
#include "engine/generate/sampler.h"
#include "engine/generate/sequence_model.h"
#include "engine/generate/stop_filter.h"
#include "engine/tokenizer/tokenizer.h"

namespace redoubt::engine::generate {

struct Request {
  std::string id = {};
  PrefixOwner owner = {};  // the adapter to answer with, and whose earlier requests this one may build on
  std::vector<std::int32_t> prompt = {};
  std::int64_t max_tokens = 0;  // tokens to make at most, an end token counted; 0 is what the context leaves
  SamplingOptions sampling = {};
  std::vector<std::string> stop = {};
  // With how many of the likeliest tokens each one's logprob is told; nothing: no logprobs.
  std::optional<std::size_t> top_logprobs = {};
  std::shared_ptr<const json_schema::Grammar> grammar = {};  // of the answer's text; null: anything
};

// What has come of an answer. The logprobs are of every token but an end token and those that a stop string cut off; a token
// comes with the text that its own begins in, or at the end.
struct Piece {
  std::string text;  // valid UTF-8; empty only where logprobs are left at the end
  std::vector<ChosenLogprob> logprobs = {};
};

enum class FinishReason { stop, length, cancelled };
const char* to_string(FinishReason reason);

// How long a request waited for a slot, how long its prompt was read (until the first token was there), how long it was answered.
struct Phases {
  std::chrono::microseconds queue{}, prefill{}, decode{};
};

// Tokens of a request, and where its time went.
struct Usage {
  std::size_t prompt = 0, completion = 0;
  std::size_t reused = 0;  // of the prompt: there already, from an earlier request
  std::optional<Phases> phases = {};
};

// Hears what becomes of requests, in order for each.
class Listener {
 public:
  virtual ~Listener() = default;
  virtual void started(const std::string& id, std::size_t prompt_tokens) = 0;
  virtual void piece(const std::string& id, const Piece& piece) = 0;
  virtual void done(const std::string& id, FinishReason reason, const Usage& usage) = 0;
  virtual void failed(const std::string& id, const Error& error) = 0;
};

struct SchedulerOptions {
  std::size_t waiting_max = 64;     // requests that may wait for a slot
  std::size_t prompt_piece = 256;   // prompt tokens between two steps of the others
};

// For one thread. The model, tokenizer and listener must outlive it.
class Scheduler {
 public:
  Scheduler(SequenceModel& model, const tokenizer::Tokenizer& tokenizer, std::vector<std::int32_t> end_tokens, Listener& listener,
            SchedulerOptions options = {});

  // invalid_argument for an empty prompt or bad sampling, already_exists for an id that is running, limit_exceeded when prompt
  // and max_tokens do not fit the context or too many wait. What is accepted ends in `done` or `failed`.
  Status submit(Request request);
  // Ends a waiting or running request with `cancelled`; an unknown id is ignored, it may just have ended.
  void cancel(std::string_view id);
  bool busy() const { return !waiting_.empty() || running() > 0; }
  std::size_t running() const;
  // A piece of a prompt, or as many short prompts as are no longer than one, and one token of every running sequence.
  void step();

 private:
  using Time = std::chrono::steady_clock::time_point;
  struct Waiting {
    Request request;
    Time since;
  };
  struct Sequence {
    Sequence(Waiting accepted, const tokenizer::Tokenizer& tokenizer)
        : request(std::move(accepted.request)), sampler(request.sampling, request.prompt), stops(request.stop), decoded(tokenizer.stream()), submitted(accepted.since) {}
    Request request;
    Sampler sampler;
    StopFilter stops;
    tokenizer::TokenStream decoded;
    std::optional<Constraint> constraint = {};
    std::size_t read = 0;  // prompt tokens the model has seen
    std::size_t reused = 0;
    std::size_t made = 0;
    std::size_t bytes_made = 0, bytes_told = 0;  // of text
    std::int32_t newest = -1;
    Time submitted, admitted = std::chrono::steady_clock::now();
    std::optional<Time> answered_from = {};  // when its first token was there
    struct Untold {
      std::size_t begin;  // in the text
      ChosenLogprob logprob;
    };
    std::deque<Untold> untold = {};  // logprobs of tokens whose text is held back
    bool decoding() const { return newest >= 0; }
    Phases phases() const;
  };
  void admit();
  void read_prompts();
  std::vector<PromptPiece> next_pieces();
  void decode();
  // What the request's schema allows next; empty where there is none.
  Result<AllowedTokens> allowed(Sequence& sequence);
  // Samples the next token of a slot and tells its text; ends the sequence where it has to.
  void take(std::size_t slot, std::span<const float> logits);
  void emit(Sequence& sequence, std::string text);
  void tell(Sequence& sequence, std::string text, std::size_t logprobs_before);
  void finish(std::size_t slot, FinishReason reason);
  void drop(std::size_t slot, const Error& error);

  SequenceModel& model_;
  const tokenizer::Tokenizer& tokenizer_;
  std::vector<std::int32_t> end_tokens_;
  Listener& listener_;
  SchedulerOptions options_;
  std::deque<Waiting> waiting_;
  std::vector<std::optional<Sequence>> slots_;
  std::optional<TokenTrees> token_trees_ = {};  // made when a schema first needs it
  std::size_t next_prompt_ = 0;  // where the search for a prompt to read begins
};

}  // namespace redoubt::engine::generate
