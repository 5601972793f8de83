// SPDX-License-Identifier: Apache-2.0
//
// Guards for which the served model reads a prompt before it is answered: topics by example, and prompts that are like no language.
// Part of `deploy.guards` (docs/guards.md); what they can't find is said there.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "guards/options.h"
#include "guards/scanner.h"

namespace redoubt::guards {

// What the model says of a piece of a prompt.
struct PieceRead {
  std::size_t tokens = 0;
  std::vector<float> embedding;       // of length 1
  std::optional<double> window_nats;  // how unexpected its tokens are where they are most so, a mean over the window or over all
};

// The topics' sentences as one model embeds them. A language model's embeddings all point much the same way: what they have in common, the
// mean of sentences about this and that, is taken off before angles are compared.
class Topics {
 public:
  // What has to be embedded, in this order.
  static std::vector<std::string> sentences(const ReadingOptions& options);
  // unavailable where the embeddings are not those of the sentences.
  static Result<Topics> create(const ReadingOptions& options, const std::vector<std::vector<float>>& embeddings);

  struct Nearness {
    const Topic* topic = nullptr;
    double cosine = -1;  // to the nearest of its examples
  };
  // Of each topic. The options outlive this.
  std::vector<Nearness> look(std::span<const float> embedding) const;

 private:
  std::vector<float> centred(std::span<const float> embedding) const;
  std::vector<float> common_;
  struct Example {
    const Topic* topic;
    std::vector<float> direction;
  };
  std::vector<Example> examples_;
};

// The text in pieces of some hundred bytes, cut where words end; each begins with the end of the one before, so that what lies across a cut
// is whole in one of them.
std::vector<std::string> pieces_of(const std::string& text);

// What is found in a piece. `topics` may be null where there are none.
std::vector<Hit> judge(const ReadingOptions& options, const Topics* topics, const PieceRead& piece);

}  // namespace redoubt::guards
