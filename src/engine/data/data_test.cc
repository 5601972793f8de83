// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/json.h"
#include "engine/data/load_examples.h"

namespace redoubt::engine::data {
namespace {

// A byte-level tokenizer without merges: a token a byte, and two of a chat.
std::string tokenizer_json() {
  Json vocabulary = Json::object();
  const auto add = [&](const std::string& text) { vocabulary[text] = vocabulary.size(); };
  const auto utf8 = [](unsigned code) {
    return code < 0x80 ? std::string(1, static_cast<char>(code))
                       : std::string{static_cast<char>(0xc0 | (code >> 6)), static_cast<char>(0x80 | (code & 0x3f))};
  };
  // GPT-2's alphabet: a printable character for each byte.
  unsigned next = 256;
  for (unsigned byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    add(utf8(printable ? byte : next++));
  }
  Json added = Json::array();
  for (const char* text : {"<|im_start|>", "<|im_end|>"}) {
    added.push_back({{"id", vocabulary.size() + added.size()},
                     {"content", text},
                     {"special", true},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false}});
  }
  const Json byte_level = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}};
  return Json({{"version", "1.0"},
               {"truncation", nullptr},
               {"padding", nullptr},
               {"added_tokens", added},
               {"normalizer", nullptr},
               {"pre_tokenizer", byte_level},
               {"post_processor", nullptr},
               {"decoder", byte_level},
               {"model",
                {{"type", "BPE"},
                 {"dropout", nullptr},
                 {"unk_token", nullptr},
                 {"continuing_subword_prefix", nullptr},
                 {"end_of_word_suffix", nullptr},
                 {"fuse_unk", false},
                 {"byte_fallback", false},
                 {"ignore_merges", false},
                 {"vocab", vocabulary},
                 {"merges", Json::array()}}}})
      .dump();
}

constexpr const char* kTemplate =
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

class LoadExamples : public ::testing::Test {
 protected:
  Result<std::vector<Example>> load(std::string_view lines, std::int64_t max_length = 1000) {
    EXPECT_TRUE(write_file(folder_.path() / "train.jsonl", lines));
    return load_examples(folder_.path() / "train.jsonl", *tokenizer_, &template_, max_length);
  }
  std::string text_of(const Example& e, std::size_t from) const {
    return tokenizer_->decode(std::span(e.ids).subspan(from), tokenizer::OnDecode::keep_special_tokens).value();
  }

  TemporaryFolder folder_ = TemporaryFolder::create().value();
  std::unique_ptr<tokenizer::Tokenizer> tokenizer_ = tokenizer::Tokenizer::parse(tokenizer_json(), "tokenizer.json").value();
  chat_template::ChatTemplate template_ =
      chat_template::ChatTemplate::parse(kTemplate, {.eos_token = "<|im_end|>"}, "t").value();
};

constexpr const char* kChat = R"({"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"two words"}]})";

TEST_F(LoadExamples, the_answer_is_all_that_the_template_writes_after_the_generation_prompt) {
  const auto examples = load(kChat).value();
  ASSERT_EQ(examples.size(), 1u);
  EXPECT_EQ(text_of(examples[0], static_cast<std::size_t>(examples[0].answer_start)), "two words<|im_end|>\n");
  EXPECT_EQ(examples[0].answer_words, 2u);
  EXPECT_EQ(examples[0].answer_bytes, 9u);
}

TEST_F(LoadExamples, a_completion_ends_with_the_end_token_and_a_text_is_all_answer) {
  const auto examples = load("{\"prompt\":\"ab\",\"completion\":\"cd\"}\n\n{\"text\":\"abc\"}\n").value();
  ASSERT_EQ(examples.size(), 2u);
  EXPECT_EQ(text_of(examples[0], 2), "cd<|im_end|>");
  EXPECT_EQ(examples[0].answer_start, 2);
  EXPECT_EQ(examples[1].answer_start, 1);
  EXPECT_EQ(examples[1].source_line, 3u);
}

TEST_F(LoadExamples, a_long_example_is_cut_off_and_one_without_an_answer_is_refused) {
  EXPECT_EQ(load(kChat, 40)->front().ids.size(), 32u);
  EXPECT_EQ(load(kChat, 30)->front().ids.size(), 30u);
  EXPECT_TRUE(load(kChat, 30)->front().truncated);
  EXPECT_FALSE(load(kChat)->front().truncated);
  EXPECT_FALSE(load(kChat, 20));
}

TEST_F(LoadExamples, a_bad_row_is_named_by_its_line) {
  for (const char* bad :
       {"{}", "[1]", "{\"prompt\":\"a\",\"completion\":\" \"}", "{\"prompt\":\"a\"}", "{\"messages\":[]}", "{\"text\":1}",
        "{", R"({"messages":[{"role":"user","content":"a"},{"role":"user","content":"b"}]})"}) {
    const auto examples = load(std::string(kChat) + "\n" + bad);
    ASSERT_FALSE(examples) << bad;
    EXPECT_NE(examples.error().where.find("train.jsonl: line 2"), std::string::npos) << examples.error().where;
  }
}

}  // namespace
}  // namespace redoubt::engine::data
