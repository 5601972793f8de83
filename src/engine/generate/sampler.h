// SPDX-License-Identifier: Apache-2.0
//
// Chooses the next token from logits. The same options and logits give the same tokens on every machine. The order is that of
// Transformers (and of vLLM, but for min-p, which comes first there): logit bias, repetition penalty, frequency and presence
// penalty, what a schema allows, then greedy; or temperature, top-k, top-p, min-p, and a draw.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/result.h"

namespace redoubt::engine::generate {

inline constexpr std::size_t kLogitBiasMax = 1024;
inline constexpr std::int64_t kTopLogprobsMax = 20;
inline constexpr double kTemperatureMax = 100, kRepetitionPenaltyMax = 100;
inline constexpr double kPenaltyMax = 2;  // of presence and frequency, either sign

struct SamplingOptions {
  bool greedy = false;            // the likeliest token; the lowest id of equals
  double temperature = 1;         // 0 is greedy
  double top_p = 1;               // the likeliest tokens whose probabilities together reach this, in (0, 1]
  std::int64_t top_k = 0;         // only so many likeliest tokens and what equals the last of them; 0 is all
  double min_p = 0;               // only tokens at least this share as likely as the likeliest, in [0, 1]
  double repetition_penalty = 1;  // of every token of prompt and answer: a logit above 0 is divided by it, another multiplied
  double presence_penalty = 0;    // taken off the logit of every token of the answer
  double frequency_penalty = 0;   // the same for each time it came
  std::vector<std::pair<std::int32_t, float>> logit_bias = {};  // added to the logits of these tokens
  std::uint64_t seed = 0;
};

// Errors are invalid_argument, `where` names the field.
Status check_sampling(const SamplingOptions& options, std::int64_t vocabulary);

// How likely the model itself held a token, before anything of SamplingOptions; nats.
struct TokenLogprob {
  std::int32_t id = 0;
  float logprob = 0;
};
// The token and the `top` likeliest ones, the likeliest first.
struct ChosenLogprob {
  TokenLogprob chosen;
  std::vector<TokenLogprob> top;
};
ChosenLogprob logprob_of(std::span<const float> logits, std::int32_t token, std::size_t top);

// One bit a token, set where it may come; empty: all may.
using AllowedTokens = std::span<const std::uint64_t>;

class Sampler {
 public:
  // `options` must have been checked; `prompt` counts for the repetition penalty.
  explicit Sampler(SamplingOptions options, std::span<const std::int32_t> prompt = {});

  // A logit that is not a number counts as impossible; `internal` when none is possible. What was chosen is part of the answer
  // from then on.
  Result<std::int32_t> choose(std::span<const float> logits, AllowedTokens allowed = {});

  struct Candidate {
    std::int32_t id;
    float score;
    double weight;  // the probabilities' proportions
  };
  // What the next choice is drawn from; one candidate where there is no choice. Valid until the next call.
  Result<std::span<const Candidate>> candidates(std::span<const float> logits, AllowedTokens allowed = {});
  // Takes a token as part of the answer, as `choose` does.
  void note(std::int32_t token);

 private:
  void penalise();
  void forbid(AllowedTokens allowed);
  void keep_top_k();
  void weigh(float best);
  void keep_top_p();
  double next_uniform();  // in [0, 1)

  SamplingOptions options_;
  std::uint64_t state_;
  std::unordered_map<std::int32_t, int> answered_;  // tokens of the answer and how often
  std::unordered_map<std::int32_t, bool> seen_;     // tokens of prompt and answer, where a penalty asks for them
  std::vector<float> scores_;
  std::vector<Candidate> candidates_;
};

}  // namespace redoubt::engine::generate
