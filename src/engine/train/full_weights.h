// SPDX-License-Identifier: Apache-2.0
//
// All weights of a model as one vector that is trained: full fine-tuning. The masters are fp32; the model computes with its own
// tensors, which each step rewrites in its precision.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "engine/model/causal_model.h"
#include "engine/train/optimizer.h"

namespace redoubt::engine::train {

class FullWeights {
 public:
  // Takes over the tensors of `base`, which are those that it was loaded with.
  static FullWeights of(const model::CausalModel& base);

  at::Tensor& values() { return values_; }
  const at::Tensor& values() const { return values_; }
  // Norms and biases, which weight decay leaves alone, as in Transformers.
  const std::vector<Span>& not_decayed() const { return not_decayed_; }

  // Rewrites the model's tensors from the masters.
  void write_working() const;
  // The place of a tensor of the model in a vector shaped like values().
  at::Tensor place_of(const at::Tensor& weight, const at::Tensor& vector) const;

  // A whole model in `to`, in the format and the types of the folder `from` that the base was read from.
  Status save(const std::filesystem::path& from, const std::filesystem::path& to) const;

 private:
  struct Block {
    at::Tensor working;
    std::int64_t offset;
  };
  explicit FullWeights(const model::CausalModel& base) : base_(&base) {}
  void add(const at::Tensor& tensor, bool decays);
  void add(const model::Norm& norm);

  const model::CausalModel* base_;
  std::vector<Block> blocks_;
  std::vector<Span> not_decayed_;
  at::Tensor values_;
};

}  // namespace redoubt::engine::train
