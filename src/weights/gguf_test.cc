// SPDX-License-Identifier: Apache-2.0
#include "weights/gguf.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "weights/dequantize.h"
#include "weights/gguf_reader.h"
#include "weights/safetensors.h"
#include "weights/testing_gguf.h"

namespace redoubt::weights {
namespace {

using testing::GgufBytes;
using testing::GgufInMemory;

Result<GgufHeader> read(const GgufBytes& file) { return GgufHeader::read(GgufInMemory(file.bytes()), "file.gguf"); }

// The code of the refusal; a file that is accepted answers nothing.
std::optional<ErrorCode> refusal(const GgufBytes& file) {
  const auto header = read(file);
  if (header) return std::nullopt;
  EXPECT_NE(header.error().where.find("file.gguf"), std::string::npos);
  return header.error().code;
}

GgufBytes sound() {
  GgufBytes file;
  file.start(2, 3).pair("general.architecture", "llama").pair("llama.block_count", 2U).pair("words", {"a", "", "ü"});
  return file.tensor("a", {4, 2}, 0, 0).tensor("b", {32, 3}, 3, 32).align().zeros(32 + 60 + 4);
}

TEST(Gguf, a_sound_header_is_read) {
  const auto header = read(sound());
  ASSERT_TRUE(header) << header.error().message;
  EXPECT_EQ(header->text("general.architecture").value(), "llama");
  EXPECT_EQ(header->unsigned_number("llama.block_count").value(), 2U);
  EXPECT_EQ(*header->texts("words").value(), (std::vector<std::string>{"a", "", "ü"}));
  const auto& tensor = header->tensors().at("b");
  EXPECT_EQ(tensor.shape, (std::vector<std::uint64_t>{3, 32}));
  EXPECT_EQ(tensor.bytes, 60U);
  EXPECT_EQ(tensor.rows(), 3U);
  EXPECT_EQ(tensor.offset + tensor.bytes + 4, sound().bytes().size());
}

TEST(Gguf, a_missing_key_and_a_value_of_another_type_are_told_apart) {
  const auto header = read(sound()).value();
  EXPECT_EQ(header.text("nothing").error().code, ErrorCode::not_found);
  EXPECT_EQ(header.text("llama.block_count").error().code, ErrorCode::invalid_argument);
  EXPECT_NE(header.text("llama.block_count").error().where.find("llama.block_count"), std::string::npos);
}

TEST(Gguf, every_cut_of_a_sound_file_is_refused) {
  const auto whole = sound().bytes();
  // Four bytes of padding may be missing at the end; ggml's writers differ there.
  for (std::size_t size = 0; size < whole.size() - 4; ++size)
    EXPECT_FALSE(GgufHeader::read(GgufInMemory(ByteView(whole).first(size)), "x")) << size;
}

TEST(Gguf, other_formats_and_versions_are_refused) {
  EXPECT_EQ(refusal(GgufBytes().number<std::uint64_t>(0x0403'4b50)), ErrorCode::invalid_argument);
  for (const std::uint32_t version : {0U, 1U, 4U, 0x0300'0000U})
    EXPECT_EQ(refusal(GgufBytes().start(0, 0, version)), ErrorCode::unsupported);
}

TEST(Gguf, huge_counts_and_lengths_are_refused_before_anything_is_made_for_them) {
  const auto huge = std::numeric_limits<std::uint64_t>::max();
  EXPECT_EQ(refusal(GgufBytes().start(huge, 0)), ErrorCode::limit_exceeded);
  EXPECT_EQ(refusal(GgufBytes().start(0, huge)), ErrorCode::limit_exceeded);
  EXPECT_EQ(refusal(GgufBytes().start(0, 1).number(huge)), ErrorCode::limit_exceeded);
  EXPECT_EQ(refusal(GgufBytes().start(0, 1).number<std::uint64_t>(1000)), ErrorCode::invalid_argument);
  EXPECT_EQ(refusal(GgufBytes().start(0, 1).text("k").number(8U).number(huge)), ErrorCode::limit_exceeded);
  EXPECT_EQ(refusal(GgufBytes().start(0, 1).text("k").number(9U).number(0U).number(huge)), ErrorCode::limit_exceeded);
  EXPECT_EQ(refusal(GgufBytes().start(0, 1).text("k").number(9U).number(8U).number<std::uint64_t>(3'000'000)),
            ErrorCode::invalid_argument);
}

TEST(Gguf, malformed_metadata_are_refused) {
  EXPECT_EQ(refusal(GgufBytes().start(0, 1).text("k").number(9U).number(9U).number<std::uint64_t>(1)),
            ErrorCode::unsupported);
  EXPECT_EQ(refusal(GgufBytes().start(0, 1).text("k").number(13U).zeros(99)), ErrorCode::invalid_argument);
  EXPECT_EQ(refusal(GgufBytes().start(0, 1).text("k").number(7U).number<std::uint8_t>(2)), ErrorCode::invalid_argument);
  EXPECT_EQ(refusal(GgufBytes().start(0, 1).text("k").number(8U).text("\xff")), ErrorCode::invalid_argument);
  EXPECT_EQ(refusal(GgufBytes().start(0, 1).text("k k").number(8U).text("v")), ErrorCode::invalid_argument);
  EXPECT_EQ(refusal(GgufBytes().start(0, 2).pair("k", 1U).pair("k", 1U)), ErrorCode::invalid_argument);
  for (const std::uint32_t alignment : {0U, 4U, 48U, 1U << 20})
    EXPECT_EQ(refusal(GgufBytes().start(1, 1).pair("general.alignment", alignment).tensor("a", {8}, 0, 0).align().zeros(32)),
              ErrorCode::invalid_argument);
}

TEST(Gguf, malformed_tensors_are_refused_by_their_name) {
  const auto one = [](const std::vector<std::uint64_t>& sizes, std::uint32_t type, std::uint64_t offset, std::size_t bytes) {
    GgufBytes file;
    file.start(1, 0).tensor("the.tensor", sizes, type, offset).align().zeros(bytes);
    const auto header = read(file);
    EXPECT_FALSE(header);
    EXPECT_NE(header.error().where.find("the.tensor"), std::string::npos) << header.error().message;
    return header.error().code;
  };
  EXPECT_EQ(one({8}, 0, 64, 64), ErrorCode::invalid_argument);  // outside
  EXPECT_EQ(one({8}, 0, 32, 64), ErrorCode::invalid_argument);  // a gap
  EXPECT_EQ(one({8}, 0, 16, 64), ErrorCode::invalid_argument);  // not aligned
  EXPECT_EQ(one({8}, 0, ~std::uint64_t{31}, 64), ErrorCode::invalid_argument);
  EXPECT_EQ(one({1ULL << 62, 1ULL << 62}, 0, 0, 64), ErrorCode::invalid_argument);
  EXPECT_EQ(one({8, 0}, 0, 0, 64), ErrorCode::invalid_argument);
  EXPECT_EQ(one({33}, 3, 0, 64), ErrorCode::invalid_argument);  // no whole block
  EXPECT_EQ(one({}, 0, 0, 64), ErrorCode::invalid_argument);
  EXPECT_EQ(one({1, 1, 1, 1, 8}, 0, 0, 64), ErrorCode::invalid_argument);
  EXPECT_EQ(one({32}, 4, 0, 64), ErrorCode::unsupported);  // a type that ggml removed
  EXPECT_EQ(one({32}, 999, 0, 64), ErrorCode::unsupported);
}

TEST(Gguf, tensors_that_overlap_or_stand_twice_and_bytes_after_the_last_are_refused) {
  const auto two = [](const char* second, std::uint64_t offset, std::size_t bytes) {
    return refusal(GgufBytes().start(2, 0).tensor("a", {16}, 0, 0).tensor(second, {16}, 0, offset).align().zeros(bytes));
  };
  EXPECT_EQ(two("b", 64, 128), std::nullopt);
  EXPECT_EQ(two("b", 32, 128), ErrorCode::invalid_argument);
  EXPECT_EQ(two("b", 0, 128), ErrorCode::invalid_argument);
  EXPECT_EQ(two("a", 64, 128), ErrorCode::invalid_argument);
  EXPECT_EQ(two("b", 64, 129), ErrorCode::invalid_argument);
  EXPECT_EQ(refusal(GgufBytes().start(0, 0)), ErrorCode::invalid_argument);
}

TEST(Gguf, utf8_is_checked_strictly) {
  for (const char* good : {"", "a", "\xC3\xBC", "\xE2\x82\xAC", "\xF0\x9F\x98\x80", "\xED\x9F\xBF", "\xF4\x8F\xBF\xBF"})
    EXPECT_TRUE(is_utf8(good));
  for (const char* wrong :
       {"\x80", "\xC0\x80", "\xC3", "\xE0\x80\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xF8\x88\x80\x80\x80"})
    EXPECT_FALSE(is_utf8(wrong));
}

// Expected values from the definition of the IEEE 754 formats.
TEST(Dequantize, half_precision_is_exact_over_its_range) {
  EXPECT_EQ(from_float16(0x3C00), 1.0F);
  EXPECT_EQ(from_float16(0xC000), -2.0F);
  EXPECT_EQ(from_float16(0x7BFF), 65504.0F);
  EXPECT_EQ(from_float16(0x0001), std::ldexp(1.0F, -24));
  EXPECT_EQ(from_float16(0x83FF), -1023 * std::ldexp(1.0F, -24));
  EXPECT_TRUE(std::isinf(from_float16(0x7C00)));
  EXPECT_TRUE(std::isnan(from_float16(0x7E00)));
  EXPECT_TRUE(std::signbit(from_float16(0x8000)));
}

TEST(Dequantize, bfloat16_rounds_to_nearest_and_ties_to_even) {
  EXPECT_EQ(to_bfloat16(1.0F), 0x3F80);
  EXPECT_EQ(to_bfloat16(1.0F + std::ldexp(1.0F, -8)), 0x3F80);
  EXPECT_EQ(to_bfloat16(1.0F + 3 * std::ldexp(1.0F, -8)), 0x3F82);
  EXPECT_EQ(to_bfloat16(1.0F + std::ldexp(1.0F, -8) + std::ldexp(1.0F, -20)), 0x3F81);
  EXPECT_EQ(to_bfloat16(std::numeric_limits<float>::max()), 0x7F80);
  EXPECT_GT(to_bfloat16(std::numeric_limits<float>::quiet_NaN()) & 0x7F, 0);
}

TEST(SafetensorsWriter, pieces_give_the_same_file_as_the_whole) {
  const Bytes a = {1, 2, 3, 4}, b = {5, 6};
  MemorySink whole, pieces;
  ASSERT_TRUE(write_safetensors(whole, {{"b", DType::u8, {2}, b}, {"a", DType::u16, {2, 1}, a}}, {{"k", "v"}}));
  auto writer = SafetensorsWriter::begin(
      pieces, {{.name = "b", .type = DType::u8, .shape = {2}}, {.name = "a", .type = DType::u16, .shape = {2, 1}}},
      {{"k", "v"}});
  ASSERT_TRUE(writer);
  EXPECT_EQ(writer->tensors()[0].name, "a");
  ASSERT_TRUE(writer->write(ByteView(a).first(1)));
  ASSERT_TRUE(writer->write(ByteView(a).subspan(1)));
  ASSERT_TRUE(writer->write(b));
  writer->finish();
  const auto file = pieces.take();
  EXPECT_EQ(file, whole.take());
  const auto header = read_header(GgufInMemory(file), "x");
  ASSERT_TRUE(header);
  EXPECT_EQ(header->tensors[1].offset, writer->tensors()[1].offset);
}

}  // namespace
}  // namespace redoubt::weights
