// SPDX-License-Identifier: Apache-2.0
#include "stages/acquire/gguf_import.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>

#include "base/file.h"
#include "base/json.h"
#include "weights/dequantize.h"
#include "weights/model_files.h"
#include "weights/testing_gguf.h"

namespace redoubt::stages::acquire {
namespace {

using weights::testing::GgufBytes;

// What a test may change of a model of one layer: hidden 4, one head of size 4, feed-forward 2, six tokens.
struct Model {
  const char* architecture = "llama";
  const char* tokenizer = "gpt2";
  const char* rule = "smollm";
  const char* extra_key = "general.name";
  const char* extra_tensor = nullptr;
  std::vector<std::string_view> tokens = {"<|end|>", "a", "b", "ab", "\xC4\xA0", "<user>"};
  std::vector<std::string_view> merges = {"a b"};
  std::uint32_t end_token = 0;
};

GgufBytes file_of(const Model& model) {
  const std::vector<std::pair<std::string, std::vector<std::uint64_t>>> tensors = {
      {"token_embd.weight", {4, 6}},   {"output_norm.weight", {4}},          {"blk.0.attn_norm.weight", {4}},
      {"blk.0.ffn_norm.weight", {4}},  {"blk.0.attn_q.weight", {4, 4}},      {"blk.0.attn_k.weight", {4, 4}},
      {"blk.0.attn_v.weight", {4, 4}}, {"blk.0.attn_output.weight", {4, 4}}, {"blk.0.ffn_gate.weight", {4, 2}},
      {"blk.0.ffn_up.weight", {4, 2}}, {"blk.0.ffn_down.weight", {2, 4}}};
  GgufBytes file;
  file.start(tensors.size() + (model.extra_tensor ? 1 : 0), 14);
  file.pair("general.architecture", model.architecture).pair(model.extra_key, "x").pair("llama.block_count", 1U);
  file.pair("llama.context_length", 64U).pair("llama.embedding_length", 4U).pair("llama.feed_forward_length", 2U);
  file.pair("llama.attention.head_count", 1U).pair("llama.attention.layer_norm_rms_epsilon", 1e-5F);
  file.pair("tokenizer.ggml.model", model.tokenizer).pair("tokenizer.ggml.pre", model.rule);
  file.pair("tokenizer.ggml.tokens", model.tokens).pair("tokenizer.ggml.merges", model.merges);
  file.pair("tokenizer.ggml.token_type", std::vector<std::int32_t>{3, 1, 1, 1, 1, 4});
  file.pair("tokenizer.ggml.eos_token_id", model.end_token);
  std::uint64_t offset = 0;
  std::vector<std::uint64_t> counts;
  for (const auto& [name, sizes] : tensors) {
    file.tensor(name, sizes, 0, offset);
    counts.push_back(sizes[0] * (sizes.size() > 1 ? sizes[1] : 1));
    offset += (counts.back() * 4 + 31) / 32 * 32;
  }
  if (model.extra_tensor) file.tensor(model.extra_tensor, {8}, 0, offset), counts.push_back(8);
  for (const auto count : counts) {
    file.align();
    for (std::uint64_t i = 0; i < count; ++i) file.number(static_cast<float>(i));
  }
  return file.align();
}

class GgufImport : public ::testing::Test {
 protected:
  Status import(const Model& model) {
    const auto file = folder_.path() / "model.gguf";
    EXPECT_TRUE(write_file(file, file_of(model).bytes()));
    NoProgress progress;
    return import_gguf(file, out_, progress);
  }
  ErrorCode refusal(const Model& model) {
    const auto status = import(model);
    EXPECT_FALSE(status);
    EXPECT_EQ(list_folder(folder_.path()).value(), std::vector<std::string>{"model.gguf"});
    return status ? ErrorCode::internal : status.error().code;
  }
  Json json(const char* name) { return parse_json(read_text_file(out_ / name).value(), name).value(); }

  TemporaryFolder folder_ = TemporaryFolder::create().value();
  std::filesystem::path out_ = folder_.path() / "out";
};

TEST_F(GgufImport, a_folder_in_the_form_of_hugging_face_appears) {
  const auto status = import({});
  ASSERT_TRUE(status) << status.error().where << status.error().message;
  EXPECT_EQ(list_folder(folder_.path()).value(), (std::vector<std::string>{"model.gguf", "out"}));
  const auto config = json("config.json");
  EXPECT_EQ(config["architectures"], Json::array({"LlamaForCausalLM"}));
  EXPECT_EQ(config["num_key_value_heads"], 1);
  EXPECT_EQ(config["rms_norm_eps"], 1e-5);
  EXPECT_EQ(config["tie_word_embeddings"], true);
  EXPECT_EQ(json("tokenizer_config.json")["eos_token"], "<|end|>");
  const auto tokenizer = json("tokenizer.json");
  EXPECT_EQ(tokenizer["added_tokens"].size(), 2U);
  EXPECT_EQ(tokenizer["added_tokens"][1]["special"], false);
  EXPECT_EQ(tokenizer["pre_tokenizer"]["pretokenizers"][0]["type"], "Digits");
  EXPECT_TRUE(tokenizer["post_processor"].is_null());
}

TEST_F(GgufImport, rotary_rows_go_back_to_two_halves_and_other_rows_stay) {
  ASSERT_TRUE(import({}));
  const auto files = weights::ModelFiles::open_folder(out_).value();
  const auto first_column = [&](const char* name) {
    const auto place = files.find(name).value();
    Bytes bytes(place.tensor->bytes);
    EXPECT_TRUE(place.file->read(*place.tensor, bytes));
    std::vector<float> numbers(bytes.size() / 2);
    weights::dequantize(weights::GgufType::bf16, bytes, numbers);
    return std::vector<float>{numbers[0], numbers[4], numbers[8], numbers[12]};
  };
  EXPECT_EQ(first_column("model.layers.0.self_attn.q_proj.weight"), (std::vector<float>{0, 8, 4, 12}));
  EXPECT_EQ(first_column("model.layers.0.self_attn.k_proj.weight"), (std::vector<float>{0, 8, 4, 12}));
  EXPECT_EQ(first_column("model.layers.0.self_attn.v_proj.weight"), (std::vector<float>{0, 4, 8, 12}));
}

TEST_F(GgufImport, llama_3_gets_a_start_token_only_where_the_file_names_one) {
  EXPECT_EQ(refusal({.rule = "llama-bpe"}), ErrorCode::invalid_argument);
}

TEST_F(GgufImport, what_has_no_place_in_the_folder_is_refused_and_leaves_nothing) {
  EXPECT_EQ(refusal({.architecture = "qwen2"}), ErrorCode::unsupported);
  EXPECT_EQ(refusal({.tokenizer = "llama"}), ErrorCode::unsupported);
  EXPECT_EQ(refusal({.rule = "deepseek-llm"}), ErrorCode::unsupported);
  EXPECT_EQ(refusal({.extra_key = "llama.logit_scale"}), ErrorCode::unsupported);
  EXPECT_EQ(refusal({.extra_tensor = "blk.0.attn_q.bias"}), ErrorCode::unsupported);
  EXPECT_EQ(refusal({.extra_tensor = "rope_freqs.weight"}), ErrorCode::unsupported);
}

TEST_F(GgufImport, a_vocabulary_that_does_not_hold_together_is_refused) {
  EXPECT_EQ(refusal({.tokens = {"<|end|>", "a", "b", "ab", "a", "<user>"}}), ErrorCode::invalid_argument);
  EXPECT_EQ(refusal({.tokens = {"<|end|>", "a", "b", "ab"}}), ErrorCode::invalid_argument);
  EXPECT_EQ(refusal({.merges = {"b a"}}), ErrorCode::invalid_argument);
  EXPECT_EQ(refusal({.merges = {"ab"}}), ErrorCode::invalid_argument);
  EXPECT_EQ(refusal({.end_token = 6}), ErrorCode::invalid_argument);
}

TEST_F(GgufImport, a_stopped_import_leaves_nothing) {
  const auto file = folder_.path() / "model.gguf";
  ASSERT_TRUE(write_file(file, file_of({}).bytes()));
  NoProgress progress;
  int asked = 0;
  EXPECT_EQ(import_gguf(file, out_, progress, [&] { return ++asked == 5; }).error().code, ErrorCode::unavailable);
  EXPECT_EQ(list_folder(folder_.path()).value(), std::vector<std::string>{"model.gguf"});
}

TEST_F(GgufImport, what_a_killed_import_left_is_removed_by_the_next_but_not_what_one_writes) {
  const auto dead = folder_.path() / ".out.import-abcdef", live = folder_.path() / ".out.import-ghijkl", other = folder_.path() / ".another.import-abcdef";
  for (const auto& path : {dead, live, other}) {
    ASSERT_TRUE(make_folder(path));
    ASSERT_TRUE(write_file(path / "model.safetensors", "plain weights"));
  }
  Fd held(::open(live.c_str(), O_RDONLY | O_DIRECTORY));
  ASSERT_EQ(::flock(held.get(), LOCK_EX), 0);
  ASSERT_TRUE(import({}));
  EXPECT_EQ(list_folder(folder_.path()).value(), (std::vector<std::string>{".another.import-abcdef", ".out.import-ghijkl", "model.gguf", "out"}));
}

TEST_F(GgufImport, a_file_cut_anywhere_is_refused) {
  const auto bytes = file_of({}).bytes();
  const auto file = folder_.path() / "model.gguf";
  NoProgress progress;
  for (std::size_t length = 0; length < bytes.size(); length += 97) {
    ASSERT_TRUE(write_file(file, ByteView(bytes).first(length)));
    const auto status = import_gguf(file, out_, progress);
    ASSERT_FALSE(status) << length;
    EXPECT_TRUE(status.error().where.starts_with(file.string())) << status.error().where;
  }
  EXPECT_EQ(list_folder(folder_.path()).value(), std::vector<std::string>{"model.gguf"});
}

TEST_F(GgufImport, a_folder_that_holds_something_is_not_touched) {
  ASSERT_TRUE(make_folder(out_));
  ASSERT_TRUE(import({}));
  const auto before = read_file(out_ / "config.json", 1 << 20).value();
  EXPECT_EQ(import({}).error().code, ErrorCode::already_exists);
  EXPECT_EQ(read_file(out_ / "config.json", 1 << 20).value(), before);
}

}  // namespace
}  // namespace redoubt::stages::acquire
