// SPDX-License-Identifier: Apache-2.0
//
// What the ranks of a training run have to agree on, and how one tells the others.
#pragma once

#include "engine/distributed/group.h"
#include "engine/evaluate/evaluator.h"
#include "engine/train/checkpoint.h"

namespace redoubt::engine::train {

// The path of the first member that differs: "options.learning_rate".
std::string difference(const Json& one, const Json& other);

// invalid_argument that names a rank and the member in which its options or data differ from the leader's.
Status check_agreement(distributed::Group& group, const Json& identity);

// The leader's newest checkpoint, for all: only its folder counts.
Result<std::optional<RunState>> read_for_all(distributed::Group& group, const std::filesystem::path& folder);

// Fills in the scores that other ranks computed.
Status gather_scores(distributed::Group& group, std::vector<evaluate::ExampleScore>& scores);

// Ranks apply the same steps to the same numbers; processors of unlike kinds may round them apart, and then there is no
// telling which adapter was trained: unsupported.
Status check_equal_values(distributed::Group& group, const at::Tensor& values);

}  // namespace redoubt::engine::train
