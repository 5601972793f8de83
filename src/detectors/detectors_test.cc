// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <random>
#include <regex>

#include "detectors/anchors.h"
#include "detectors/byte_scan.h"
#include "detectors/context.h"
#include "detectors/detectors.h"
#include "detectors/hidden.h"
#include "detectors/json_text.h"
#include "detectors/numbers.h"
#include "detectors/redact.h"
#include "detectors/text_shape.h"

namespace redoubt::detectors {
namespace {

TEST(OffsetMap, leads_through_an_escape_in_an_escape_to_the_file) {
  const std::string line = R"({"a":"{\"mail\": \"x jane\\u0040b.org\"}"})";
  const auto literals = string_literals(line);
  ASSERT_EQ(literals.size(), 4u);  // "a", the text, and the two in it
  const auto& inner = literals.back();
  EXPECT_EQ(inner.text, "x jane@b.org");
  EXPECT_EQ(inner.places.raw(2), line.find("jane"));
  EXPECT_EQ(inner.places.raw(6), line.find("\\\\u0040"));
  EXPECT_EQ(inner.places.raw(7), line.find("b.org"));
  EXPECT_EQ(inner.places.raw(inner.text.size()), line.find("b.org") + 5);
}

TEST(Anchors, are_found_whatever_their_case_and_inside_each_other) {
  Anchors anchors;
  const std::vector<std::string> words = {"he", "she", "hers", "key-", "his"};
  for (std::size_t i = 0; i < words.size(); ++i) anchors.add(words[i], i);
  anchors.build();
  EXPECT_EQ(anchors.find("uSHErs").to_ulong(), 0b00111u);
  EXPECT_EQ(anchors.find("KEY-key").to_ulong(), 0b01000u);
  EXPECT_TRUE(anchors.find("").none());
}

TEST(Anchors, are_found_wherever_they_stand_in_a_long_text) {
  Anchors anchors;
  const std::vector<std::string> words = {"key", "private key", "-----begin", "y"};
  for (std::size_t i = 0; i < words.size(); ++i) anchors.add(words[i], i);
  anchors.build();
  for (std::size_t size : {40u, 103u, 104u, 105u, 300u, 1001u}) {
    for (std::size_t at = 0; at + 11 <= size; ++at) {
      std::string text(size, '.');
      text.replace(at, 11, "Private Key");
      EXPECT_EQ(anchors.find(text).to_ulong(), 0b1011u) << size << " " << at;
      text.replace(at, 11, "Private_Kez");
      EXPECT_TRUE(anchors.find(text).none()) << size << " " << at;
    }
  }
}

TEST(Anchors, are_those_that_a_search_for_each_finds) {
  Anchors anchors;
  const std::vector<std::string> words = {"a", "ab", "bca", "cab", "ccbb", "abcabca", "bb"};
  for (std::size_t i = 0; i < words.size(); ++i) anchors.add(words[i], i);
  anchors.build();
  std::mt19937 draw(11);
  for (int round = 0; round < 3000; ++round) {
    std::string text(draw() % 250, 'x');
    for (int letters = static_cast<int>(draw() % 30); letters > 0 && !text.empty(); --letters) text[draw() % text.size()] = "abc"[draw() % 3];
    if (round % 3 == 0 && !text.empty()) text.insert(draw() % text.size(), words[draw() % words.size()] + words[draw() % words.size()]);
    AnchorOwners expected;
    for (std::size_t i = 0; i < words.size(); ++i) expected[i] = text.find(words[i]) != text.npos;
    EXPECT_EQ(anchors.find(text), expected) << text;
  }
}

// The most parts of a text that fit an expression, one after the other, in one of its matches.
unsigned longest(const std::string& text, const std::string& expression, const std::string& part) {
  const std::regex whole(expression), counted(part);
  std::ptrdiff_t most = 0;
  for (std::sregex_iterator at(text.begin(), text.end(), whole), end; at != end; ++at) {
    const std::string match = at->str();
    most = std::max(most, std::distance(std::sregex_iterator(match.begin(), match.end(), counted), std::sregex_iterator()));
  }
  return static_cast<unsigned>(most);
}

TEST(TextShape, is_what_expressions_say) {
  std::mt19937 draw(7);
  const std::vector<std::string> alphabets = {"aAfz09.:-@_ (\n", "0123456789 -.a", "abcdef0123:", "aB1_./+=~- ", "abcdefghiJKLMNOP12@.", "AB12", "3f-.:"};
  for (int round = 0; round < 3000; ++round) {
    const auto& alphabet = alphabets[draw() % alphabets.size()];
    std::string text(draw() % 200, ' ');
    for (auto& c : text) c = alphabet[draw() % alphabet.size()];
    const TextShape shape = shape_of(text);
    EXPECT_EQ(shape.digits, longest(text, "[0-9](?:[-+ ./()]{0,2}[0-9])*", "[0-9]")) << text;
    EXPECT_EQ(shape.shape.mixed_run, longest(text, "[a-zA-Z]+[0-9][a-zA-Z0-9]*|[0-9]+[a-zA-Z][a-zA-Z0-9]*", "[^]")) << text;
    EXPECT_EQ(shape.shape.value_run, longest(text, "[A-Za-z0-9_./+=~-]{16,}", "[^]")) << text;
    EXPECT_EQ(shape.shape.hex_colons, longest(text, ":(?:[0-9A-Fa-f]{0,4}:)*", ":")) << text;
    EXPECT_EQ(shape.shape.hex_dots, longest(text, "[0-9A-Fa-f]\\.(?:[0-9A-Fa-f]{1,4}\\.)*", "\\.")) << text;
    EXPECT_EQ(shape.shape.hex_dashes, longest(text, "[0-9A-Fa-f]-(?:[0-9A-Fa-f]{1,4}-)*", "-")) << text;
    EXPECT_EQ(shape.shape.digits_colon > 0, std::regex_search(text, std::regex("[0-9]{8}:"))) << text;
    EXPECT_EQ(shape.shape.token_dots > 0, std::regex_search(text, std::regex("\\.[^]{6}\\."))) << text;
    EXPECT_EQ(shape.shape.capitals_digits > 0, std::regex_search(text, std::regex("[A-Z]{2}[0-9]{2}"))) << text;
    EXPECT_EQ(shape.shape.addresses > 0, std::regex_search(text, std::regex("[A-Za-z0-9_-]@[A-Za-z0-9]"))) << text;
    const bool random = std::regex_search(text, std::regex("(?=[A-Za-z0-9_./+=~-]{16})(?:[0-9_./+=~-]*[A-Za-z][A-Za-z_./+=~-]*[0-9]|[A-Za-z_./+=~-]*[0-9][0-9_./+=~-]*[A-Za-z])"));
    EXPECT_TRUE(!random || shape.shape.random_run >= kValueRun) << text;
  }
}

TEST(TextShape, a_run_that_turns_from_small_letters_to_others_and_back_is_random_without_a_digit) {
  EXPECT_EQ(shape_of("token = aBcDeFgHiJkLmNoPqRsT").shape.random_run, 20u);
  EXPECT_EQ(shape_of("token = a_name_that_is_long_").shape.random_run, 20u);
  EXPECT_EQ(shape_of("abcdefghijklmnopqrstuvwxyz").shape.random_run, 0u);
  EXPECT_EQ(shape_of("--------------------------").shape.random_run, 0u);
}

TEST(ByteScan, ends_runs_where_a_look_at_each_byte_does) {
  std::mt19937 draw(3);
  for (int round = 0; round < 2000; ++round) {
    std::string text(draw() % 100, 'x');
    for (int changes = static_cast<int>(draw() % 4); changes > 0 && !text.empty(); --changes) text[draw() % text.size()] = static_cast<char>(draw());
    const auto first = [&](const auto& ends) { return static_cast<std::size_t>(std::find_if(text.begin(), text.end(), ends) - text.begin()); };
    EXPECT_EQ(json_run_end(text, 0), first([](unsigned char c) { return c == '"' || c == '\\' || c < 0x20; })) << text;
    EXPECT_EQ(printable_run_end(text, 0), first([](unsigned char c) { return (c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c > 0x7e; })) << text;
    EXPECT_EQ(is_ascii(text), first([](unsigned char c) { return c > 0x7f; }) == text.size()) << text;
  }
}

TEST(Hidden, what_scripts_need_is_not_hidden) {
  const auto kinds = [](std::string_view text) {
    std::vector<Match> matches;
    find_hidden(text, matches);
    std::string out;
    for (const auto& match : matches) out += std::string(match.kind) + " ";
    return out;
  };
  // Emoji with joiners and selectors, Persian with a non-joiner, the flag of Scotland.
  for (const char* text : {"\U0001F469\u200d\U0001F4BB \u2764\ufe0f\u200d\U0001F525", "می\u200cخواهم", "\U0001F3F4\U000E0067\U000E0062\U000E0073\U000E0063\U000E0074\U000E007F", "naïve Übung, Ångström"})
    EXPECT_EQ(kinds(text), "") << text;
  EXPECT_EQ(kinds("pass\u200dword"), "ZERO_WIDTH ");
  EXPECT_EQ(kinds("\U0001F3F4\U000E0041\U000E0042\U000E007F"), "HIDDEN_TAG ");
  EXPECT_EQ(kinds("caf\u00c3\u00a9"), "MOJIBAKE ");
  EXPECT_EQ(kinds("a\x1b[31m"), "CONTROL_CHARACTER ");
}

TEST(Hidden, a_text_is_matched_as_it_is_seen) {
  const auto seen = as_seen("4111\u00a01111\u20111111\u200b1111 \uff41");
  ASSERT_TRUE(seen);
  EXPECT_EQ(seen->text, "4111 1111-11111111 a");
  EXPECT_EQ(seen->places.raw(5), 6u);
  EXPECT_FALSE(as_seen("plain ünicode"));
}

TEST(Detectors, unicode_tricks_do_not_hide_a_number) {
  const auto detectors = *Detectors::create();
  const std::string text = "pay \u0664\u0661\u0661\u0661 1111\u00a01111\u20111111";
  const auto matches = detectors->scan(text);
  ASSERT_EQ(matches.size(), 1u);
  EXPECT_EQ(matches[0].kind, "CREDIT_CARD");
  EXPECT_EQ(matches[0].offset, 4u);
  EXPECT_EQ(matches[0].offset + matches[0].length, text.size());
  EXPECT_EQ(detectors->scan("\xff").at(0).kind, "UNSCANNABLE");
}

TEST(Detectors, take_linear_time_on_texts_made_to_be_slow) {
  const auto detectors = *Detectors::create();
  for (const char* piece : {"a.", "key ", "aws key ", "1-", "@a.", "eyJ", "0x", "://a:", "+1 ", "-----BEGIN ", "AKIA", "a:a@", "secret: ", "1 ", "::", "Q~"}) {
    std::string text;
    while (text.size() < 400'000) text += piece;
    const auto begin = std::chrono::steady_clock::now();
    detectors->scan(text);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20)) << piece;
  }
}

TEST(Context, is_a_word_of_its_own_near_by) {
  const std::string text = "my SSN is 078051120, not assn 078051120";
  EXPECT_TRUE(has_context({text, 10, 9}, "ssn"));
  EXPECT_FALSE(has_context({"session 078051120", 8, 9}, "ssn"));
  EXPECT_FALSE(has_context({"ssn" + std::string(200, ' ') + "078051120", 203, 9}, "ssn"));
}

TEST(Redact, spans_that_overlap_are_one_and_hidden_characters_leave_nothing) {
  EXPECT_EQ(without_spans("abcdefgh", {{"EMAIL_ADDRESS", 1, 4}, {"PHONE_NUMBER", 3, 6}}), "a<EMAIL_ADDRESS>gh");
  EXPECT_EQ(without_spans("abcdefgh", {{"ZERO_WIDTH", 2, 3}}), "abdefgh");
  EXPECT_EQ(without_spans("abcdefgh", {{"ZERO_WIDTH", 1, 2}, {"US_SSN", 1, 5}}), "a<US_SSN>fgh");
}

TEST(Numbers, cards_and_accounts_need_their_lengths) {
  EXPECT_EQ(card_length("378282246310005"), 15u);   // published test numbers of the issuers
  EXPECT_EQ(card_length("6011111111111117 1"), 16u);
  EXPECT_EQ(card_length("411111111111111"), 0u);
  EXPECT_EQ(iban_length("NO9386011117947"), 15u);   // SWIFT's examples
  EXPECT_EQ(iban_length("MT84MALT011000012345MTLCAST001S"), 31u);
  EXPECT_EQ(iban_length("NO93860111179470"), 0u);
  EXPECT_EQ(iban_length("ZZ9386011117947"), 0u);
}

TEST(JsonText, decodes_surrogate_pairs) {
  const auto literals = string_literals(R"({"a":"\ud83d\ude00\n\/"})");
  ASSERT_EQ(literals.size(), 2u);
  EXPECT_EQ(literals[1].text, "\U0001F600\n/");
}

}  // namespace
}  // namespace redoubt::detectors
