// SPDX-License-Identifier: Apache-2.0
#include "engine/generate/sampler.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <string>

#include "engine/model/row_math.h"
#include "engine/model/vectorised.h"

namespace redoubt::engine::generate {
namespace {

constexpr float kImpossible = -std::numeric_limits<float>::infinity();
constexpr double kBiasMax = 100;

float usable(float logit) { return std::isnan(logit) ? kImpossible : logit; }

REDOUBT_VECTORISED void copy_usable(const float* from, float* to, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) to[i] = from[i] == from[i] ? from[i] : kImpossible;
}

// Whether one is less likely than the other; of equals the higher id.
bool less_likely(const Sampler::Candidate& a, const Sampler::Candidate& b) {
  return a.score != b.score ? a.score < b.score : a.id > b.id;
}

bool within(double value, double low, double high) { return value >= low && value <= high; }

}  // namespace

Status check_sampling(const SamplingOptions& o, std::int64_t vocabulary) {
  const auto bad = [](const char* field, const std::string& what) { return fail(ErrorCode::invalid_argument, std::string(field) + " " + what, field); };
  if (!within(o.temperature, 0, kTemperatureMax)) return bad("temperature", "must be from 0 to 100");
  if (!(o.top_p > 0 && o.top_p <= 1)) return bad("top_p", "must be above 0 and at most 1");
  if (o.top_k < 0) return bad("top_k", "must be 0 (all) or more");
  if (!within(o.min_p, 0, 1)) return bad("min_p", "must be from 0 to 1");
  if (!(o.repetition_penalty > 0 && o.repetition_penalty <= kRepetitionPenaltyMax)) return bad("repetition_penalty", "must be above 0 and at most 100");
  if (!within(o.presence_penalty, -kPenaltyMax, kPenaltyMax)) return bad("presence_penalty", "must be from -2 to 2");
  if (!within(o.frequency_penalty, -kPenaltyMax, kPenaltyMax)) return bad("frequency_penalty", "must be from -2 to 2");
  if (o.logit_bias.size() > kLogitBiasMax) return bad("logit_bias", "must name at most 1024 tokens");
  for (const auto& [id, bias] : o.logit_bias) {
    if (id < 0 || id >= vocabulary) return bad("logit_bias", "names token " + std::to_string(id) + ", which the model does not have");
    if (!within(bias, -kBiasMax, kBiasMax)) return bad("logit_bias", "must hold numbers from -100 to 100");
  }
  return {};
}

ChosenLogprob logprob_of(std::span<const float> logits, std::int32_t token, std::size_t top) {
  float most = kImpossible;
  for (const float logit : logits) most = std::max(most, usable(logit));
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(usable(logit)) - most);
  const double log_sum = most + std::log(sum);
  const auto of = [&](std::int32_t id) {
    return TokenLogprob{id, static_cast<float>(static_cast<double>(usable(logits[static_cast<std::size_t>(id)])) - log_sum)};
  };
  std::vector<std::int32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  const auto end = ids.begin() + static_cast<std::ptrdiff_t>(std::min(top, ids.size()));
  std::partial_sort(ids.begin(), end, ids.end(), [&](std::int32_t a, std::int32_t b) {
    const float x = usable(logits[static_cast<std::size_t>(a)]), y = usable(logits[static_cast<std::size_t>(b)]);
    return x != y ? x > y : a < b;
  });
  ChosenLogprob out{of(token), {}};
  std::transform(ids.begin(), end, std::back_inserter(out.top), of);
  return out;
}

Sampler::Sampler(SamplingOptions options, std::span<const std::int32_t> prompt) : options_(std::move(options)), state_(options_.seed) {
  if (options_.repetition_penalty == 1) return;
  for (const auto token : prompt) seen_[token] = true;
}

// SplitMix64 (Steele, Lea and Flood 2014).
double Sampler::next_uniform() {
  std::uint64_t z = state_ += 0x9E3779B97F4A7C15u;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
  z = (z ^ z >> 27) * 0x94D049BB133111EBu;
  return static_cast<double>((z ^ z >> 31) >> 11) * 0x1p-53;
}

void Sampler::note(std::int32_t token) {
  if (options_.repetition_penalty != 1) seen_[token] = true;
  if (options_.presence_penalty != 0 || options_.frequency_penalty != 0) ++answered_[token];
}

void Sampler::penalise() {
  for (const auto& [id, bias] : options_.logit_bias) scores_[static_cast<std::size_t>(id)] += bias;
  const auto penalty = static_cast<float>(options_.repetition_penalty);
  for (const auto& [id, unused] : seen_) {
    if (static_cast<std::size_t>(id) >= scores_.size()) continue;
    auto& score = scores_[static_cast<std::size_t>(id)];
    score = score < 0 ? score * penalty : score / penalty;
  }
  for (const auto& [id, count] : answered_)
    scores_[static_cast<std::size_t>(id)] -= static_cast<float>(options_.frequency_penalty * count + options_.presence_penalty);
}

void Sampler::forbid(AllowedTokens allowed) {
  for (std::size_t i = 0; i < scores_.size(); ++i)
    if (i / 64 >= allowed.size() || (allowed[i / 64] >> (i % 64) & 1) == 0) scores_[i] = kImpossible;
}

Result<std::span<const Sampler::Candidate>> Sampler::candidates(std::span<const float> logits, AllowedTokens allowed) {
  scores_.resize(logits.size());
  copy_usable(logits.data(), scores_.data(), logits.size());
  penalise();
  if (!allowed.empty()) forbid(allowed);
  candidates_.clear();
  const auto place = static_cast<std::size_t>(model::row::argmax(scores_.data(), std::ssize(scores_)));
  if (scores_.empty() || !(scores_[place] > kImpossible)) return fail(ErrorCode::internal, "the model computed no usable logits");
  const float best = scores_[place];
  if (options_.greedy || options_.temperature == 0 || std::isinf(best)) {
    candidates_.push_back({static_cast<std::int32_t>(place), best, 1});
    return candidates_;
  }
  keep_top_k();
  weigh(best);
  keep_top_p();
  std::erase_if(candidates_, [&](const Candidate& one) { return one.weight < options_.min_p; });  // the likeliest weighs 1
  return candidates_;
}

void Sampler::keep_top_k() {
  float least = std::numeric_limits<float>::lowest();
  if (const auto k = static_cast<std::size_t>(options_.top_k); k > 0 && k < scores_.size()) {
    auto sorted = scores_;
    const auto last = sorted.begin() + static_cast<std::ptrdiff_t>(k) - 1;
    std::nth_element(sorted.begin(), last, sorted.end(), std::greater<>());
    least = std::max(least, *last);
  }
  for (std::size_t i = 0; i < scores_.size(); ++i)
    if (scores_[i] >= least) candidates_.push_back({static_cast<std::int32_t>(i), scores_[i], 0});
}

void Sampler::weigh(float best) {
  const double inverse = 1 / options_.temperature;
  for (auto& one : candidates_) one.weight = std::exp((static_cast<double>(one.score) - best) * inverse);
}

// The likeliest candidates until the probability is reached.
void Sampler::keep_top_p() {
  if (options_.top_p >= 1) return;
  const double total = std::accumulate(candidates_.begin(), candidates_.end(), 0.0, [](double sum, const auto& one) { return sum + one.weight; });
  std::make_heap(candidates_.begin(), candidates_.end(), less_likely);
  double reached = 0;
  auto end = candidates_.end();
  while (end != candidates_.begin() && reached < options_.top_p * total) {
    std::pop_heap(candidates_.begin(), end, less_likely);
    reached += (--end)->weight;
  }
  candidates_.erase(candidates_.begin(), end);
}

Result<std::int32_t> Sampler::choose(std::span<const float> logits, AllowedTokens allowed) {
  const auto from = TRY(candidates(logits, allowed));
  auto chosen = from.back().id;
  if (from.size() > 1) {
    const double kept = std::accumulate(from.begin(), from.end(), 0.0, [](double sum, const auto& one) { return sum + one.weight; });
    double target = next_uniform() * kept;
    for (const auto& one : from) {
      target -= one.weight;
      if (target >= 0) continue;
      chosen = one.id;
      break;
    }
  }
  note(chosen);
  return chosen;
}

}  // namespace redoubt::engine::generate
