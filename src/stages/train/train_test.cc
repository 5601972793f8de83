// SPDX-License-Identifier: Apache-2.0
#include "stages/train/train.h"

#include <gtest/gtest.h>

#include "base/memory_object.h"

namespace redoubt::stages::train {
namespace {

provider::JobSpec job_of(const char* method, std::size_t model_bytes) {
  auto spec = training_job({{"method", method}}, "");
  spec.channels["model"] = {{"model.safetensors", [=]() -> Result<std::unique_ptr<RandomAccess>> { return std::make_unique<MemoryObject>(Bytes(model_bytes)); }}};
  return spec;
}

// Each value of a model in bf16 has a master, two moments and a best value of 4 bytes in a checkpoint, of which two lie there for a while.
TEST(MakeRoom, is_for_two_checkpoints_and_the_model_where_every_weight_is_trained) {
  constexpr std::size_t kValues = 1000;
  for (const bool full : {true, false}) {
    auto spec = job_of(full ? "full" : "lora", 2 * kValues);
    const auto before = spec.output_bytes_max;
    ASSERT_TRUE(make_room(spec));
    EXPECT_EQ(spec.output_bytes_max - before, full ? 2 * (4 + 8 + 4) * kValues + 2 * kValues : 0);
  }
}

}  // namespace
}  // namespace redoubt::stages::train
