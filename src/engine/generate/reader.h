// SPDX-License-Identifier: Apache-2.0
//
// Texts that are read and not continued, a piece between two steps of the scheduler: for embeddings, and for a look at a prompt before it is
// answered. They take no slot, so that they need not wait for answers to end. Requests take turns; of long texts one at a time is under way, so
// that no more memory is taken than for one.
#pragma once

#include <functional>
#include <list>
#include <optional>
#include <string>
#include <vector>

#include "engine/generate/scheduler.h"
#include "engine/generate/text_model.h"

namespace redoubt::engine::generate {

struct ReadRequest {
  std::string id = {};
  std::size_t adapter = 0;
  std::vector<std::vector<std::int32_t>> texts = {};
  std::size_t window = 0;  // tokens: how unexpected the text is, as a whole and where it is most so; 0: not told
};

// What was made of a text.
struct TextRead {
  std::size_t index = 0;               // among the request's texts, which come in their order
  std::size_t tokens = 0;
  std::vector<float> embedding = {};   // the mean of the last hidden states, of length 1
  // Mean of -log p of the tokens after the first, nats: of all, and the greatest of any `window` in a row (of all, if they are fewer).
  // Nothing for a text of one token: it is expected by nobody.
  std::optional<double> nats = {}, window_nats = {};
};

struct ReaderOptions {
  std::size_t waiting_max = 64;    // requests
  std::size_t tokens_piece = 256;  // between two steps of the others
};

// For one thread. The model and the listener must outlive it.
class Reader {
 public:
  using OnText = std::function<void(const std::string& id, const TextRead& text)>;
  Reader(TextModel& model, Listener& listener, OnText on_text, ReaderOptions options = {});

  // invalid_argument for no texts, an empty one or tokens that the model does not have, already_exists for an id that is being read,
  // limit_exceeded for a text beyond the context or when too many wait. What is accepted is `started`, and ends in `done` or `failed`.
  Status submit(ReadRequest request);
  // Ends a request with `cancelled`; an unknown id is ignored.
  void cancel(std::string_view id);
  bool busy() const { return !readings_.empty(); }
  std::int64_t width() const { return model_.width(); }
  // A piece of a long text, or as many short ones as are no longer than one.
  void step();

 private:
  struct Reading {
    std::string id;
    std::size_t window = 0;
    std::vector<Text> texts;
    std::size_t told = 0, tokens = 0, tokens_read = 0;
    bool reads_now = false, is_failed = false;
  };
  Status check(const ReadRequest& request) const;
  std::vector<Text*> next_texts();
  bool take(Reading& reading, std::vector<Text*>& taken, std::size_t& tokens);
  void tell(Reading& reading);

  TextModel& model_;
  Listener& listener_;
  const OnText on_text_;
  const ReaderOptions options_;
  std::list<Reading> readings_;       // whose turn is next, first
  const Text* long_text_ = nullptr;   // that is under way
};

}  // namespace redoubt::engine::generate
