// SPDX-License-Identifier: Apache-2.0
#include "engine/generate/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace redoubt::engine::generate {
namespace {

struct Candidate {
  float logit;
  std::int32_t id;
  // Whether this one is less likely; of equals the higher id.
  bool operator<(const Candidate& other) const { return logit != other.logit ? logit < other.logit : id > other.id; }
};

float usable(float logit) { return std::isnan(logit) ? -std::numeric_limits<float>::infinity() : logit; }

// Splits off the likeliest candidates until `probability` is reached; they end up at the back, the likeliest last.
std::size_t nucleus(std::vector<Candidate>& candidates, const std::vector<double>& weight_of, double total, double probability) {
  std::make_heap(candidates.begin(), candidates.end());
  double reached = 0;
  auto end = candidates.end();
  while (end != candidates.begin() && reached < probability * total) {
    std::pop_heap(candidates.begin(), end);
    --end;
    reached += weight_of[static_cast<std::size_t>(end->id)];
  }
  return static_cast<std::size_t>(end - candidates.begin());
}

}  // namespace

Status check_sampling(const SamplingOptions& o) {
  const auto bad = [](const char* what) { return fail(ErrorCode::invalid_argument, what); };
  if (!(o.temperature >= 0 && o.temperature <= 100)) return bad("temperature must be from 0 to 100");
  if (!(o.top_p > 0 && o.top_p <= 1)) return bad("top_p must be above 0 and at most 1");
  if (o.top_k < 0) return bad("top_k must be 0 (all) or more");
  return {};
}

// SplitMix64 (Steele, Lea and Flood 2014).
double Sampler::next_uniform() {
  std::uint64_t z = state_ += 0x9E3779B97F4A7C15u;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
  z = (z ^ z >> 27) * 0x94D049BB133111EBu;
  return static_cast<double>((z ^ z >> 31) >> 11) * 0x1p-53;
}

Result<std::int32_t> Sampler::choose(std::span<const float> logits) {
  std::vector<Candidate> candidates;
  candidates.reserve(logits.size());
  Candidate best{-std::numeric_limits<float>::infinity(), -1};
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const Candidate one{usable(logits[i]), static_cast<std::int32_t>(i)};
    if (one.logit == -std::numeric_limits<float>::infinity()) continue;
    if (best.id < 0 || best < one) best = one;
    candidates.push_back(one);
  }
  if (best.id < 0) return fail(ErrorCode::internal, "the model computed no usable logits");
  if (options_.greedy || options_.temperature == 0 || std::isinf(best.logit)) return best.id;

  const auto k = static_cast<std::size_t>(options_.top_k);
  if (k > 0 && k < candidates.size()) {
    std::nth_element(candidates.begin(), candidates.begin() + static_cast<std::ptrdiff_t>(k) - 1, candidates.end(),
                     [](const Candidate& a, const Candidate& b) { return b < a; });
    candidates.resize(k);
    std::sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) { return a.id < b.id; });
  }
  std::vector<double> weight_of(logits.size());
  double total = 0;
  for (const auto& one : candidates)
    total += weight_of[static_cast<std::size_t>(one.id)] = std::exp((static_cast<double>(one.logit) - best.logit) / options_.temperature);
  const std::size_t first = options_.top_p < 1 ? nucleus(candidates, weight_of, total, options_.top_p) : 0;

  double kept = 0;
  for (auto i = first; i < candidates.size(); ++i) kept += weight_of[static_cast<std::size_t>(candidates[i].id)];
  double target = next_uniform() * kept;
  for (auto i = first; i < candidates.size(); ++i) {
    target -= weight_of[static_cast<std::size_t>(candidates[i].id)];
    if (target < 0) return candidates[i].id;
  }
  return best.id;
}

}  // namespace redoubt::engine::generate
