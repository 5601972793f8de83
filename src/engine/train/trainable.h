// SPDX-License-Identifier: Apache-2.0
//
// What a training run changes: an adapter beside frozen weights, or all weights.
#pragma once

#include "engine/train/backward.h"
#include "engine/train/full_weights.h"
#include "engine/train/options.h"

namespace redoubt::engine::train {

class Trainable {
 public:
  virtual ~Trainable() = default;
  // fp32, one vector.
  virtual at::Tensor& values() = 0;
  virtual std::vector<Span> not_decayed() const { return {}; }
  // Makes the model compute with `values`, and drop nothing.
  virtual void write_working() = 0;
  // The adapter that the model computes with after that; null: none.
  virtual const model::LoraWeights* adapter() const = 0;
  // The rows of one pass over these examples.
  virtual std::int64_t rows_of(std::span<const data::Example* const> examples) const = 0;
  // As train::add_gradient; `dropout_key` chooses what is dropped.
  virtual BatchLoss add_gradient(std::span<const data::Example* const> examples, const Weighting& weighting,
                                 std::uint64_t dropout_key, std::int64_t keep_rows_max, at::Tensor& gradient) = 0;
};

class AdapterTrainable final : public Trainable {
 public:
  AdapterTrainable(const model::CausalModel& base, model::Adapter adapter, model::Precision precision)
      : base_(base), adapter_(std::move(adapter)), precision_(precision) {}
  at::Tensor& values() override { return adapter_.values(); }
  void write_working() override;
  const model::LoraWeights* adapter() const override { return &working_; }
  std::int64_t rows_of(std::span<const data::Example* const> examples) const override;
  BatchLoss add_gradient(std::span<const data::Example* const> examples, const Weighting& weighting, std::uint64_t dropout_key,
                         std::int64_t keep_rows_max, at::Tensor& gradient) override;
  model::Adapter take() { return std::move(adapter_); }

 private:
  const model::CausalModel& base_;
  model::Adapter adapter_;
  model::Precision precision_;
  model::LoraWeights working_;
};

class FullTrainable final : public Trainable {
 public:
  FullTrainable(const model::CausalModel& base, FullWeights& weights) : base_(base), weights_(weights) {}
  at::Tensor& values() override { return weights_.values(); }
  std::vector<Span> not_decayed() const override { return weights_.not_decayed(); }
  void write_working() override { weights_.write_working(); }
  const model::LoraWeights* adapter() const override { return nullptr; }
  std::int64_t rows_of(std::span<const data::Example* const> examples) const override;
  BatchLoss add_gradient(std::span<const data::Example* const> examples, const Weighting& weighting, std::uint64_t,
                         std::int64_t keep_rows_max, at::Tensor& gradient) override;

 private:
  const model::CausalModel& base_;
  FullWeights& weights_;
};

}  // namespace redoubt::engine::train
