// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cstring>

#include "base/file.h"
#include "weights/model_files.h"

namespace redoubt::weights {
namespace {

class MemoryFile final : public RandomAccess {
 public:
  explicit MemoryFile(Bytes bytes) : bytes_(std::move(bytes)) {}
  std::uint64_t size() const override { return bytes_.size(); }
  Status read_at(std::uint64_t offset, MutableByteView into) const override {
    if (offset > bytes_.size() || into.size() > bytes_.size() - offset)
      return fail(ErrorCode::invalid_argument, "beyond the end");
    std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(offset), into.size(), into.begin());
    return {};
  }

 private:
  Bytes bytes_;
};

Bytes file_of(std::string_view header, std::size_t data_bytes) {
  Bytes bytes(8);
  const std::uint64_t length = header.size();
  std::memcpy(bytes.data(), &length, 8);
  bytes.insert(bytes.end(), header.begin(), header.end());
  bytes.resize(bytes.size() + data_bytes);
  return bytes;
}

Result<Header> parse(std::string_view header, std::size_t data_bytes) {
  return read_header(MemoryFile(file_of(header, data_bytes)), "x");
}

TEST(Safetensors, a_sound_header_is_read) {
  auto header = parse(R"({"a":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]},"__metadata__":{"format":"pt"}}  )", 12);
  ASSERT_TRUE(header) << header.error().message;
  EXPECT_EQ(header->tensors[0].shape, (std::vector<std::uint64_t>{2, 3}));
  EXPECT_EQ(header->metadata.at("format"), "pt");
}

TEST(Safetensors, every_malformed_header_is_refused) {
  const std::pair<const char*, std::size_t> cases[] = {
      {R"( {"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", 4},  // white space
      {R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"a":{"dtype":"U8","shape":[0],"data_offsets":[4,4]}})",
       4},                                                                    // twice
      {R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4],"x":1}})", 4},  // unknown
      {R"({"../a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", 4},     // a path
      {R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,5]}})", 5},        // size
      {R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[1,5]}})", 5},        // gap
      {R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", 5},        // tail
      {R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", 3},        // cut off
      {R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}})",
       6},                                                                                   // overlap
      {R"({"a":{"dtype":"U8","shape":[-4],"data_offsets":[0,4]}})", 4},                      // negative
      {R"({"a":{"dtype":"F64","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0},  // overflow
      {R"({"a":{"dtype":"Q4","shape":[4],"data_offsets":[0,4]}})", 4},                       // dtype
      {R"({"__metadata__":{"a":1}})", 0},                                                    // metadata
      {R"([])", 0},
  };
  for (const auto& [header, bytes] : cases) EXPECT_FALSE(parse(header, bytes)) << header;
}

TEST(Safetensors, a_length_beyond_the_file_or_the_limit_is_refused) {
  Bytes bytes(16);
  const std::uint64_t huge = kHeaderBytesMax + 1;
  std::memcpy(bytes.data(), &huge, 8);
  EXPECT_EQ(read_header(MemoryFile(bytes), "x").error().code, ErrorCode::limit_exceeded);
  bytes[0] = 9, std::fill(bytes.begin() + 1, bytes.begin() + 8, 0);
  EXPECT_FALSE(read_header(MemoryFile(bytes), "x"));
  EXPECT_FALSE(read_header(MemoryFile(Bytes(3)), "x"));
}

TEST(Safetensors, what_is_written_reads_back) {
  MemorySink sink;
  const Bytes first(12, 1), second(3, 2);
  ASSERT_TRUE(write_safetensors(sink, {{"b", DType::f32, {3}, first}, {"a", DType::u8, {3}, second}}, {{"format", "pt"}}));
  auto file = SafetensorsFile::open(std::make_unique<MemoryFile>(sink.take()), "x");
  ASSERT_TRUE(file) << file.error().message;
  Bytes read(12);
  ASSERT_TRUE(file->read(**file->find("b"), read));
  EXPECT_EQ(read, first);
  EXPECT_EQ(file->find("c").error().code, ErrorCode::not_found);
}

class Sharded : public ::testing::Test {
 protected:
  void write(const std::string& name, std::string_view tensor) {
    MemorySink sink;
    ASSERT_TRUE(write_safetensors(sink, {{std::string(tensor), DType::u8, {2}, Bytes(2)}}));
    ASSERT_TRUE(write_file(folder_.path() / name, sink.take()));
  }
  void index(std::string_view map) {
    ASSERT_TRUE(write_file(folder_.path() / "model.safetensors.index.json", R"({"weight_map":)" + std::string(map) + "}"));
  }
  TemporaryFolder folder_ = TemporaryFolder::create().value();
};

TEST_F(Sharded, tensors_are_found_in_their_shards) {
  write("s1.safetensors", "a"), write("s2.safetensors", "b"), index(R"({"a":"s1.safetensors","b":"s2.safetensors"})");
  auto model = ModelFiles::open_folder(folder_.path());
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_EQ(model->find("b")->file->where(), "s2.safetensors");
  EXPECT_EQ(model->tensors().size(), 2u);
}

TEST_F(Sharded, one_file_counts_before_an_index_beside_it) {
  write("s1.safetensors", "a"), write("model.safetensors", "b"), index(R"({"a":"s1.safetensors"})");
  auto model = ModelFiles::open_folder(folder_.path());
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_TRUE(model->find("b"));
  EXPECT_FALSE(model->find("a"));
}

TEST_F(Sharded, an_index_that_disagrees_with_the_shards_is_refused) {
  write("s1.safetensors", "a"), write("s2.safetensors", "b");
  for (const char* map :
       {R"({"a":"s1.safetensors"})", R"({"a":"s2.safetensors","b":"s2.safetensors"})",
        R"({"a":"s1.safetensors","b":"s2.safetensors","c":"s2.safetensors"})", R"({"a":"../s1.safetensors"})"}) {
    index(map);
    const bool listed_extra = std::string_view(map) == R"({"a":"s1.safetensors"})";
    EXPECT_EQ(ModelFiles::open_folder(folder_.path()).has_value(), listed_extra) << map;
  }
}

}  // namespace
}  // namespace redoubt::weights
