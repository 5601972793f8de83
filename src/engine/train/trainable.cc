// SPDX-License-Identifier: Apache-2.0
#include "engine/train/trainable.h"

#include "engine/train/full_backward.h"

namespace redoubt::engine::train {

void AdapterTrainable::write_working() {
  adapter_.write_working(working_, precision_);
  model::set_dropout(working_, 0, 0);
}

std::int64_t AdapterTrainable::rows_of(std::span<const data::Example* const> examples) const {
  return evaluate::packed_rows(examples, adapter_.options().dropout > 0 ? evaluate::Sharing::alone : evaluate::sharing_of(examples, base_));
}

BatchLoss AdapterTrainable::add_gradient(std::span<const data::Example* const> examples, const Weighting& weighting,
                                         std::uint64_t dropout_key, std::int64_t keep_rows_max, at::Tensor& gradient) {
  model::set_dropout(working_, adapter_.options().dropout, dropout_key);
  return train::add_gradient(base_, adapter_, working_, examples, weighting, keep_rows_max, gradient);
}

std::int64_t FullTrainable::rows_of(std::span<const data::Example* const> examples) const {
  return evaluate::packed_rows(examples, evaluate::sharing_of(examples, base_));
}

BatchLoss FullTrainable::add_gradient(std::span<const data::Example* const> examples, const Weighting& weighting, std::uint64_t,
                                      std::int64_t keep_rows_max, at::Tensor& gradient) {
  return add_full_gradient(base_, weights_, examples, weighting, keep_rows_max, gradient);
}

}  // namespace redoubt::engine::train
