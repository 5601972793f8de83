// SPDX-License-Identifier: Apache-2.0
#include "engine/generate/constraint.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "base/json.h"
#include "json_schema/compile.h"

namespace redoubt::engine::generate {
namespace {

// Every byte as a token, some longer ones, a token twice, one that is a control token, and an end token.
std::unique_ptr<tokenizer::Tokenizer> bytes_and_words() {
  Json vocabulary = Json::object();
  std::int32_t id = 0;
  // GPT-2's way to write any byte: printable ones as they are, the others from U+0100 on.
  int next = 256;
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
    const auto c = static_cast<char32_t>(printable ? byte : next++);
    std::string text;
    if (c < 0x80) text += static_cast<char>(c);
    else text += {static_cast<char>(0xC0 | c >> 6), static_cast<char>(0x80 | (c & 0x3F))};
    vocabulary[text] = id++;
  }
  for (const char* word : {"{\"", "\":", "true", "tru", "null}", "},{", "[[", "]]", "\",\"", "abc", "12", "345", "\\u00"}) vocabulary[word] = id++;
  Json added = Json::array();
  for (const char* special : {"<end>", "<other>"})
    added.push_back({{"id", id++}, {"content", special}, {"single_word", false}, {"lstrip", false}, {"rstrip", false}, {"normalized", false}, {"special", true}});
  const Json description = {{"added_tokens", added}, {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}}, {"decoder", {{"type", "ByteLevel"}}},
                            {"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", Json::array()}}}};
  return tokenizer::Tokenizer::parse(description.dump(), "bytes").value();
}

class ConstraintTest : public testing::Test {
 protected:
  std::unique_ptr<tokenizer::Tokenizer> tokenizer_ = bytes_and_words();
  std::int32_t end_ = *tokenizer_->id_of("<end>");
  TokenTrees trees_ = make_token_trees(*tokenizer_, {end_}, tokenizer_->vocabulary_size() + 5).value();

  std::set<std::int32_t> allowed(Constraint& constraint) const {
    std::set<std::int32_t> out;
    const auto mask = constraint.allowed().value();
    for (std::size_t i = 0; i < mask.size() * 64; ++i)
      if (mask[i / 64] >> (i % 64) & 1) out.insert(static_cast<std::int32_t>(i));
    return out;
  }
  // What is allowed, found the slow way: each token's bytes one after the other.
  std::set<std::int32_t> expected(const std::shared_ptr<const json_schema::Grammar>& grammar, const std::string& so_far) const {
    json_schema::Machine machine(grammar);
    auto at = machine.start();
    for (const char byte : so_far) at = machine.next(at, static_cast<std::uint8_t>(byte));
    std::set<std::int32_t> out;
    for (std::int32_t id = 0; id < tokenizer_->vocabulary_size(); ++id) {
      auto then = at;
      for (const char byte : tokenizer_->token_bytes(id)) then = machine.next(then, static_cast<std::uint8_t>(byte));
      if (!tokenizer_->token_bytes(id).empty() && !tokenizer_->is_special(id) && then != json_schema::Machine::kDead) out.insert(id);
    }
    if (machine.accepts(at)) out.insert(end_);
    return out;
  }
};

TEST_F(ConstraintTest, allows_exactly_the_tokens_whose_bytes_the_schema_lets_through) {
  std::mt19937 random(20261128);
  for (const char* schema : {R"({"type":"object"})", R"({"type":"array","items":{"enum":["abc","true",12345,true,null]},"maxItems":4})",
                             R"({"type":"object","properties":{"abc":{"type":"boolean"},"x":{"type":"string","maxLength":4}},"required":["abc"],"additionalProperties":false})"}) {
    const auto grammar = *json_schema::compile_schema(schema);
    for (int round = 0; round < 20; ++round) {
      Constraint constraint(trees_, *tokenizer_, grammar);
      std::string text;
      for (int i = 0; i < 30 && !constraint.finished(); ++i) {
        const auto may_come = allowed(constraint);
        ASSERT_EQ(may_come, expected(grammar, text)) << schema << " after " << text;
        std::vector<std::int32_t> choices(may_come.begin(), may_come.end());
        const auto token = choices[random() % choices.size()];
        if (token == end_) break;
        text += tokenizer_->token_bytes(token);
        constraint.accept(token);
      }
    }
  }
}

TEST_F(ConstraintTest, after_a_whole_text_only_the_end_is_left) {
  Constraint constraint(trees_, *tokenizer_, *json_schema::compile_schema(R"({"const":true})"));
  const auto first = allowed(constraint);
  EXPECT_TRUE(first.contains(*tokenizer_->id_of("true")) && first.contains(*tokenizer_->id_of("tru")) && !first.contains(end_));
  constraint.accept(*tokenizer_->id_of("tru"));
  EXPECT_FALSE(constraint.finished());
  EXPECT_EQ(allowed(constraint), (std::set<std::int32_t>{'e'}));
  constraint.accept('e');
  EXPECT_TRUE(constraint.finished());
  EXPECT_EQ(allowed(constraint), (std::set<std::int32_t>{end_}));
}

TEST_F(ConstraintTest, a_long_answer_keeps_within_its_memory_and_stays_right) {
  const auto grammar = *json_schema::compile_schema(R"({"type":"string","maxLength":3000})");
  Constraint constraint(trees_, *tokenizer_, grammar);
  constraint.accept('"');
  for (int i = 0; i < 999; ++i) {
    ASSERT_TRUE(allowed(constraint).contains(*tokenizer_->id_of("abc")));
    constraint.accept(*tokenizer_->id_of("abc"));
  }
  constraint.accept('x'), constraint.accept('y');
  EXPECT_FALSE(allowed(constraint).contains(*tokenizer_->id_of("abc")));
  EXPECT_TRUE(allowed(constraint).contains('z'));
  constraint.accept('z');
  EXPECT_EQ(allowed(constraint), (std::set<std::int32_t>{'"'}));
}

TEST_F(ConstraintTest, a_vocabulary_that_cannot_write_it_is_told) {
  const Json description = {{"added_tokens", Json::array()}, {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}}, {"decoder", {{"type", "ByteLevel"}}},
                            {"model", {{"type", "BPE"}, {"vocab", {{"a", 0}}}, {"merges", Json::array()}}}};
  const auto small = tokenizer::Tokenizer::parse(description.dump(), "small").value();
  Constraint constraint(make_token_trees(*small, {}, 1).value(), *small, json_schema::any_object());
  EXPECT_EQ(constraint.allowed().error().code, ErrorCode::unsupported);
  EXPECT_EQ(constraint.allowed().error().where, "response_format");
}

// A vocabulary under that decoder, and its text as the stream tells it.
struct Written {
  explicit Written(std::vector<std::string> words, const char* decoder) {
    Json vocabulary = Json::object();
    for (std::size_t i = 0; i < words.size(); ++i) vocabulary[words[i]] = i;
    const Json description = {{"added_tokens", Json::array()}, {"decoder", Json::parse(decoder)}, {"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", Json::array()}}}};
    tokenizer = tokenizer::Tokenizer::parse(description.dump(), "written").value();
  }
  // Whether the schema lets these tokens come one after the other, and what they write.
  std::pair<bool, std::string> say(const char* schema, const std::vector<std::string>& tokens) const {
    Constraint constraint(make_token_trees(*tokenizer, {}, tokenizer->vocabulary_size()).value(), *tokenizer, *json_schema::compile_schema(schema));
    auto stream = tokenizer->stream();
    std::string text;
    for (const auto& token : tokens) {
      const auto id = *tokenizer->id_of(token);
      const auto mask = constraint.allowed();
      if (!mask || !((*mask)[static_cast<std::size_t>(id) / 64] >> (id % 64) & 1)) return {false, text};
      constraint.accept(id);
      text += stream.push(id);
    }
    return {constraint.finished(), text + stream.finish()};
  }
  std::unique_ptr<tokenizer::Tokenizer> tokenizer;
};

constexpr const char* kLlama = R"({"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},{"type":"ByteFallback"},{"type":"Fuse"},
                                   {"type":"Strip","content":" ","start":1,"stop":0}]})";
constexpr const char* kMetaspace = R"({"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":true})";

TEST(Constraint, the_first_token_writes_what_the_stream_tells_of_it) {
  for (const char* decoder : {kLlama, kMetaspace}) {
    const Written written({"▁\"", "\"", "▁", "a", "▁\"a\"", "b"}, decoder);
    const char* one = R"({"const":"a"})";
    EXPECT_EQ(written.say(one, {"▁\"", "a", "\""}), std::pair(true, std::string("\"a\"")));
    EXPECT_EQ(written.say(one, {"▁", "\"", "a", "\""}), std::pair(true, std::string("\"a\"")));
    EXPECT_EQ(written.say(one, {"▁\"a\""}), std::pair(true, std::string("\"a\"")));
    EXPECT_FALSE(written.say(one, {"\"", "▁", "a"}).first);  // in a text it is a space
    EXPECT_EQ(written.say(R"({"const":" a"})", {"\"", "▁", "a", "\""}), std::pair(true, std::string("\" a\"")));
  }
}

TEST(Constraint, words_have_no_space_before_the_first_and_a_continuation_is_none_there) {
  const Written written({"1", "##2", "##1", "2"}, R"({"type":"WordPiece","prefix":"##","cleanup":false})");
  EXPECT_FALSE(written.say(R"({"const":1})", {"##1"}).first);  // it would write ##1
  EXPECT_EQ(written.say(R"({"const":12})", {"1", "##2"}), std::pair(true, std::string("12")));
  const Written spaced({"true", "[", "]"}, "null");
  EXPECT_EQ(spaced.say(R"({"const":true})", {"true"}), std::pair(true, std::string("true")));
}

TEST(Constraint, single_bytes_do_not_make_what_the_decoder_would_write_otherwise) {
  const std::vector<std::string> words = {"\"", "<0xE2>", "<0x96>", "<0x81>", "<0x82>"};
  const std::vector<std::string> mark = {"\"", "<0xE2>", "<0x96>", "<0x81>", "\""}, other = {"\"", "<0xE2>", "<0x96>", "<0x82>", "\""};
  const Written before(words, kLlama);  // marks are looked for before bytes are joined
  EXPECT_EQ(before.say(R"({"const":"▁"})", mark), std::pair(true, std::string("\"▁\"")));
  const Written after(words, R"({"type":"Sequence","decoders":[{"type":"ByteFallback"},{"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":true}]})");
  EXPECT_FALSE(after.say(R"({"const":"▁"})", mark).first);
  EXPECT_EQ(after.say(R"({"const":"▂"})", other), std::pair(true, std::string("\"▂\"")));
}

TEST(Constraint, a_decoder_that_rewrites_the_whole_text_is_refused) {
  const Written written({"a"}, R"({"type":"Sequence","decoders":[{"type":"Fuse"},{"type":"Replace","pattern":{"String":"aa"},"content":"b"}]})");
  const auto trees = make_token_trees(*written.tokenizer, {}, 1);
  EXPECT_EQ(trees.error().code, ErrorCode::unsupported);
  EXPECT_EQ(trees.error().where, "response_format");
}

}  // namespace
}  // namespace redoubt::engine::generate
