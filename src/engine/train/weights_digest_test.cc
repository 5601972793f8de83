// SPDX-License-Identifier: Apache-2.0
#include "engine/train/weights_digest.h"

#include <gtest/gtest.h>

#include <set>

#include "base/file.h"
#include "weights/safetensors.h"

namespace redoubt::engine::train {
namespace {

class WeightsDigestTest : public ::testing::Test {
 protected:
  using Tensors = std::vector<weights::TensorView>;
  void write(const char* name, const Tensors& tensors) {
    MemorySink sink;
    ASSERT_TRUE(weights::write_safetensors(sink, tensors));
    ASSERT_TRUE(write_file(folder_.path() / name, sink.take()));
  }
  std::string digest() const { return digest_of_weights(folder_.path()).value(); }

  TemporaryFolder folder_ = TemporaryFolder::create().value();
  Bytes first_ = Bytes(3 << 20, 1), second_ = Bytes(64, 2);
  weights::TensorView a_{"a", weights::DType::bf16, {3, 1 << 19}, first_}, b_{"b", weights::DType::f32, {16}, second_};
};

TEST_F(WeightsDigestTest, is_that_of_the_tensors_in_whatever_files_they_are) {
  write("model.safetensors", {a_, b_});
  const auto whole = digest();
  EXPECT_EQ(whole.size(), 64u);
  std::filesystem::remove(folder_.path() / "model.safetensors");
  write("one.safetensors", {a_});
  write("two.safetensors", {b_});
  ASSERT_TRUE(write_file(folder_.path() / "model.safetensors.index.json", R"({"weight_map":{"a":"one.safetensors","b":"two.safetensors"}})"));
  EXPECT_EQ(digest(), whole);
}

TEST_F(WeightsDigestTest, changes_with_any_byte_shape_type_or_name) {
  write("model.safetensors", {a_, b_});
  std::set<std::string> seen = {digest()};
  first_.back() ^= 1;
  write("model.safetensors", {a_, b_});
  seen.insert(digest());
  first_.back() ^= 1;
  for (const auto& other : {weights::TensorView{"a", weights::DType::f16, {3, 1 << 19}, first_}, weights::TensorView{"a", weights::DType::bf16, {1 << 19, 3}, first_},
                            weights::TensorView{"c", weights::DType::bf16, {3, 1 << 19}, first_}}) {
    write("model.safetensors", {other, b_});
    seen.insert(digest());
  }
  EXPECT_EQ(seen.size(), 5u);
}

TEST_F(WeightsDigestTest, of_no_weights_is_an_error) { EXPECT_EQ(digest_of_weights(folder_.path()).error().code, ErrorCode::not_found); }

}  // namespace
}  // namespace redoubt::engine::train
