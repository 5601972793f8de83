// SPDX-License-Identifier: Apache-2.0
//
// The final norm, the head and the cross-entropy, in slices so that the logits of a batch never lie in memory at once.
#pragma once

#include "engine/model/causal_model.h"
#include "engine/torch.h"

namespace redoubt::engine::model {

struct HeadLoss {
  at::Tensor losses;    // fp32 [rows], nats
  at::Tensor correct;   // bool [rows]: the target is the likeliest token
  at::Tensor gradient;  // of the residual, times `gradient_scale`; undefined when that is 0
};

// residual [rows, hidden] before the final norm, targets int64 [rows].
HeadLoss head_loss(const CausalModel& base, const at::Tensor& residual, const at::Tensor& targets, float gradient_scale);

}  // namespace redoubt::engine::model
