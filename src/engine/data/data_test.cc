// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

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
// The same with Transformers' marks: the answer and its end count, the newline after it does not.
constexpr const char* kMarked =
    "{% for m in messages %}{% if m['role'] == 'assistant' %}{{ '<|im_start|>assistant\n' }}{% generation %}{{ m['content'] + '<|im_end|>' }}{% endgeneration %}{{ '\n' }}"
    "{% else %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

std::vector<Example> all_of(const Examples& examples) {
  std::vector<Example> all;
  for (std::size_t i = 0; i < examples.size(); ++i) all.push_back(examples.read(i).value());
  return all;
}

class LoadExamples : public ::testing::Test {
 protected:
  Encoder encoder() const { return {*tokenizer_, &template_, {}, "<|im_end|>"}; }
  Result<Examples> load_stored(std::string_view lines, std::int64_t max_length = 1000, LossOn loss_on = LossOn::answer,
                               OnTooLong on_too_long = OnTooLong::truncate, const char* name = "train.jsonl") {
    EXPECT_TRUE(write_file(folder_.path() / name, lines));
    return load_examples({folder_.path() / name}, encoder(),
                         {max_length, loss_on, on_too_long, tokenizer_->vocabulary_size(), folder_.path()});
  }
  Result<std::vector<Example>> load(std::string_view lines, std::int64_t max_length = 1000, LossOn loss_on = LossOn::answer,
                                    OnTooLong on_too_long = OnTooLong::truncate, const char* name = "train.jsonl") {
    return all_of(TRY(load_stored(lines, max_length, loss_on, on_too_long, name)));
  }
  std::string text_of(const Example& e, std::size_t from) const {
    return tokenizer_->decode(std::span(e.ids).subspan(from), tokenizer::OnDecode::keep_special_tokens).value();
  }
  // The runs of tokens that count, as texts.
  std::vector<std::string> counted(const Example& e) const {
    std::vector<std::string> texts;
    for_each_counted(e, [&](std::int32_t begin, std::int32_t end) {
      const auto ids = std::span(e.ids).subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin));
      texts.push_back(tokenizer_->decode(ids, tokenizer::OnDecode::keep_special_tokens).value());
    });
    return texts;
  }

  TemporaryFolder folder_ = TemporaryFolder::create().value();
  std::unique_ptr<tokenizer::Tokenizer> tokenizer_ = tokenizer::Tokenizer::parse(tokenizer_json(), "tokenizer.json").value();
  chat_template::ChatTemplate template_ =
      chat_template::ChatTemplate::parse(kTemplate, {.eos_token = "<|im_end|>"}, "t").value();
};

constexpr const char* kChat = R"({"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"two words"}]})";
using Texts = std::vector<std::string>;

std::string turns(std::initializer_list<const char*> extras) {
  Json messages = Json::array();
  std::size_t i = 0;
  for (const char* extra : extras) {
    Json message = {{"role", i % 2 == 0 ? "user" : "assistant"}, {"content", std::string(1, static_cast<char>('a' + i))}};
    if (*extra) message.update(Json::parse(extra));
    messages.push_back(message);
    ++i;
  }
  return Json{{"messages", messages}}.dump();
}

TEST_F(LoadExamples, the_answer_is_all_that_the_template_writes_after_the_generation_prompt) {
  const auto examples = load(kChat).value();
  ASSERT_EQ(examples.size(), 1u);
  EXPECT_EQ(text_of(examples[0], static_cast<std::size_t>(examples[0].answer_start)), "two words<|im_end|>\n");
  EXPECT_EQ(examples[0].answer_words, 2u);
  EXPECT_EQ(examples[0].answer_bytes, 9u);
  EXPECT_TRUE(examples[0].counted.empty());
}

TEST_F(LoadExamples, a_completion_ends_with_the_end_token_and_a_text_is_all_answer) {
  const auto examples = load("{\"prompt\":\"ab\",\"completion\":\"cd\"}\n\n{\"text\":\"abc\"}\n").value();
  ASSERT_EQ(examples.size(), 2u);
  EXPECT_EQ(text_of(examples[0], 2), "cd<|im_end|>");
  EXPECT_EQ(examples[0].answer_start, 2);
  EXPECT_EQ(examples[1].answer_start, 1);
  EXPECT_EQ(examples[1].source_line, 3u);
}

TEST_F(LoadExamples, a_plain_text_gets_its_end_once_and_without_a_chat_template_too) {
  ASSERT_TRUE(write_file(folder_.path() / "train.jsonl", "{\"prompt\":\"ab\",\"completion\":\"cd\"}\n{\"text\":\"abc<|im_end|>\"}\n"));
  const LoadOptions options{100, LossOn::answer, OnTooLong::truncate, tokenizer_->vocabulary_size(), folder_.path()};
  const auto examples = all_of(load_examples({folder_.path() / "train.jsonl"}, {*tokenizer_, nullptr, {}, "<|im_end|>"}, options).value());
  EXPECT_EQ(text_of(examples[0], 0), "abcd<|im_end|>");
  EXPECT_EQ(text_of(examples[1], 0), "abc<|im_end|>");
  EXPECT_EQ(all_of(load_examples({folder_.path() / "train.jsonl"}, {*tokenizer_}, options).value())[0].ids.size(), 4u);
  const std::vector<std::int32_t> ends = {257, 256};
  EXPECT_EQ(end_of_text(*tokenizer_, "</s>", ends), "</s>");
  EXPECT_EQ(end_of_text(*tokenizer_, "", ends), "<|im_end|>");
  EXPECT_EQ(end_of_text(*tokenizer_, "", {}), "");
}

TEST_F(LoadExamples, which_turns_count_follows_the_option_and_the_marks) {
  const auto row = turns({"", "", "", ""});
  EXPECT_EQ(counted(load(row)->at(0)), (Texts{"d<|im_end|>\n"}));
  const auto answers = load(row, 1000, LossOn::answers)->at(0);
  EXPECT_EQ(counted(answers), (Texts{"b<|im_end|>\n", "d<|im_end|>\n"}));
  EXPECT_EQ(answers.answer_words, 2u);
  EXPECT_EQ(answers.answer_start, answers.counted[0].begin);
  const auto all = load(row, 1000, LossOn::all)->at(0);
  EXPECT_EQ(counted(all), Texts{text_of(all, 1)});
  EXPECT_EQ(all.answer_words, 4u);
  const auto left_out = turns({"", R"({"train":false})", "", R"({"weight":1})"});
  EXPECT_EQ(counted(load(left_out, 1000, LossOn::answers)->at(0)), (Texts{"d<|im_end|>\n"}));
  const auto marked = turns({R"({"train":true})", "", "", R"({"train":true})"});
  EXPECT_EQ(counted(load(marked, 1000, LossOn::marked)->at(0)), (Texts{"user\na<|im_end|>\n", "d<|im_end|>\n"}));
}

TEST_F(LoadExamples, marks_of_the_template_count_and_nothing_marked_is_refused) {
  const auto row = turns({"", "", "", ""});
  EXPECT_NE(load(row, 1000, LossOn::marked).error().message.find("marks"), std::string::npos);
  template_ = chat_template::ChatTemplate::parse(kMarked, {.eos_token = "<|im_end|>"}, "t").value();
  EXPECT_EQ(counted(load(row, 1000, LossOn::marked)->at(0)), (Texts{"b<|im_end|>", "d<|im_end|>"}));
  EXPECT_FALSE(load("{\"text\":\"abc\"}", 1000, LossOn::marked));
  EXPECT_FALSE(load(turns({"", R"({"train":false})"})));
}

TEST_F(LoadExamples, a_template_that_rewrites_earlier_turns_is_refused_where_they_count) {
  template_ = chat_template::ChatTemplate::parse(
                  "{% for m in messages %}[{{ m.role }}:{{ m.content if loop.last or m.role == 'user' else 'gone' }}]{% endfor %}"
                  "{% if add_generation_prompt %}[assistant:{% endif %}",
                  {}, "t").value();
  EXPECT_EQ(load(turns({"", "", "", ""}), 1000, LossOn::answers).error().code, ErrorCode::unsupported);
  EXPECT_EQ(counted(load(turns({"", "", "", ""}))->at(0)), (Texts{"d]"}));
}

TEST_F(LoadExamples, a_long_example_is_cut_off_and_one_without_an_answer_is_refused) {
  EXPECT_EQ(load(kChat, 40)->front().ids.size(), 32u);
  EXPECT_EQ(load(kChat, 30)->front().ids.size(), 30u);
  EXPECT_TRUE(load(kChat, 30)->front().truncated);
  EXPECT_FALSE(load(kChat)->front().truncated);
  EXPECT_FALSE(load(kChat, 20));
}

TEST_F(LoadExamples, a_long_example_is_refused_dropped_or_cut_as_configured_and_counted) {
  const std::string rows = std::string(kChat) + "\n{\"text\":\"abc\"}\n";
  EXPECT_EQ(load(rows, 30, LossOn::answer, OnTooLong::refuse).error().where, "train.jsonl: line 1");
  EXPECT_EQ(load(rows, 30, LossOn::answer, OnTooLong::refuse).error().code, ErrorCode::limit_exceeded);
  const auto dropped = load_stored(rows, 30, LossOn::answer, OnTooLong::drop).value();
  EXPECT_EQ(dropped.size(), 1u);
  EXPECT_EQ(dropped.counts().dropped, 1);
  EXPECT_EQ(load_stored(rows, 30).value().counts().truncated, 1);
  EXPECT_NE(load(kChat, 30, LossOn::answer, OnTooLong::drop).error().message.find("every row"), std::string::npos);
  EXPECT_EQ(load(rows, 30, LossOn::answer, OnTooLong::windows).error().where, "train.jsonl: line 1");
}

TEST_F(LoadExamples, a_long_text_goes_on_in_windows_that_predict_each_token_once) {
  const auto windows = load("{\"text\":\"abcdefghij\"}", 4, LossOn::answer, OnTooLong::windows).value();
  Texts texts, predicted;
  for (const auto& window : windows) {
    texts.push_back(text_of(window, 0));
    predicted.push_back(text_of(window, 1));
  }
  EXPECT_EQ(texts, (Texts{"abcd", "defg", "ghij", "j<|im_end|>"}));
  EXPECT_EQ(windows[0].answer_bytes, 10u);
  EXPECT_EQ(windows[1].answer_bytes, 0u);
  EXPECT_EQ(load("{\"text\":\"ab\"}", 1, LossOn::answer, OnTooLong::windows).error().where, "train.jsonl: line 1");
}

TEST_F(LoadExamples, a_table_and_an_instruction_are_read_as_the_same_completions) {
  const auto from_table = load("prompt,completion\n\"a,b\",\"c\nd\"\n", 1000, LossOn::answer, OnTooLong::truncate, "train.csv").value();
  const auto from_lines = load("{\"prompt\":\"a,b\",\"completion\":\"c\\nd\"}").value();
  EXPECT_EQ(from_table[0].ids, from_lines[0].ids);
  const auto instruction = load(R"({"instruction":"Do","input":"it","output":"done"})").value();
  EXPECT_TRUE(text_of(instruction[0], 0).ends_with("### Instruction:\nDo\n\n### Input:\nit\n\n### Response:\ndone<|im_end|>"));
  EXPECT_EQ(counted(instruction[0]), (Texts{"done<|im_end|>"}));
}

TEST_F(LoadExamples, what_was_stored_is_read_back_and_its_digest_tells_what_counts) {
  const auto rows = turns({"", "", "", ""}) + "\n" + kChat;
  const auto stored = load_stored(rows, 40, LossOn::answers).value();
  const Examples memory(all_of(stored));
  EXPECT_EQ(memory.digest(), stored.digest());
  EXPECT_EQ(memory.counts().tokens, stored.counts().tokens);
  EXPECT_EQ(stored.tokens(1), 32);
  EXPECT_NE(load_stored(rows, 40, LossOn::all)->digest(), stored.digest());
  EXPECT_TRUE(list_folder(folder_.path())->size() == 1) << "the examples' file has a name";
}

TEST_F(LoadExamples, memory_does_not_grow_with_the_file) {
  const auto line = R"({"prompt":"abcdefghijklmnopqrstuvwxyz","completion":")" + std::string(2000, 'x') + "\"}\n";
  std::string rows;
  for (int i = 0; i < 8'000; ++i) rows += line;  // 16 MB of text, 65 MB of tokens
  ASSERT_TRUE(write_file(folder_.path() / "train.jsonl", rows));
  rows = {};
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const std::string status = read_text_file("/proc/self/statm").value();
    const auto pages = std::strtoull(status.c_str(), nullptr, 10);
    const rlim_t limit = pages * static_cast<rlim_t>(sysconf(_SC_PAGESIZE)) + (12u << 20);
    const rlimit bound{limit, limit};
    setrlimit(RLIMIT_AS, &bound);
    const auto examples = load_examples({folder_.path() / "train.jsonl"}, encoder(),
                                        {4096, LossOn::answer, OnTooLong::truncate, tokenizer_->vocabulary_size(), folder_.path()});
    _exit(examples && examples->size() == 8'000 && examples->read(7'999)->ids.size() == 2027 ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_F(LoadExamples, a_row_that_the_template_refuses_is_named_by_its_line) {
  template_ = chat_template::ChatTemplate::parse("{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{{ m.content }}{% endfor %}", {}, "t").value();
  const auto refused = load(std::string(kChat) + R"(
{"messages":[{"role":"system","content":"s"},{"role":"user","content":"q"},{"role":"assistant","content":"a"}]})");
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("System role not supported"), std::string::npos);
  EXPECT_TRUE(refused.error().where.starts_with("train.jsonl: line 2; t")) << refused.error().where;
}

TEST_F(LoadExamples, a_bad_row_is_named_by_its_line) {
  for (const char* bad :
       {"{}", "[1]", "{\"prompt\":\"a\",\"completion\":\" \"}", "{\"prompt\":\"a\"}", "{\"messages\":[]}", "{\"text\":1}",
        "{", R"({"messages":[{"role":"user","content":"a"},{"role":"user","content":"b"}]})", R"({"question":"q","choices":["a","b"],"answer":0})",
        R"({"prompt":"q","chosen":"a","rejected":"b"})"}) {
    const auto examples = load(std::string(kChat) + "\n" + bad);
    ASSERT_FALSE(examples) << bad;
    EXPECT_NE(examples.error().where.find("train.jsonl: line 2"), std::string::npos) << examples.error().where;
  }
}

TEST_F(LoadExamples, a_channel_is_all_data_files_in_it_sorted_whatever_their_names) {
  const auto put = [&](const std::string& name) { ASSERT_TRUE(write_file(folder_.path() / name, kChat)); };
  EXPECT_EQ(channel_files(folder_.path() / "none", "train").error().code, ErrorCode::not_found);
  put("README.md");
  EXPECT_EQ(channel_files(folder_.path(), "train").error().code, ErrorCode::not_found);
  for (const char* name : {"train.jsonl", "part-10.jsonl", "customers 2024.csv", "part-2.jsonl", ".part.jsonl"}) put(name);
  ASSERT_TRUE(make_folder(folder_.path() / "z.jsonl"));
  const auto files = channel_files(folder_.path(), "train");
  ASSERT_TRUE(files);
  std::vector<std::string> names;
  for (const auto& file : *files) names.push_back(file.filename());
  EXPECT_EQ(names, (std::vector<std::string>{"customers 2024.csv", "part-10.jsonl", "part-2.jsonl", "train.jsonl"}));
  put("more.parquet");
  EXPECT_EQ(channel_files(folder_.path(), "train").error().code, ErrorCode::unsupported);
}

TEST_F(LoadExamples, several_files_are_one_after_the_other_and_each_place_names_its_file) {
  ASSERT_TRUE(write_file(folder_.path() / "b.jsonl", std::string(kChat) + "\n\n" + kChat + "\n"));
  ASSERT_TRUE(write_file(folder_.path() / "a.csv", "prompt,completion\na,b\n"));
  ASSERT_TRUE(write_file(folder_.path() / "c.jsonl", "\n"));
  const std::vector files = {folder_.path() / "a.csv", folder_.path() / "b.jsonl", folder_.path() / "c.jsonl"};
  const LoadOptions options{100, LossOn::answer, OnTooLong::truncate, tokenizer_->vocabulary_size(), folder_.path()};
  const auto examples = load_examples(files, encoder(), options);
  ASSERT_TRUE(examples) << examples.error().message;
  ASSERT_EQ(examples->size(), 3u);
  std::string places;
  for (std::size_t i = 0; i < 3; ++i) places += place_of(*examples->read(i), "data") + "; ";
  EXPECT_EQ(places, "line 2 of a.csv; line 1 of b.jsonl; line 3 of b.jsonl; ");
  EXPECT_EQ(place_of(*load_examples({files[1]}, encoder(), options)->read(0), "data"), "line 1 of data");
  ASSERT_TRUE(write_file(folder_.path() / "c.jsonl", "{}\n"));
  EXPECT_EQ(load_examples(files, encoder(), options).error().where, "c.jsonl: line 1");
}

TEST_F(LoadExamples, a_tokenizer_of_another_vocabulary_and_a_file_without_rows_are_refused) {
  ASSERT_TRUE(write_file(folder_.path() / "train.jsonl", kChat));
  const auto other = load_examples({folder_.path() / "train.jsonl"}, encoder(), {100, LossOn::answer, OnTooLong::truncate, 60, folder_.path()});
  EXPECT_EQ(other.error().where, "train.jsonl: line 1");
  EXPECT_NE(other.error().message.find("vocabulary"), std::string::npos);
  EXPECT_FALSE(load("\n"));
}

}  // namespace
}  // namespace redoubt::engine::data
