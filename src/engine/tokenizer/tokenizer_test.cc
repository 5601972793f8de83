// SPDX-License-Identifier: Apache-2.0
// What the ids must be is judged against the tokenizers package in tests/oracle/tokenizer_test.py; here: limits, refusals and
// the small vocabulary that a person can follow.
#include "engine/tokenizer/tokenizer.h"

#include <gtest/gtest.h>

#include "engine/tokenizer/utf8.h"

namespace redoubt::engine::tokenizer {
namespace {

using Ids = std::vector<std::int32_t>;

Json small_description() {
  Json vocabulary = Json::object();
  int next = 0;
  for (const char* token : {"a", "b", "c", "ab", "abc", "bc", "Ġ", "Ġa", "Ã", "©", "Ã©"}) vocabulary[token] = next++;
  return Json{{"version", "1.0"},
              {"added_tokens", Json::array({{{"id", 11}, {"content", "<end>"}, {"single_word", false}, {"lstrip", false},
                                             {"rstrip", false}, {"normalized", false}, {"special", true}}})},
              {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}}},
              {"decoder", {{"type", "ByteLevel"}}},
              {"model", {{"type", "BPE"}, {"vocab", vocabulary},
                         {"merges", {"b c", "a b", "ab c", "Ġ a", "Ã ©"}}}}};
}

Result<std::unique_ptr<Tokenizer>> made_of(const Json& description) { return Tokenizer::parse(description.dump(), "test"); }

TEST(Tokenizer, merges_the_lowest_rank_first_and_finds_added_tokens) {
  const auto tokenizer = made_of(small_description());
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  EXPECT_EQ((*tokenizer)->encode("abc").value(), (Ids{0, 5}));
  EXPECT_EQ((*tokenizer)->encode("ab ab<end>é").value(), (Ids{3, 6, 3, 11, 10}));
  EXPECT_EQ((*tokenizer)->decode(Ids{3, 6, 3, 11, 10}).value(), "ab abé");
  EXPECT_EQ((*tokenizer)->decode(Ids{11}, OnDecode::keep_special_tokens).value(), "<end>");
  EXPECT_EQ((*tokenizer)->decode(Ids{8}).value(), "\xEF\xBF\xBD");
  EXPECT_EQ((*tokenizer)->id_of("<end>"), 11);
  EXPECT_EQ((*tokenizer)->vocabulary_size(), 12);
}

TEST(Tokenizer, refuses_bad_text_and_bad_ids) {
  const auto tokenizer = made_of(small_description()).value();
  EXPECT_EQ(tokenizer->encode("a\xFF").error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(tokenizer->encode("\xED\xA0\x80").error().code, ErrorCode::invalid_argument);  // a surrogate
  EXPECT_EQ(tokenizer->encode(std::string(kTextBytesMax + 1, 'a')).error().code, ErrorCode::limit_exceeded);
  EXPECT_EQ(tokenizer->decode(Ids{12}).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(tokenizer->decode(Ids{-1}).error().code, ErrorCode::invalid_argument);
}

TEST(Tokenizer, takes_a_long_word_without_blowing_up) {
  const auto tokenizer = made_of(small_description()).value();
  EXPECT_EQ(tokenizer->encode(std::string(1 << 20, 'a')).value().size(), 1u << 20);
  std::string words;
  for (int i = 0; i < (1 << 18); ++i) words += "abc";
  EXPECT_EQ(tokenizer->encode(words).value().size(), 1u << 19);
}

TEST(Tokenizer, refuses_what_it_does_not_compute_by_name) {
  const auto refusal = [](const char* pointer, Json value) {
    auto description = small_description();
    description[Json::json_pointer(pointer)] = std::move(value);
    const auto made = made_of(description);
    EXPECT_FALSE(made) << pointer;
    return made ? std::string() : made.error().message;
  };
  EXPECT_NE(refusal("/model/type", "Unigram").find("Unigram"), std::string::npos);
  EXPECT_NE(refusal("/model/byte_fallback", true).find("byte_fallback"), std::string::npos);
  EXPECT_NE(refusal("/normalizer", {{"type", "NFKC"}}).find("NFKC"), std::string::npos);
  EXPECT_NE(refusal("/pre_tokenizer", {{"type", "Metaspace"}}).find("Metaspace"), std::string::npos);
  EXPECT_NE(refusal("/decoder", {{"type", "WordPiece"}}).find("WordPiece"), std::string::npos);
  EXPECT_NE(refusal("/post_processor", {{"type", "BertProcessing"}}).find("BertProcessing"), std::string::npos);
  EXPECT_NE(refusal("/truncation", {{"max_length", 4}}).find("truncation"), std::string::npos);
  EXPECT_NE(refusal("/model/merges", {"a z"}).find("a z"), std::string::npos);
}

TEST(Regex, spells_out_what_pcre2_and_oniguruma_see_differently) {
  const auto space = Regex::compile(R"(\s)", "test").value();
  EXPECT_TRUE(space.find_all("\u180e").value().empty());
  EXPECT_EQ(space.find_all("\u3000\u0085").value().size(), 2u);
  EXPECT_EQ(Regex::compile(R"(\p{L})", "test").value().find_all("\U0001E030").value().size(), 1u);
  EXPECT_EQ(Regex::compile(R"(\w+)", "test").error().code, ErrorCode::unsupported);
  EXPECT_EQ(Regex::compile("(", "test").error().code, ErrorCode::invalid_argument);
}

TEST(Utf8, streams_hold_back_what_may_still_be_completed) {
  Utf8Stream stream;
  EXPECT_EQ(stream.push("a\xF0\x9F"), "a");
  EXPECT_EQ(stream.push("\x98\x80"), "\U0001F600");
  EXPECT_EQ(stream.push("\xE2\x82"), "");
  EXPECT_EQ(stream.push("x"), "\xEF\xBF\xBDx");
  EXPECT_EQ(stream.push("\xC3"), "");
  EXPECT_EQ(stream.finish(), "\xEF\xBF\xBD");
  EXPECT_EQ(stream.finish(), "");
}

}  // namespace
}  // namespace redoubt::engine::tokenizer
