// SPDX-License-Identifier: Apache-2.0
#include "engine/train/optimizer.h"

#include <cmath>
#include <numbers>
#include <vector>

#include "engine/model/row_math.h"

namespace redoubt::engine::train {
namespace {

constexpr std::int64_t kBlock = 65536;

struct StepFactors {
  float decay, beta1, beta2, step_size, root_correction, epsilon;
};

__attribute__((target_clones("avx512f", "avx2", "default"))) void update(float* values, const float* gradient, float* first,
                                                                         float* second, std::int64_t n,
                                                                         const StepFactors& f) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) {
    first[i] = f.beta1 * first[i] + (1.0f - f.beta1) * gradient[i];
    second[i] = f.beta2 * second[i] + (1.0f - f.beta2) * gradient[i] * gradient[i];
    const float root = __builtin_sqrtf(second[i]) / f.root_correction + f.epsilon;
    values[i] = values[i] * f.decay - f.step_size * first[i] / root;
  }
}

}  // namespace

AdamW::AdamW(std::int64_t size, AdamWOptions options, std::vector<Span> not_decayed) : options_(options) {
  std::int64_t done = 0;
  for (const auto& span : not_decayed) {
    if (span.begin > done) parts_.push_back({{done, span.begin}, true});
    parts_.push_back({span, false});
    done = span.end;
  }
  if (done < size) parts_.push_back({{done, size}, true});
  c10::InferenceMode guard;
  first_moment = at::zeros({size}, at::kFloat);
  second_moment = at::zeros({size}, at::kFloat);
}

void AdamW::step(at::Tensor& values, const at::Tensor& gradient, double learning_rate) {
  ++steps;
  const double correction1 = 1 - std::pow(options_.beta1, static_cast<double>(steps));
  const double correction2 = 1 - std::pow(options_.beta2, static_cast<double>(steps));
  StepFactors factors{static_cast<float>(1 - learning_rate * options_.weight_decay),
                            static_cast<float>(options_.beta1),
                            static_cast<float>(options_.beta2),
                            static_cast<float>(learning_rate / correction1),
                            static_cast<float>(std::sqrt(correction2)),
                            static_cast<float>(options_.epsilon)};
  float *v = values.mutable_data_ptr<float>(), *m1 = first_moment.mutable_data_ptr<float>(),
        *m2 = second_moment.mutable_data_ptr<float>();
  const float* g = gradient.const_data_ptr<float>();
  const float decay = factors.decay;
  for (const auto& [part, decays] : parts_) {
    factors.decay = decays ? decay : 1;
    at::parallel_for(part.begin, part.end, kBlock, [&](std::int64_t begin, std::int64_t end) {
      update(v + begin, g + begin, m1 + begin, m2 + begin, end - begin, factors);
    });
  }
}

double norm_of(const at::Tensor& gradient) {
  const std::int64_t size = gradient.numel(), blocks = (size + kBlock - 1) / kBlock;
  std::vector<double> sums(static_cast<std::size_t>(blocks));
  const float* g = gradient.const_data_ptr<float>();
  at::parallel_for(0, blocks, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t b = begin; b < end; ++b) {
      const float* from = g + b * kBlock;
      sums[static_cast<std::size_t>(b)] =
          static_cast<double>(model::row::dot(from, from, std::min(kBlock, size - b * kBlock)));
    }
  });
  double sum = 0;
  for (double part : sums) sum += part;
  return std::sqrt(sum);
}

void clip(at::Tensor& gradient, double norm, double norm_max) {
  const double factor = norm_max / (norm + 1e-6);
  if (factor < 1) gradient.mul_(factor);
}

double LearningRate::at(std::int64_t step) const {
  if (step < warmup_steps)
    return peak * static_cast<double>(step) / static_cast<double>(std::max<std::int64_t>(1, warmup_steps));
  const double progress =
      static_cast<double>(step - warmup_steps) / static_cast<double>(std::max<std::int64_t>(1, steps - warmup_steps));
  switch (schedule) {
    case Schedule::constant: return peak;
    case Schedule::linear: return peak * std::max(0.0, 1 - progress);
    case Schedule::cosine: return peak * std::max(0.0, 0.5 * (1 + std::cos(std::numbers::pi * progress)));
  }
  return peak;
}

}  // namespace redoubt::engine::train
