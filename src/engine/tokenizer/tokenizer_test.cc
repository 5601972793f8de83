// SPDX-License-Identifier: Apache-2.0
// What the ids must be is judged against the tokenizers package in tests/oracle/tokenizer_test.py; here: limits, refusals and
// the small vocabulary that a person can follow.
#include "engine/tokenizer/tokenizer.h"

#include <gtest/gtest.h>

#include "base/utf8.h"
#include "engine/tokenizer/byte_level.h"
#include "engine/tokenizer/regex.h"

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
  EXPECT_NE(refusal("/model/type", "Tiktoken").find("Tiktoken"), std::string::npos);
  EXPECT_NE(refusal("/model/dropout", 0.1).find("dropout"), std::string::npos);
  EXPECT_NE(refusal("/normalizer", {{"type", "Rot13"}}).find("Rot13"), std::string::npos);
  EXPECT_NE(refusal("/pre_tokenizer", {{"type", "Syllables"}}).find("Syllables"), std::string::npos);
  EXPECT_NE(refusal("/decoder", {{"type", "CTC"}}).find("CTC"), std::string::npos);
  EXPECT_NE(refusal("/post_processor", {{"type", "Rot13"}}).find("Rot13"), std::string::npos);
  EXPECT_NE(refusal("/model/merges", {"a z"}).find("a z"), std::string::npos);
}

TEST(Tokenizer, refuses_nesting_and_tables_without_bounds) {
  const auto code = [](const char* pointer, Json value) {
    auto description = small_description();
    description[Json::json_pointer(pointer)] = std::move(value);
    const auto made = made_of(description);
    return made ? ErrorCode::internal : made.error().code;
  };
  Json deep = {{"type", "Lowercase"}};
  for (int i = 0; i < 20; ++i) deep = {{"type", "Sequence"}, {"normalizers", Json::array({deep})}};
  EXPECT_EQ(code("/normalizer", deep), ErrorCode::limit_exceeded);
  EXPECT_EQ(code("/normalizer", {{"type", "Precompiled"}, {"precompiled_charsmap", "AAAA"}}), ErrorCode::invalid_argument);
  // A trie that says it is longer than the table.
  EXPECT_EQ(code("/normalizer", {{"type", "Precompiled"}, {"precompiled_charsmap", "////fwAAAAA="}}), ErrorCode::invalid_argument);
  EXPECT_EQ(code("/post_processor", {{"type", "BertProcessing"}, {"sep", {"x", 99}}, {"cls", {"x", 0}}}), ErrorCode::invalid_argument);
}

TEST(Tokenizer, tells_how_much_text_a_token_can_stand_for_only_when_no_text_goes_missing) {
  Json vocabulary = Json::object();
  for (int byte = 0; byte < 256; ++byte) {
    const char raw = static_cast<char>(byte);
    std::string character;
    append_byte_level(character, {&raw, 1});
    vocabulary[character] = byte;
  }
  vocabulary["ab"] = 256;
  auto description = small_description();
  description["model"]["vocab"] = vocabulary;
  description["model"]["merges"] = {"a b"};
  EXPECT_EQ(made_of(description).value()->text_bytes_per_token_max(), 5u);  // "<end>"
  description["normalizer"] = {{"type", "Strip"}, {"strip_left", true}, {"strip_right", true}};
  EXPECT_EQ(made_of(description).value()->text_bytes_per_token_max(), std::nullopt);
  EXPECT_EQ(made_of(small_description()).value()->text_bytes_per_token_max(), std::nullopt);  // it lacks bytes
}

// Joins what a decoder says as tokens come, and shows where it held back.
std::string streamed(const Json& description, std::initializer_list<const char*> tokens) {
  const auto decoder = Decoder::parse(description, "test").value();
  DecoderStream stream(decoder);
  std::string out;
  for (const auto* token : tokens) out += stream.push(token) + "|";
  return out + stream.finish();
}

TEST(Decoder, holds_back_what_later_tokens_can_still_change) {
  const Json fallback = {{"type", "ByteFallback"}}, fuse = {{"type", "Fuse"}};
  EXPECT_EQ(streamed(fallback, {"a", "<0xC3>", "<0xA9>", "b"}), "a|||éb|");
  EXPECT_EQ(streamed(fallback, {"<0xC3>", "b", "<0xE2>", "<0x82>"}), "|\uFFFDb|||\uFFFD\uFFFD");
  const auto strip = [&](int start, int stop) {
    return Json{{"type", "Sequence"}, {"decoders", {fuse, {{"type", "Strip"}, {"content", " "}, {"start", start}, {"stop", stop}}}}};
  };
  EXPECT_EQ(streamed(strip(1, 0), {" ", " a", " "}), "| a| |");
  EXPECT_EQ(streamed(strip(0, 2), {"a ", "  ", " b ", " "}), "a| |   b||");
  EXPECT_EQ(streamed({{"type", "BPEDecoder"}, {"suffix", "</w>"}}, {"a</w>", "b", "c</w>"}), "|a |b|c");
  EXPECT_EQ(streamed({{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}}, {"##a", "##b", ".", "c"}), "##a|b|.| c|");
  EXPECT_EQ(streamed(Json(), {"a", "b"}), "a| b|");
  // A rule for whole tokens behind Fuse waits for all of it.
  EXPECT_EQ(streamed({{"type", "Sequence"}, {"decoders", {fuse, {{"type", "Replace"}, {"pattern", {{"String", "ab"}}}, {"content", "x"}}}}}, {"a", "b"}), "||x");
}

std::size_t matches_of(const char* pattern, std::string_view text) {
  std::vector<Range> matches;
  EXPECT_TRUE(Regex::compile(pattern, "test").value().find_all(text, matches));
  return matches.size();
}

TEST(Regex, spells_out_what_pcre2_and_oniguruma_see_differently) {
  EXPECT_EQ(matches_of(R"(\s)", "\u180e"), 0u);
  EXPECT_EQ(matches_of(R"(\s)", "\u3000\u0085"), 2u);
  EXPECT_EQ(matches_of(R"(\p{L})", "\U0001E030"), 1u);
  EXPECT_EQ(matches_of(R"(\w)", "\u00b2_\u200d"), 2u);
  EXPECT_EQ(matches_of(R"((?=b))", "abab"), 2u);
  EXPECT_EQ(matches_of(R"([a-z&&[^b-y]])", "abyz"), 2u);
  EXPECT_EQ(matches_of(R"(a{,2})", "aaa"), 2u);
}

TEST(Regex, refuses_what_it_does_not_rewrite) {
  for (const char* pattern : {R"(\X)", R"(\R)", R"(\K)", R"(\1)", "(?x:a b)", "(?~a)", "a{2}+", "(?i)ss", "(?i)é", "a(?i)b", R"(\p{Greek_Extended})", "[[:alpha:]]"})
    EXPECT_EQ(Regex::compile(pattern, "test").error().code, ErrorCode::unsupported) << pattern;
  for (const char* pattern : {"(", ")", "[", "[a", "[z-a]", "\\", R"(\x{110000})", R"(\x{d800})", "*"})
    EXPECT_EQ(Regex::compile(pattern, "test").error().code, ErrorCode::invalid_argument) << pattern;
  EXPECT_EQ(Regex::compile(std::string(20 << 10, 'a'), "test").error().code, ErrorCode::limit_exceeded);
}

TEST(Regex, stops_a_pattern_that_backtracks_without_end) {
  std::vector<Range> matches;
  const auto regex = Regex::compile("(a|aa)+$", "test").value();
  EXPECT_EQ(regex.find_all(std::string(64, 'a') + "!", matches).error().code, ErrorCode::limit_exceeded);
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
