// SPDX-License-Identifier: Apache-2.0
#include "stages/evaluate/evaluate.h"

#include <gtest/gtest.h>

#include "base/memory_object.h"

namespace redoubt::stages::evaluate {
namespace {

TEST(MakeRoom, is_for_weights_twice_as_large_as_they_lie_there) {
  auto spec = evaluation_job({}, "");
  spec.channels["model"] = {{"model.safetensors", []() -> Result<std::unique_ptr<RandomAccess>> { return std::make_unique<MemoryObject>(Bytes(1000)); }}};
  const auto before = spec.memory_bytes_max;
  ASSERT_TRUE(make_room(spec));
  EXPECT_EQ(spec.memory_bytes_max - before, 2000u);
}

}  // namespace
}  // namespace redoubt::stages::evaluate
