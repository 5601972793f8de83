// SPDX-License-Identifier: Apache-2.0
//
// A model that reads texts which are not continued, as the reader sees it: what it makes of them is an embedding, and how far each token was
// from what it expected.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"

namespace redoubt::engine::generate {

// One text on its way through the model.
struct Text {
  std::vector<std::int32_t> tokens = {};
  std::size_t adapter = 0;    // 0: none
  bool wants_losses = false;
  // What is known so far:
  std::size_t read = 0;               // tokens that the model has seen, or their part of the work that was done
  std::vector<double> sum = {};       // of the last hidden states of those
  std::vector<float> losses = {};     // of each token after the first: -log p given those before it, nats
  std::shared_ptr<void> past = {};    // of a text that is read in several calls: the model's own
};

class TextModel {
 public:
  virtual ~TextModel() = default;
  virtual std::int64_t context_length() const = 0;
  virtual std::int64_t vocabulary() const = 0;
  virtual std::int64_t width() const = 0;      // of a hidden state
  virtual std::size_t adapters() const = 0;    // a text's adapter is 0, none, to this
  // Reads on: either all of several texts of one adapter, none of which was begun, or a part of one, about the work of `tokens_max` tokens.
  virtual Status read(std::span<Text* const> texts, std::size_t tokens_max) = 0;
};

}  // namespace redoubt::engine::generate
