// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "rows/files.h"

namespace redoubt::rows {
namespace {

using Table = std::vector<std::vector<std::string>>;

Result<Table> records_of(std::string_view text, std::uint64_t bytes_max = 1 << 20) {
  MemorySource source(view_of(text));
  LineReader lines(source, bytes_max);
  CsvReader csv(lines, "d.csv", bytes_max);
  Table table;
  for (CsvRecord record; TRY(csv.next(record));) {
    auto& fields = table.emplace_back();
    for (const auto& field : record.fields) fields.push_back(field.text);
  }
  return table;
}

// The rules are RFC 4180's, section 2; the answers those of Python's csv module.
TEST(Csv, quotes_line_breaks_and_empty_fields_are_read_as_rfc_4180_writes_them) {
  EXPECT_EQ(*records_of("aaa,bbb,ccc\r\nzzz,yyy,xxx\r\n"), (Table{{"aaa", "bbb", "ccc"}, {"zzz", "yyy", "xxx"}}));
  EXPECT_EQ(*records_of("\"aaa\",\"b\r\nbb\",\"ccc\"\r\nzzz,yyy,xxx"), (Table{{"aaa", "b\r\nbb", "ccc"}, {"zzz", "yyy", "xxx"}}));
  EXPECT_EQ(*records_of("\"aaa\",\"b\"\"bb\",\"ccc\"\n"), (Table{{"aaa", "b\"bb", "ccc"}}));
  EXPECT_EQ(*records_of("a,,\n,\"\",b\n\n\r\nc"), (Table{{"a", "", ""}, {"", "", "b"}, {"c"}}));
  EXPECT_EQ(*records_of("\"\"\"\",\" x \", y \n"), (Table{{"\"", " x ", " y "}}));
  EXPECT_EQ(*records_of(""), Table{});
}

TEST(Csv, a_broken_record_is_named_by_its_line) {
  const auto line_of = [](std::string_view text) { return records_of(text).error().where; };
  EXPECT_EQ(line_of("a,b\nc,d\"e\"\n"), "d.csv: line 2");
  EXPECT_EQ(line_of("a\n\"b\nc\"x,d\n"), "d.csv: line 3");
  EXPECT_EQ(line_of("a\n\"b\nc\n"), "d.csv: line 2");
  EXPECT_EQ(line_of("a\n\xff\n"), "d.csv: line 2");
  EXPECT_EQ(records_of("a\n" + std::string(200, 'x'), 100).error().code, ErrorCode::limit_exceeded);
}

TEST(Csv, a_field_knows_where_its_bytes_stand_in_the_record) {
  MemorySource source(view_of(std::string_view("a,\"x\"\"y\"\n")));
  LineReader lines(source, 100);
  CsvReader csv(lines, "d.csv", 100);
  CsvRecord record;
  ASSERT_TRUE(*csv.next(record));
  EXPECT_EQ(record.fields[1].raw_offset, (std::vector<std::uint32_t>{3, 5, 6}));
}

TEST(Lines, a_line_longer_than_the_limit_is_counted_and_the_next_is_read) {
  const std::string text = "a\n" + std::string(3 << 20, 'x') + "\n\nb";
  MemorySource source(view_of(text));
  LineReader lines(source, 10);
  EXPECT_EQ((*lines.next())->text, "a");
  EXPECT_EQ((*lines.next())->left_out, 3u << 20);
  EXPECT_EQ((*lines.next())->text, "");
  const auto last = *lines.next();
  EXPECT_EQ(last->text, "b");
  EXPECT_EQ(last->number, 4u);
  EXPECT_FALSE(*lines.next());
  EXPECT_EQ(lines.bytes_read(), text.size());
}

Row row(std::string_view json) { return row_of(*parse_json(json, "d"), "d").value(); }

TEST(Row, the_forms_are_told_by_their_members) {
  EXPECT_EQ(row(R"({"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}],"text":7})").form, Form::messages);
  EXPECT_EQ(row(R"({"prompt":"q","completion":"a"})").answer, "a");
  EXPECT_EQ(row(R"({"text":"t"})").form, Form::text);
  const auto choice = row(R"({"question":"q","choices":["x","y"],"answer":"y"})");
  EXPECT_EQ(choice.form, Form::choices);
  EXPECT_EQ(choice.right, 1u);
  EXPECT_EQ(row(R"({"prompt":"q","choices":["x","y"],"answer":0})").answer, "x");
  EXPECT_EQ(row(R"({"prompt":"q","chosen":"a","rejected":"b"})").form, Form::preference);
  // Rows out of a table with columns of several forms.
  const std::string none = R"("choices":null,"chosen":null,"rejected":null,"messages":null,"instruction":null,"output":null,)";
  EXPECT_EQ(row("{" + none + R"("prompt":"q","completion":"a","text":null})").answer, "a");
  EXPECT_EQ(row("{" + none + R"("prompt":null,"completion":null,"text":"t"})").form, Form::text);
  EXPECT_FALSE(row_of(*parse_json("{" + none + R"("prompt":"q","completion":null})", "d"), "d"));
}

TEST(Row, a_preference_is_of_texts_or_of_messages_and_both_answers_are_read) {
  const auto texts = row(R"({"prompt":"q","chosen":"a","rejected":"b"})");
  EXPECT_EQ(texts.prompt + texts.answer + texts.rejected, "qab");
  const auto lists = row(R"({"prompt":[{"role":"user","content":"q"}],"chosen":[{"role":"assistant","content":"a"}],"rejected":[{"role":"assistant","content":"b"}]})");
  EXPECT_EQ(lists.messages.size(), 1u);
  EXPECT_EQ(lists.chosen_turns[0].content + lists.rejected_turns[0].content + lists.answer + lists.rejected, "abab");
  EXPECT_EQ(question_of(lists, Question::user), "q");
  EXPECT_EQ(question_of(lists, Question::prompt), "q\n");  // the last message of a prompt is no answer
  // Without a prompt, or with its text alone, it is what both begin with.
  for (const char* prompt : {"", R"("prompt":"q",)"}) {
    const auto begun = row(std::string("{") + prompt + R"("chosen":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}],
                                                       "rejected":[{"role":"user","content":"q"},{"role":"assistant","content":"b"}]})");
    EXPECT_EQ(begun.messages.size(), 1u);
    EXPECT_EQ(begun.chosen_turns.size(), 1u);
    EXPECT_EQ(question_of(begun, Question::user), "q");
  }
}

// The column "text" of tatsu-lab/alpaca for its first row with an input, and for its first row.
TEST(Row, an_instruction_has_the_prompt_of_alpacas_data_set) {
  const auto bare = row(R"({"instruction":"Give three tips for staying healthy.","input":"","output":"1.Eat"})");
  EXPECT_EQ(bare.prompt + bare.answer,
            "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
            "### Instruction:\nGive three tips for staying healthy.\n\n### Response:\n1.Eat");
  const auto with = row(R"({"instruction":"Identify the odd one out.","input":"Twitter, Instagram, Telegram","output":"Telegram"})");
  EXPECT_EQ(with.prompt + with.answer,
            "Below is an instruction that describes a task, paired with an input that provides further context. Write a response that "
            "appropriately completes the request.\n\n### Instruction:\nIdentify the odd one out.\n\n### Input:\nTwitter, Instagram, "
            "Telegram\n\n### Response:\nTelegram");
}

TEST(Row, what_is_wrong_is_named_by_its_member_and_the_text_is_not_repeated) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({})", "'messages'"},
      {R"([1])", "object"},
      {R"({"prompt":"secret"})", "'completion'"},
      {R"({"instruction":"secret"})", "'output'"},
      {R"({"text":1})", "'text'"},
      {R"({"messages":[]})", "at least two"},
      {R"({"messages":[{"role":"user","content":"secret"},{"role":"user","content":"b"}]})", "assistant's answer"},
      {R"({"messages":[{"role":"secret","content":"a"},{"role":"assistant","content":"b"}]})", "a role is"},
      {R"({"messages":[{"role":"user","content":["secret"]},{"role":"assistant","content":"b"}]})", "'content'"},
      {R"({"messages":[{"role":"user","content":"a","train":1},{"role":"assistant","content":"b"}]})", "'train'"},
      {R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b","weight":0.5}]})", "'weight'"},
      {R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","content":null}]})", "'content'"},
      {R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","content":null,"tool_calls":[]}]})", "'content'"},
      {R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","tool_calls":{"name":"secret"}}]})", "'tool_calls'"},
      {R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","tool_calls":["secret"]}]})", "'tool_calls'"},
      {R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","tool_calls":[{"function":"secret"}]}]})", "'tool_calls'"},
      {R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","tool_calls":[{"function":{"name":"secret","arguments":[1]}}]}]})", "'tool_calls'"},
      {R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","tool_calls":[{"id":1,"function":{"name":"secret"}}]}]})", "'tool_calls'"},
      {R"({"messages":[{"role":"user","content":"a","tool_calls":[{"name":"secret"}]},{"role":"assistant","content":"b"}]})", "of the assistant"},
      {R"({"messages":[{"role":"tool","content":"a","tool_call_id":5},{"role":"assistant","content":"b"}]})", "'tool_call_id'"},
      {R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b","function_call":{"name":"secret"}}]})", "'function_call'"},
      {R"({"question":"secret","choices":["a"],"answer":0})", "'choices'"},
      {R"({"question":"secret","choices":["a","b"],"answer":2})", "'answer'"},
      {R"({"question":"secret","choices":["a","b"]})", "'answer'"},
      {R"({"prompt":"secret","chosen":"a"})", "'rejected'"},
      {R"({"prompt":"secret","chosen":"a","rejected":[{"role":"assistant","content":"b"}]})", "all texts or all lists"},
      {R"({"prompt":[{"role":"user","content":"secret"}],"chosen":[{"role":"user","content":"a"}],"rejected":[{"role":"assistant","content":"b"}]})", "assistant's answer"},
      {R"({"chosen":[{"role":"assistant","content":"a"}],"rejected":[{"role":"assistant","content":"b"}]})", "'prompt'"},
  };
  for (const auto& [text, word] : cases) {
    const auto bad = row_of(*parse_json(text, "d"), "d: line 3");
    ASSERT_FALSE(bad) << text;
    EXPECT_NE(bad.error().message.find(word), std::string::npos) << bad.error().message;
    EXPECT_EQ((bad.error().message + bad.error().hint).find("secret"), std::string::npos);
    EXPECT_EQ(bad.error().where, "d: line 3");
  }
}

TEST(Row, calls_of_tools_are_read_and_stay_as_the_file_has_them) {
  constexpr std::string_view kText = R"({"messages" : [ {"role":"user","content":"q [,{"},
    {"role":"assistant","tool_calls": [{"type":"function","id":"1","function":{"name":"f","arguments":{"z":1,"a":"}]"}}}] , "content":null},
    {"tool_call_id":"1","role":"tool","content":"r"},{"role":"assistant","content":"a","weight":1} ], "tools": [{"type":"function","function":{"name":"f"}}]})";
  const auto read = row_of(*parse_json(kText, "d"), "d", kText).value();
  ASSERT_EQ(read.messages.size(), 4u);
  EXPECT_EQ(read.messages[0].json, "");
  EXPECT_TRUE(read.messages[1].json.starts_with(R"({"role":"assistant","tool_calls": [{"type")")) << read.messages[1].json;
  EXPECT_EQ(said(read.messages[1]), R"([{"type":"function","id":"1","function":{"name":"f","arguments":{"z":1,"a":"}]"}}}] )");
  EXPECT_EQ(read.messages[2].json, R"({"tool_call_id":"1","role":"tool","content":"r"})");
  EXPECT_EQ(read.messages[3].json, "");
  EXPECT_EQ(read.tools, R"([{"type":"function","function":{"name":"f"}}])");
  EXPECT_EQ(row_of(*parse_json(kText, "d"), "d")->messages[2].json, R"({"content":"r","role":"tool","tool_call_id":"1"})");
  const auto only_calls = row(R"({"messages":[{"role":"user","content":"q"},{"role":"assistant","tool_calls":[{"name":"f","arguments":"{}"}]}]})");
  EXPECT_EQ(only_calls.answer, R"([{"arguments":"{}","name":"f"}])");
  EXPECT_EQ(row(R"({"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a","tool_calls":[]}]})").answer, "a");
}

TEST(Row, the_question_is_the_users_first_words_or_all_before_the_answer) {
  const auto chat = row(R"({"messages":[{"role":"system","content":"s"},{"role":"user","content":"q"},{"role":"assistant","content":"a"}]})");
  EXPECT_EQ(question_of(chat, Question::user), "q");
  EXPECT_EQ(question_of(chat, Question::prompt), "s\nq\n");
  EXPECT_EQ(question_of(row(R"({"prompt":"q","completion":"a"})"), Question::user), "q");
  EXPECT_EQ(question_of(row(R"({"instruction":"q","input":"i","output":"a"})"), Question::user), "q\ni");
  EXPECT_EQ(question_of(row(R"({"text":"t"})"), Question::prompt), "t");
}

Result<std::vector<NumberedRow>> read(std::string_view text, const char* name) {
  MemorySource source(view_of(text));
  const auto reader = TRY(RowReader::open(source, name, 1 << 20));
  std::vector<NumberedRow> rows;
  while (auto next = TRY(reader->next())) rows.push_back(std::move(*next));
  return rows;
}

TEST(RowReader, csv_and_json_lines_of_the_same_rows_are_equal_whatever_their_name) {
  const std::string lines = "{\"prompt\":\"a,b\",\"completion\":\"c\\nd\"}\n\n{\"prompt\":\"\",\"completion\":\"e\"}\n";
  const std::string table = "prompt,completion\r\n\"a,b\",\"c\nd\"\r\n,e\r\n";
  const auto expected = *read(lines, "train.jsonl");
  ASSERT_EQ(expected.size(), 2u);
  EXPECT_EQ(expected[1].line, 3u);
  for (const char* name : {"d.csv", "train.jsonl", "d"}) {
    const auto found = *read(table, name);
    ASSERT_EQ(found.size(), 2u) << name;
    for (int i = 0; i < 2; ++i) EXPECT_EQ(found[i].value, expected[i].value);
    EXPECT_EQ(found[1].where, std::string(name) + ": line 4");
  }
  EXPECT_EQ(read(lines, "d.csv")->size(), 2u);
  EXPECT_EQ(read("\xef\xbb\xbf" + table, "d.csv")->at(0).value, expected[0].value);
  const auto quoted = read("\xef\xbb\xbf\"prompt\",\"completion\"\n\"a,b\",\"c\nd\"\n", "d.csv");  // as pandas' QUOTE_ALL in utf-8-sig writes it
  ASSERT_TRUE(quoted) << quoted.error().message;
  EXPECT_EQ(quoted->at(0).value, expected[0].value);
}

TEST(RowReader, conversations_and_choices_stand_in_a_cell_as_json) {
  const auto found = *read("messages,choices,answer\n\"[{\"\"role\"\":\"\"user\"\",\"\"content\"\":\"\"q\"\"}]\",\"[\"\"x\"\",\"\"y\"\"]\",1\n", "d.csv");
  EXPECT_EQ(found[0].value["messages"][0]["content"], "q");
  EXPECT_EQ(found[0].value["choices"][1], "y");
  EXPECT_EQ(found[0].value["answer"], 1);
}

TEST(RowReader, a_number_in_a_cell_is_a_choices_place_or_else_its_text) {
  const auto found = *read("question,choices,answer\n6 x 7?,\"[\"\"40\"\",\"\"42\"\",\"\"007\"\"]\",42\n6 x 7?,\"[\"\"40\"\",\"\"42\"\",\"\"007\"\"]\",1\nWho?,\"[\"\"40\"\",\"\"42\"\",\"\"007\"\"]\",007\nq,\"[\"\"a\"\",\"\"b\"\"]\",2\n", "d.csv");
  EXPECT_EQ(row_of(found[0])->right, 1u);
  EXPECT_EQ(row_of(found[1])->right, 1u);
  EXPECT_EQ(row_of(found[2])->right, 2u);
  EXPECT_FALSE(row_of(found[3]));
}

TEST(RowReader, an_answer_of_a_preference_is_a_list_of_messages_or_whatever_text_it_is) {
  const std::string messages = R"("[{""role"":""assistant"",""content"":""a""}]")";
  const auto found = read("prompt,chosen,rejected\nq," + messages + "," + messages + "\nq,\"{\"\"a\"\": 1}\",[x\nq,[1],[Note] b\nq,\"[{\"\"a\"\": 1}]\",{\nq,[,[]\n", "d.csv");
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(found->at(0).value["chosen"][0]["content"], "a");
  EXPECT_EQ(found->at(1).value, Json::parse(R"({"prompt":"q","chosen":"{\"a\": 1}","rejected":"[x"})"));
  EXPECT_EQ(found->at(2).value, Json::parse(R"({"prompt":"q","chosen":"[1]","rejected":"[Note] b"})"));
  EXPECT_EQ(found->at(3).value["chosen"], R"([{"a": 1}])");
  EXPECT_EQ(found->at(4).value["chosen"], "[");
  EXPECT_FALSE(read("prompt,chosen,rejected\nq,\"[{\"\"role\"\": 1\",b\n", "d.csv"));
}

TEST(RowReader, a_record_as_a_line_keeps_what_its_cells_of_json_hold) {
  const auto found = *read("prompt,messages\nx,\"[{\"\"role\"\":\"\"user\"\",\n\"\"content\"\":\"\"q\"\"}]\"\n", "d.csv");
  EXPECT_EQ(found[0].text, R"({"messages":[{"role":"user", "content":"q"}],"prompt":"x"})");
}

TEST(RowReader, other_kinds_of_files_are_refused_by_name_with_a_way_to_convert_them) {
  const std::tuple<std::string, const char*, const char*, const char*> cases[] = {
      {"PAR1\x15\x04", "d.parquet", "Parquet", "read_parquet"}, {"PAR1\x15\x04", "d.jsonl", "Parquet", "read_parquet"},
      {"\x1f\x8b\x08", "d.jsonl.gz", "gzip", "gunzip"},         {"[{\"text\":\"a\"}]", "d.json", "array", "jq"},
      {"PK\x03\x04", "d.xlsx", "spreadsheet", "CSV"},
  };
  for (const auto& [text, name, what, cure] : cases) {
    const auto refused = read(text, name);
    ASSERT_FALSE(refused) << name;
    EXPECT_EQ(refused.error().code, ErrorCode::unsupported);
    EXPECT_NE(refused.error().message.find(what), std::string::npos);
    EXPECT_NE(refused.error().hint.find(cure), std::string::npos);
    EXPECT_EQ(refused.error().where, name);
  }
}

TEST(RowReader, a_bad_line_or_record_is_named) {
  EXPECT_EQ(read("{\"text\":\"a\"}\n{\n", "d.jsonl").error().where, "d.jsonl: line 2");
  EXPECT_EQ(read("prompt,completion\na\n", "d.csv").error().where, "d.csv: line 2");
  EXPECT_EQ(read("prompt,prompt\na,b\n", "d.csv").error().where, "d.csv: line 1");
  EXPECT_EQ(read("a,b\nc,d\n", "d.csv").error().where, "d.csv: line 1");
  EXPECT_EQ(read("\xef\xbb\xbf{\"text\":\"a\"}\n", "d.jsonl").error().where, "d.jsonl: line 1");
}

TEST(DataFiles, are_sorted_named_once_and_of_a_kind_that_is_read) {
  const auto folder = *TemporaryFolder::create();
  const auto at = [&](const char* name) { return folder.path() / name; };
  ASSERT_TRUE(make_folder(at("parts")));
  for (const char* name : {"z", "parts/b.jsonl", "parts/a.csv", "parts/note.txt"}) ASSERT_TRUE(write_file(at(name), "{\"text\":\"a\"}\n"));
  EXPECT_EQ(*data_files({at("z"), at("parts")}), (std::vector{at("parts/a.csv"), at("parts/b.jsonl"), at("z")}));
  EXPECT_EQ(*data_files({at("parts"), at("z")}), *data_files({at("z"), at("parts")}));
  EXPECT_EQ(*data_files({at("missing")}), std::vector{at("missing")});  // who opens it says so
  for (const auto& twice : {std::vector{at("z"), at("z")}, std::vector{at("parts"), at("parts/../parts/a.csv")}}) EXPECT_EQ(data_files(twice).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(data_files({}).error().code, ErrorCode::invalid_argument);
  ASSERT_TRUE(make_folder(at("empty")));
  EXPECT_EQ(data_files({at("empty")}).error().code, ErrorCode::not_found);
  ASSERT_TRUE(write_file(at("parts/c.jsonl.gz"), ""));
  EXPECT_EQ(data_files({at("parts")}).error().where, at("parts/c.jsonl.gz"));
}

TEST(DataFiles, give_their_rows_in_turn) {
  const auto folder = *TemporaryFolder::create();
  const auto put = [&](const char* name, std::string_view text) {
    EXPECT_TRUE(write_file(folder.path() / name, text));
    return folder.path() / name;
  };
  const std::vector files = {put("a.jsonl", ""), put("b.jsonl", "{\"text\":\"x\"}"), put("c.csv", "text\ny\n"), put("d.jsonl", "\n{\"text\":\"z\"}\n{")};
  const auto reader = *FilesReader::open(files, 1 << 20);
  std::string found;
  for (int i = 0; i < 3; ++i) {
    const auto row = *reader->next();
    found += *row->file + ":" + std::to_string(row->line) + row_of(*row)->answer + " ";
  }
  EXPECT_EQ(found, "b.jsonl:1x c.csv:2y d.jsonl:2z ");
  EXPECT_EQ(reader->next().error().where, "d.jsonl: line 3");
  const auto alone = *FilesReader::open({files[1]}, 1 << 20);
  EXPECT_EQ((*alone->next())->file, nullptr);
  EXPECT_FALSE(*alone->next());
}

}  // namespace
}  // namespace redoubt::rows
