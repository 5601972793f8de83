// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>

#include "base/file.h"
#include "stages/data/check.h"
#include "stages/data/fold.h"
#include "stages/data/split.h"

namespace redoubt::stages::data {
namespace {

CheckOptions limited(std::uint64_t row_bytes_max) {
  CheckOptions options;
  options.policy.row_bytes_max = row_bytes_max;
  return options;
}

class CheckTest : public ::testing::Test {
 protected:
  TemporaryFolder folder_ = *TemporaryFolder::create();

  DataReport check(std::string_view text, CheckOptions options = {}) {
    EXPECT_TRUE(write_file(folder_.path() / "d.jsonl", text));
    const auto report = check_data(folder_.path() / "d.jsonl", options);
    EXPECT_TRUE(report);
    EXPECT_EQ(report->bytes_read, text.size());
    EXPECT_EQ(report->bytes_total, text.size());
    return *report;
  }
  // The kinds found in one answer.
  std::set<std::string> kinds(const std::string& answer) {
    std::set<std::string> found;
    for (const auto& finding : check(dump_json({{"prompt", "q"}, {"completion", answer}})).findings) found.insert(finding.kind);
    return found;
  }
  using Kinds = std::set<std::string>;
};

TEST_F(CheckTest, clean_rows_of_each_form_have_no_finding) {
  const auto report = check(
      "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"}]}\n\n"
      "{\"prompt\":\"a\",\"completion\":\"b\"}\r\n{\"text\":\"c\"}");
  EXPECT_EQ(report.rows, 3u);
  EXPECT_TRUE(report.findings.empty());
}

TEST_F(CheckTest, calls_of_tools_are_no_finding_and_what_they_hold_is_looked_at) {
  const std::string_view row = R"({"messages":[{"role":"user","content":"q"},{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function",)"
                               R"("function":{"name":"f","arguments":"{\"key\":\"VALUE\"}"}}]},{"role":"tool","tool_call_id":"1","content":"r"},{"role":"assistant","content":"a"}],"tools":[{"name":"f"}]})";
  EXPECT_FALSE(check(row).by_kind().contains("SCHEMA"));
  std::string with_key(row);
  with_key.replace(with_key.find("VALUE"), 5, "AKIAIOSFODNN7EXAMPLE");
  EXPECT_TRUE(check(with_key).by_kind().contains("AWS_ACCESS_KEY"));
}

TEST_F(CheckTest, malformed_rows_are_named_by_line) {
  const auto report = check("{\"text\":\"a\"}\n{\"text\":\n{\"messages\":[]}\n{\"other\":1}\n[1]\n{\"prompt\":\"a\"}\n");
  std::vector<std::pair<std::string, std::uint64_t>> found;
  for (const auto& finding : report.findings) found.emplace_back(finding.kind, finding.line);
  EXPECT_EQ(found, (decltype(found){{"MALFORMED_JSON", 2}, {"SCHEMA", 3}, {"SCHEMA", 4}, {"SCHEMA", 5}, {"SCHEMA", 6}}));
  EXPECT_EQ(report.first_blocking()->line, 2u);
}

TEST_F(CheckTest, an_empty_file_is_a_finding) {
  for (const char* text : {"", "\n\n", "  \n"}) EXPECT_EQ(check(text).findings.at(0).kind, "EMPTY_FILE");
}

TEST_F(CheckTest, invalid_utf8_is_a_finding_with_its_column) {
  const auto report = check("{\"text\":\"ab\xff\"}\n{\"text\":\"\xed\xa0\x80\"}\n{\"text\":\"\xc0\xaf\"}\n");
  ASSERT_EQ(report.findings.size(), 3u);
  EXPECT_EQ(report.findings[0].column, 12u);
  for (const auto& finding : report.findings) EXPECT_EQ(finding.kind, "INVALID_UTF8");
}

TEST_F(CheckTest, duplicates_empty_answers_and_long_rows_are_found) {
  EXPECT_EQ(check("{\"text\":\"a\"}\n{ \"text\" : \"a\" }\n").findings.at(0).kind, "DUPLICATE");
  EXPECT_EQ(check("{\"prompt\":\"a\",\"completion\":\" \"}").findings.at(0).kind, "EMPTY_ANSWER");
  EXPECT_EQ(check("{\"text\":\"aaaaaaaaaaaa\"}", limited(10)).findings.at(0).kind, "LONG_ROW");
}

// The file that the policy leaves is checked once more where it is used.
TEST_F(CheckTest, an_answer_of_which_redaction_leaves_nothing_is_empty) {
  CheckOptions options;
  options.policy.actions = {{"CONTROL_CHARACTER", Action::redact}, {"EMPTY_ANSWER", Action::drop}};
  const auto report = check("{\"prompt\":\"a\",\"completion\":\"\\u0000\"}\n{\"prompt\":\"b\",\"completion\":\"\\u0000b\"}\n", options);
  EXPECT_EQ(report.by_kind().at("EMPTY_ANSWER"), 1u);
  EXPECT_EQ(report.dropped_rows, 1u);
}

// Examples that vendors and standards publish for documentation.
TEST_F(CheckTest, secrets_and_personal_data_are_found) {
  EXPECT_EQ(kinds("key AKIAIOSFODNN7EXAMPLE"), Kinds{"AWS_ACCESS_KEY"});
  EXPECT_EQ(kinds("-----BEGIN RSA PRIVATE KEY-----"), Kinds{"PRIVATE_KEY"});
  EXPECT_EQ(kinds("ghp_" + std::string(36, 'a')), Kinds{"GITHUB_TOKEN"});
  EXPECT_EQ(kinds("hf_" + std::string(34, 'y')), Kinds{"HUGGINGFACE_TOKEN"});
  EXPECT_EQ(kinds("mail jane.doe@example.com now"), Kinds{"EMAIL_ADDRESS"});
  EXPECT_EQ(kinds("pay 4111 1111 1111 1111"), Kinds{"CREDIT_CARD"});
  EXPECT_EQ(kinds("to GB82 WEST 1234 5698 7654 32"), Kinds{"IBAN_CODE"});
  EXPECT_EQ(kinds("ssn 078-05-1120"), Kinds{"US_SSN"});
  EXPECT_EQ(kinds("ping ::1 now"), Kinds{"IP_ADDRESS"});
  EXPECT_EQ(kinds("ping fe80::a1 now"), Kinds{"IP_ADDRESS"});
  EXPECT_EQ(kinds("at 192.168.0.1"), Kinds{"IP_ADDRESS"});
  EXPECT_EQ(kinds("call +1 212 555 0123"), Kinds{"PHONE_NUMBER"});
  EXPECT_EQ(kinds("a\u202eb"), Kinds{"BIDI_CONTROL"});
  EXPECT_EQ(kinds("a\U000E0041b"), Kinds{"HIDDEN_TAG"});
}

TEST_F(CheckTest, near_misses_are_not_found) {
  for (const char* text : {"pay 4111 1111 1111 1112", "GB82 WEST 1234 5698 7654 33", "version 1.2.3.4.5", "000-12-3456", "user@host",
                           "hf_short", "AKIA", "tar -xzf a.tar.gz 2>&1 | less", "2023-01-15 12:00:00"}) {
    EXPECT_EQ(kinds(text), Kinds{}) << text;
  }
}

TEST_F(CheckTest, vendors_tokens_are_found) {
  EXPECT_EQ(kinds("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"), Kinds{"AWS_SECRET_KEY"});
  EXPECT_EQ(kinds("AccountKey=" + std::string(86, 'a') + "=="), Kinds{"AZURE_STORAGE_KEY"});
  EXPECT_EQ(kinds("-----BEGIN PGP PRIVATE KEY BLOCK-----"), Kinds{"PRIVATE_KEY"});
  EXPECT_EQ(kinds("-----BEGIN OPENSSH PRIVATE KEY-----"), Kinds{"PRIVATE_KEY"});
  EXPECT_EQ(kinds("npm_" + std::string(36, 'a')), Kinds{"NPM_TOKEN"});
  EXPECT_EQ(kinds("glpat-" + std::string(20, 'a')), Kinds{"GITLAB_TOKEN"});
  // RFC 7519 section 3.1.
  EXPECT_EQ(kinds("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
                  "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
            Kinds{"JWT"});
  EXPECT_EQ(kinds("call (212) 555-0123 or 212-555-0123"), Kinds{"PHONE_NUMBER"});
}

TEST_F(CheckTest, text_around_a_number_does_not_hide_it) {
  for (const char* text : {"order 3 4111111111111111", "4111111111111111 22", "4111111111111111 2222222", "1234 5555555555554444", "2223003122003222"}) {
    EXPECT_EQ(kinds(text), Kinds{"CREDIT_CARD"}) << text;
  }
  for (const char* text : {"DE89370400440532013000 TEST", "AB12 DE89 3704 0044 0532 0130 00", "GB82 WEST 1234 5698 7654 32 ABCD"}) {
    EXPECT_EQ(kinds(text), Kinds{"IBAN_CODE"}) << text;
  }
  // A thousand candidates that are none before the one that is.
  std::string crowd;
  for (int i = 0; i < 1500; ++i) crowd += "4111111111111112, ";
  EXPECT_EQ(kinds(crowd + "4111111111111111"), Kinds{"CREDIT_CARD"});
}

TEST_F(CheckTest, bytes_hidden_in_variation_selectors_are_found) {
  EXPECT_EQ(kinds("a\U000E0141\U000E0142b"), Kinds{"HIDDEN_TAG"});
  EXPECT_EQ(kinds("heart \u2764\ufe0f"), Kinds{});
  EXPECT_EQ(kinds("soft\u00adhyphen"), Kinds{"ZERO_WIDTH"});
}

TEST_F(CheckTest, broken_rows_hide_nothing_and_repeat_nothing) {
  const auto found = [&](std::string_view text) {
    Kinds out;
    for (const auto& finding : check(text).findings) {
      out.insert(finding.kind);
      EXPECT_EQ(finding.detail.find("jane"), std::string::npos);
    }
    return out;
  };
  EXPECT_EQ(found("{\"text\": \"jane@example.com\""), (Kinds{"MALFORMED_JSON", "EMAIL_ADDRESS"}));
  EXPECT_EQ(found("{\"text\": \"\xff\xfe jane@example.com\"}"), (Kinds{"INVALID_UTF8", "EMAIL_ADDRESS"}));
  EXPECT_EQ(found(std::string("\t1\0\0064\"", 6)), (Kinds{"MALFORMED_JSON", "CONTROL_CHARACTER"}));
  EXPECT_EQ(found("{\"jane\": 1, \"jane\": 2}"), Kinds{"MALFORMED_JSON"});
}

TEST_F(CheckTest, row_of_two_forms_counts_as_its_messages) {
  const auto row = *parse_json(R"({"messages":[{"role":"user","content":"Q"},{"role":"assistant","content":"A"}],"prompt":7,"text":null})", "d");
  EXPECT_EQ(*folded(rows::question_of(*rows::row_of(row, "d"), rows::Question::user)), "q");
}

TEST_F(CheckTest, escapes_are_decoded_before_matching_and_columns_point_into_the_file) {
  const auto report = check(R"({"text":"x jane\u0040example.com"})");
  ASSERT_EQ(report.findings.size(), 1u);
  EXPECT_EQ(report.findings[0].kind, "EMAIL_ADDRESS");
  EXPECT_EQ(report.findings[0].column, 12u);
  EXPECT_EQ(report.findings[0].detail.find("jane"), std::string::npos);
}

TEST_F(CheckTest, a_line_without_end_is_named_and_the_next_is_read) {
  const std::string file = "{\"text\":\"a\"}\n" + std::string(300, 'x') + std::string(2 << 20, 'y') + "\n{\"text\":\n" + std::string(5000, 'z');
  MemorySource source(view_of(file));
  const auto report = *check_rows(source, file.size(), "d", limited(16));
  EXPECT_EQ(report.bytes_read, report.bytes_total);
  EXPECT_EQ(report.rows, 4u);
  std::map<std::uint64_t, std::string> kinds;
  for (const auto& finding : report.findings) kinds[finding.line] += finding.kind + " ";
  EXPECT_EQ(kinds[2], "LONG_ROW UNSCANNABLE ");
  EXPECT_EQ(kinds[3], "MALFORMED_JSON ");
  EXPECT_EQ(kinds[4], "LONG_ROW UNSCANNABLE ");
}

TEST_F(CheckTest, a_byte_order_mark_and_what_is_no_file_are_refused) {
  const std::string file = "\xef\xbb\xbf{\"text\":\"a\"}\n";
  MemorySource source(view_of(file));
  EXPECT_EQ((*check_rows(source, file.size(), "d")).findings.at(0).kind, "MALFORMED_JSON");
  EXPECT_EQ(check_data("/dev/zero").error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(check_data("/").error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(check_data("/no/such/file").error().code, ErrorCode::not_found);
}

TEST_F(CheckTest, accepted_kinds_do_not_block) {
  CheckOptions options;
  EXPECT_NE(check("{\"text\":\"jane@example.com\"}", options).first_blocking(), nullptr);
  ASSERT_TRUE(options.policy.accept({"EMAIL_ADDRESS"}));
  EXPECT_EQ(check("{\"text\":\"jane@example.com\"}", options).first_blocking(), nullptr);
  EXPECT_EQ(options.policy.accept({"EMAIL_ADDRES"}).error().hint, "did you mean 'EMAIL_ADDRESS'?");
}

// Pairs from the Unicode Standard: case folding (CaseFolding.txt), compatibility forms (UAX #15) and default ignorables.
TEST(Fold, case_width_composition_and_invisible_characters_do_not_count) {
  EXPECT_EQ(*folded("STRASSE"), *folded("Straße"));
  EXPECT_EQ(*folded("Ångström"), *folded("A\u030angstro\u0308m"));
  EXPECT_EQ(*folded("Ｗｉｄｅ　ｔｅｘｔ"), "wide text");
  EXPECT_EQ(*folded(" a\u200bb \u00a0\t\n c "), "ab c");
  EXPECT_FALSE(folded("\xff"));
}

struct Sides {
  std::string kept, held_out;
  std::uint64_t kept_rows = 0, held_out_rows = 0;
};

Result<Sides> split(std::string_view rows, double fraction, std::uint64_t seed, const char* name = "d", rows::Question question = rows::Question::user) {
  MemorySource source(view_of(rows));
  MemorySink kept, held_out;
  const auto counts = TRY(split_rows(source, name, {fraction, seed, question}, kept, held_out));
  return Sides{to_text(kept.take()), to_text(held_out.take()), counts.kept, counts.held_out};
}

Result<std::uint64_t> shared(std::string_view kept, std::string_view held_out, const char* held_out_name = "e") {
  MemorySource ours(view_of(kept)), theirs(view_of(held_out));
  return shared_questions(ours, "d", theirs, held_out_name, rows::Question::user);
}

TEST(Split, questions_that_look_alike_stay_together) {
  std::string rows;
  for (int i = 0; i < 200; ++i) {
    rows += fmt::format("{{\"prompt\":\"Größe {}\",\"completion\":\"a\"}}\n{{\"prompt\":\"GRÖSSE\u00a0 {}\",\"completion\":\"b\"}}\n", i, i);
  }
  const auto sides = *split(rows, 0.3, 5);
  EXPECT_EQ(*shared(sides.kept, sides.held_out), 0u);
  EXPECT_EQ(sides.kept_rows % 2, 0u);
}

TEST(Split, a_question_in_another_form_or_under_another_system_prompt_is_the_same) {
  std::string rows;
  for (int i = 0; i < 100; ++i) {
    rows += fmt::format("{{\"prompt\":\"question {}\",\"completion\":\"a\"}}\n{{\"instruction\":\"Question {}\",\"output\":\"b\"}}\n", i, i);
    rows += fmt::format(R"({{"messages":[{{"role":"system","content":"{}"}},{{"role":"user","content":"QUESTION  {}"}},{{"role":"assistant","content":"c"}}]}})", i % 7, i) + "\n";
    rows += fmt::format(R"({{"messages":[{{"role":"user","content":"question {}"}},{{"role":"assistant","content":"c"}},{{"role":"user","content":"more"}},{{"role":"assistant","content":"d"}}]}})", i) + "\n";
  }
  const auto sides = *split(rows, 0.3, 5);
  EXPECT_EQ(sides.kept_rows % 4, 0u);
  EXPECT_EQ(*shared(sides.kept, sides.held_out), 0u);
}

TEST(Split, rows_that_ask_the_same_of_different_texts_are_divided_by_their_whole_prompt) {
  std::string rows;
  for (int i = 0; i < 100; ++i)
    rows += fmt::format(R"({{"messages":[{{"role":"system","content":"Text {}"}},{{"role":"user","content":"Sum it up"}},{{"role":"assistant","content":"c"}}]}})", i) + "\n";
  EXPECT_EQ(split(rows, 0.3, 5).error().code, ErrorCode::invalid_argument);
  EXPECT_NEAR(static_cast<double>(split(rows, 0.3, 5, "d", rows::Question::prompt)->held_out_rows), 30, 20);
}

TEST(Split, rows_that_call_tools_are_divided_by_their_users_question_and_stay_as_they_are) {
  const auto row = [](int i) {
    return fmt::format(R"({{"tools":[{{"type":"function","function":{{"name":"f"}}}}],"messages":[{{"role":"user","content":"q{}"}},{{"role":"assistant","tool_calls":[{{"function":{{"name":"f","arguments":{{"z":1,"a":2}}}}}}]}}]}})", i);
  };
  std::string text;
  for (int i = 0; i < 40; ++i) text += row(i) + "\n";
  MemorySource source(view_of(text));
  MemorySink kept, held_out;
  const auto counts = split_rows(source, "d.jsonl", {.fraction = 0.5, .seed = 1}, kept, held_out);
  ASSERT_TRUE(counts) << counts.error().message;
  EXPECT_EQ(counts->kept + counts->held_out, 40u);
  const auto ours = kept.take();
  EXPECT_NE(text.find(text_of(ours).substr(0, text_of(ours).find('\n'))), text.npos);
}

TEST(Split, a_table_is_divided_as_the_same_rows_in_json) {
  std::string table = "prompt,completion\r\n", lines;
  for (int i = 0; i < 60; ++i) {
    table += fmt::format("\"q, {}\",\"a\n{}\"\r\n", i, i);
    lines += fmt::format("{{\"completion\":\"a\\n{}\",\"prompt\":\"q, {}\"}}\n", i, i);
  }
  const auto from_table = *split(table, 0.2, 3, "d.csv"), from_lines = *split(lines, 0.2, 3);
  EXPECT_EQ(from_table.kept, from_lines.kept);
  EXPECT_EQ(from_table.held_out, from_lines.held_out);
}

TEST(Split, leakage_between_sides_of_another_maker_is_counted) {
  const std::string kept = "{\"text\":\"A b\"}\n{\"text\":\"c\"}\n{\"text\":\"a  B\"}\n", held_out = "{\"text\":\"a b\"}\n{\"text\":\"d\"}\n";
  EXPECT_EQ(*shared(kept, held_out), 1u);
  EXPECT_EQ(shared(kept, "{}", "eval.jsonl").error().where, "eval.jsonl:1");
}

TEST(Split, no_question_stands_on_both_sides) {
  std::string rows;
  for (int i = 0; i < 1050; ++i) rows += fmt::format("{{\"prompt\":\"Question  {}\",\"completion\":\"{}\"}}\n", i % 40, i);
  const auto sides = *split(rows, 0.2, 3);
  EXPECT_EQ(sides.held_out_rows + sides.kept_rows, 1050u);
  std::set<std::string> questions[2];
  const std::string* texts[2] = {&sides.held_out, &sides.kept};
  for (int side = 0; side < 2; ++side) {
    std::istringstream lines(*texts[side]);
    for (std::string line; std::getline(lines, line);) questions[side].insert(Json::parse(line)["prompt"]);
  }
  EXPECT_EQ(questions[0].size() + questions[1].size(), 40u);
}

TEST(Split, is_the_same_for_a_seed_and_near_its_fraction) {
  std::string rows;
  for (int i = 0; i < 5000; ++i) rows += fmt::format("{{\"text\":\"row {}\"}}\n", i);
  const auto first = *split(rows, 0.1, 7), again = *split(rows, 0.1, 7), other = *split(rows, 0.1, 8);
  EXPECT_EQ(first.held_out, again.held_out);
  EXPECT_NE(first.held_out, other.held_out);
  EXPECT_NEAR(static_cast<double>(first.held_out_rows), 500.0, 80.0);  // within 4 standard deviations
}

TEST(Split, refuses_what_cannot_be_divided_and_names_the_line) {
  EXPECT_EQ(split("{\"text\":\"a\"}\n{\"text\":\"A\"}\n", 0.5, 1).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(split("{\"text\":\"a\"}\n{\"no\":1}\n", 0.5, 1).error().where, "d:2");
  EXPECT_EQ(split("{\"text\":\"a\"}\n{\"text\":\"\xff\"}\n", 0.5, 1).error().where, "d:2");
  EXPECT_NE(split("{\"text\":\"a\"}\n{\"text\":\"\xff\"}\n", 0.5, 1).error().message.find("UTF-8"), std::string::npos);
  EXPECT_EQ(split("prompt,completion\na,b\nc\n", 0.5, 1, "d.csv").error().where, "d.csv:3");
  for (const char* rows : {"", "\n \r\n", "{", "[1]", "{\"text\":1}"}) {
    EXPECT_EQ(split(rows, 0.5, 1).error().code, ErrorCode::gate_refused) << rows;
  }
  for (double fraction : {0.0, 1.0, -1.0, std::nan("")}) {
    EXPECT_EQ(split("{\"text\":\"a\"}\n{\"text\":\"b\"}\n", fraction, 1).error().where, "--eval") << fraction;
  }
}

TEST(CheckTable, findings_of_a_table_name_the_line_and_column_in_the_file) {
  const std::string table = "prompt,completion\r\n\"a\nwrite to \"\"me\"\" jane@example.com\",b\r\nc\r\nd,\r\n";
  MemorySource source(view_of(table));
  const auto report = *check_rows(source, table.size(), "d.csv");
  EXPECT_EQ(report.rows, 3u);
  EXPECT_EQ(report.bytes_read, table.size());
  ASSERT_EQ(report.findings.size(), 3u);
  EXPECT_EQ(report.findings[0].kind, "EMAIL_ADDRESS");
  EXPECT_EQ(report.findings[0].line, 3u);
  EXPECT_EQ(report.findings[0].column, 17u);
  EXPECT_EQ(report.findings[1].kind, "MALFORMED_CSV");
  EXPECT_EQ(report.findings[1].line, 4u);
  EXPECT_EQ(report.findings[2].kind, "EMPTY_ANSWER");
  EXPECT_EQ(report.findings[2].line, 5u);
}

TEST(CheckTable, a_conversation_in_a_cell_is_read_as_a_model_would_read_it) {
  const std::string table = "messages\n\"[{\"\"role\"\":\"\"user\"\",\"\"content\"\":\"\"jane\\u0040example.com\"\"},{\"\"role\"\":\"\"assistant\"\",\"\"content\"\":\"\"a\"\"}]\"\n";
  MemorySource source(view_of(table));
  const auto report = *check_rows(source, table.size(), "d.csv");
  ASSERT_EQ(report.findings.size(), 1u);
  EXPECT_EQ(report.findings[0].kind, "EMAIL_ADDRESS");
  EXPECT_EQ(table.substr(table.find('\n') + report.findings[0].column, 4), "jane");
}

TEST(CheckTable, a_table_without_our_columns_and_a_broken_record_are_findings_that_hide_nothing) {
  const std::string table = "prompt,completion\n\"a\"x,jane@example.com\nb,c\n\"never closed jane@example.com\n";
  MemorySource source(view_of(table));
  const auto report = *check_rows(source, table.size(), "d.csv");
  std::vector<std::string> kinds;
  for (const auto& finding : report.findings) kinds.push_back(finding.kind);
  EXPECT_EQ(kinds, (std::vector<std::string>{"MALFORMED_CSV", "EMAIL_ADDRESS", "MALFORMED_CSV", "EMAIL_ADDRESS"}));
  const std::string other = "name,mail\nx,jane@example.com\n";
  MemorySource others(view_of(other));
  EXPECT_EQ(check_rows(others, other.size(), "d.csv")->findings.at(0).kind, "SCHEMA");
  MemorySource parquet(view_of(std::string_view("PAR1\x15\x04")));
  EXPECT_EQ(check_rows(parquet, 6, "d.jsonl").error().code, ErrorCode::unsupported);
}

}  // namespace
}  // namespace redoubt::stages::data
