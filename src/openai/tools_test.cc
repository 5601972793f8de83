// SPDX-License-Identifier: Apache-2.0
//
// The forms of calls are those that Qwen 2.5's, Hermes 2 Pro's and Llama 3.1's published chat templates ask their models for.
#include "openai/tools.h"

#include <gtest/gtest.h>

#include "json_schema/machine.h"
#include "openai/answer.h"
#include "openai/request.h"

namespace redoubt::openai {
namespace {

const RequestLimits kToolLimits{.tools = {.tools_max = 4, .bytes_max = 4096}};
const std::string kWeather = R"({"type":"function","function":{"name":"weather","description":"tells it","parameters":{"type":"object","properties":{"city":{"type":"string"},"a":{"type":"integer"}},"required":["city"],"additionalProperties":false}}})";

Result<CompletionRequest> chat_with(const std::string& more, const RequestLimits& limits = kToolLimits) {
  return parse_chat_request(R"({"model":"m","messages":[{"role":"user","content":"hi"}],)" + more + "}", limits);
}

// Everything that the reader tells of a text that comes in pieces of `step` bytes: text, and calls in brackets.
std::string read(const std::string& text, std::size_t step, ToolChoice choice = ToolChoice::automatic, std::size_t calls_max = 128) {
  ToolCallReader reader({{"weather", "time"}, choice, "", "", calls_max});
  std::string told;
  const auto tell = [&](const ToolCallReader::Found& found) {
    told += found.text;
    for (const auto& call : found.calls) told += "[" + call.name + " " + call.arguments + "]";
  };
  for (std::size_t at = 0; at < text.size(); at += step) tell(reader.take(text.substr(at, step)));
  tell(reader.end());
  return told;
}

TEST(Tools, a_request_with_tools_is_read_in_its_writers_order) {
  const auto request = chat_with("\"tools\":[" + kWeather + R"(],"tool_choice":"auto","parallel_tool_calls":true)").value();
  EXPECT_EQ(request.tools.names, std::vector<std::string>{"weather"});
  EXPECT_EQ(request.generate.tools, "[" + kWeather + "]");
  EXPECT_TRUE(request.uses_tools);
  EXPECT_TRUE(request.generate.schema.empty());
  EXPECT_TRUE(chat_with("\"tools\":[" + kWeather + R"(],"tool_choice":"none")")->generate.tools.empty());
  EXPECT_FALSE(chat_with(R"("tools":[],"tool_choice":"auto")")->uses_tools);
}

TEST(Tools, a_call_that_is_required_is_held_to_the_parameters) {
  for (const char* choice : {R"("required")", R"({"type":"function","function":{"name":"weather"}})"}) {
    const auto request = chat_with("\"tools\":[" + kWeather + "],\"tool_choice\":" + choice).value();
    EXPECT_TRUE(request.generate.grammar);
    EXPECT_NE(request.generate.schema.find(R"("properties":{"city":{"type":"string"},"a":{"type":"integer"}})"), std::string::npos) << request.generate.schema;
    EXPECT_NE(request.generate.schema.find(R"("const":"weather")"), std::string::npos);
  }
}

// As Zod and Pydantic write schemas: with the name of their dialect, and definitions that references name from the document's root.
TEST(Tools, parameters_keep_their_definitions_however_many_tools_there_are) {
  const auto tool_named = [](const std::string& name, const std::string& parameters) { return R"({"type":"function","function":{"name":")" + name + R"(","parameters":)" + parameters + "}}"; };
  const std::string pydantic = R"({"$defs":{"at":{"type":"object","properties":{"x":{"type":"integer"},"in":{"anyOf":[{"$ref":"#/$defs/at"},{"type":"null"}]}},"required":["x"],"additionalProperties":false}},"type":"object","properties":{"to":{"$ref":"#/$defs/at"},"default":{"$ref":"#/$defs/at"}},"required":["to"]})";
  const std::string zod = R"({"$schema":"http://json-schema.org/draft-07/schema#","type":"object","properties":{"by":{"$ref":"#/definitions/name"},"as":{"enum":[{"$ref":"#/kept"}]}},"required":["by"],"additionalProperties":false,"definitions":{"name":{"type":"string"}}})";
  for (const auto& tools : {tool_named("go", pydantic), tool_named("call", zod), tool_named("go", pydantic) + "," + tool_named("call", zod)}) {
    const auto request = chat_with("\"tools\":[" + tools + R"(],"tool_choice":"required")");
    ASSERT_TRUE(request) << request.error().message;
    json_schema::Machine machine(request->generate.grammar);
    const auto takes = [&](std::string_view text) {
      auto at = machine.start();
      for (const char byte : text) at = machine.next(at, static_cast<std::uint8_t>(byte));
      return at != json_schema::Machine::kDead && machine.accepts(at);
    };
    EXPECT_EQ(takes(R"({"name":"go","arguments":{"to":{"x":1,"in":{"x":2}},"default":{"x":3}}})"), tools.find("\"go\"") != tools.npos);
    EXPECT_FALSE(takes(R"({"name":"go","arguments":{"to":{"x":1,"in":{"x":"2"}}}})"));
    EXPECT_EQ(takes(R"({"name":"call","arguments":{"by":"me","as":{"$ref":"#/kept"}}})"), tools.find("\"call\"") != tools.npos);
    EXPECT_FALSE(takes(R"({"name":"call","arguments":{"by":1}})"));
  }
}

TEST(Tools, wrong_tools_are_named) {
  const auto where = [](const std::string& more) {
    const auto parsed = chat_with(more);
    return parsed ? "taken" : parsed.error().where;
  };
  EXPECT_EQ(where("\"tools\":5"), "tools");
  EXPECT_EQ(where(R"("tools":[{"type":"function"}])"), "tools[0].function");
  EXPECT_EQ(where(R"("tools":[{"type":"web_search"}])"), "tools[0]");
  EXPECT_EQ(where(R"("tools":[{"type":"function","function":{"name":"a b"}}])"), "tools[0]");
  EXPECT_EQ(where("\"tools\":[" + kWeather + R"(],"tool_choice":{"type":"function","function":{"name":"other"}})"), "tool_choice");
  EXPECT_EQ(where(R"("tool_choice":"required")"), "tool_choice");
  EXPECT_EQ(where("\"tools\":[" + kWeather + R"(],"logprobs":true)"), "logprobs");
  EXPECT_EQ(where("\"tools\":[" + kWeather + R"(],"tool_choice":"required","response_format":{"type":"json_object"})"), "response_format");
  EXPECT_EQ(where(R"("tools":[{"type":"function","function":{"name":"a","parameters":{"format":"x"}}}],"tool_choice":"required")"), "tools");
  EXPECT_EQ(where("\"tools\":[" + std::string(5000, ' ') + "{}]"), "tools");
  // A server that takes no tools says so.
  EXPECT_EQ(chat_with("\"tools\":[" + kWeather + "]", RequestLimits{}).error().code, ErrorCode::unsupported);
}

TEST(Tools, messages_about_calls_are_read_as_templates_want_them) {
  const auto request = parse_chat_request(R"({"model":"m","messages":[{"role":"user","content":"hi"},
    {"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"weather","arguments":"{\"city\": \"Ulm\", \"a\": 1}"}}]},
    {"role":"tool","tool_call_id":"c1","content":"rain"}]})", kToolLimits).value();
  EXPECT_EQ(request.generate.messages[1].json,
            R"({"role":"assistant","content":"","tool_calls":[{"id":"c1","type":"function","function":{"name":"weather","arguments":{"city":"Ulm","a":1}}}]})");
  EXPECT_EQ(request.generate.messages[2].json, R"({"role":"tool","content":"rain","tool_call_id":"c1"})");
  EXPECT_TRUE(request.uses_tools);
  for (const char* bad : {R"({"role":"user","content":"a","tool_calls":[{}]})", R"({"role":"tool","content":"a"})", R"({"role":"assistant","tool_calls":[5]})",
                          R"({"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"w","arguments":5}}]})"})
    EXPECT_FALSE(parse_chat_request(std::string(R"({"model":"m","messages":[)") + bad + "]}", kToolLimits)) << bad;
  EXPECT_FALSE(parse_chat_request(R"({"model":"m","messages":[{"role":"tool","tool_call_id":"c","content":"a"}]})", RequestLimits{}));
}

TEST(Tools, hermes_calls_are_found_at_any_split) {
  const std::string answer = "I look.\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Ulm </tool\"}}\n</tool_call>\n<tool_call>\n{\"name\": \"time\", \"arguments\": {}}\n</tool_call>";
  for (std::size_t step : {std::size_t{1}, std::size_t{3}, std::size_t{7}, answer.size()})
    EXPECT_EQ(read(answer, step), "I look.[weather {\"city\": \"Ulm </tool\"}][time {}]") << step;
}

TEST(Tools, llama_calls_are_found) {
  for (std::size_t step : {1, 5, 1000}) {
    EXPECT_EQ(read(R"({"name": "weather", "parameters": {"city": "Ulm"}})", step), R"([weather {"city": "Ulm"}])");
    EXPECT_EQ(read(R"(<|python_tag|>{"name": "weather", "parameters": {}}; {"name": "time", "parameters": {"z": "}"}})", step), R"([weather {}][time {"z": "}"}])");
  }
}

TEST(Tools, one_call_is_told_where_several_are_not_wanted) {
  EXPECT_EQ(chat_with("\"tools\":[" + kWeather + R"(],"parallel_tool_calls":false)")->tools.calls_max, 1u);
  EXPECT_EQ(chat_with("\"parallel_tool_calls\":1").error().where, "parallel_tool_calls");
  const std::string call = "<tool_call>{\"name\": \"time\"}</tool_call>";
  for (std::size_t step : {1, 5, 1000}) {
    EXPECT_EQ(read("now" + call + "\n" + call, step, ToolChoice::automatic, 1), "now[time {}]") << step;
    EXPECT_EQ(read(R"({"name": "weather"}; {"name": "time"})", step, ToolChoice::automatic, 1), "[weather {}]") << step;
  }
}

TEST(Tools, who_speaks_may_have_a_name) {
  const auto parse = [](const std::string& message) { return parse_chat_request(R"({"model":"m","messages":[)" + message + "]}", kToolLimits); };
  const auto request = parse(R"({"role":"system","content":"a","name":"Müller-1"},{"role":"user","content":"b","name":""},{"role":"tool","content":"c","tool_call_id":"d","name":"weather"})").value();
  EXPECT_EQ(request.generate.messages[0].json, R"({"role":"system","content":"a","name":"Müller-1"})");
  EXPECT_EQ(request.generate.messages[0].content, "a");
  EXPECT_TRUE(request.generate.messages[1].json.empty());
  EXPECT_EQ(request.generate.messages[2].json, R"({"role":"tool","content":"c","tool_call_id":"d","name":"weather"})");
  for (const std::string bad : {"a b", "a\\n", "<a", "a>", "a|b", "a/b", "\\\\", "\u00a0"})
    EXPECT_EQ(parse(R"({"role":"user","content":"a","name":")" + bad + "\"}").error().where, "messages[0].name") << bad;
  EXPECT_EQ(parse(R"({"role":"user","content":"a","name":")" + std::string(65, 'a') + "\"}").error().where, "messages[0].name");
  EXPECT_EQ(parse_chat_request(R"({"model":"m","messages":[{"role":"user","content":"a","name":"b"}]})", RequestLimits{}).error().code, ErrorCode::unsupported);
}

TEST(Tools, what_only_looks_like_a_call_is_text) {
  for (const std::string text : {"a < b and <tool_box>", "<tool_call>{\"name\": \"other\", \"arguments\": {}}</tool_call>", "<tool_call>no json</tool_call> more",
                                 "{\"name\": \"weather\", \"parameters\": {}} is a call", "{}", "{\"name\":", "<|python", "text  ", "<tool_call>{\"name\": \"weather\", \"arguments\": 5}</tool_call>"})
    for (std::size_t step : {1, 4, 1000}) EXPECT_EQ(read(text, step), text) << step;
  EXPECT_EQ(read("<tool_call>{\"name\": \"weather\"}", 3), "[weather {}]");  // a stop string ended it
}

TEST(Tools, a_forced_answer_is_a_call_without_tags) {
  EXPECT_EQ(read(R"({"name":"weather","arguments":{"city":"x"}})", 2, ToolChoice::required), R"([weather {"city":"x"}])");
}

TEST(Tools, calls_are_told_whole_and_streamed) {
  const Piece piece{"", {}, {{"call_1", {"weather", "{}"}}}};
  const auto body = *parse_json(answer_body({}, piece, {"tool_calls", 1, 1}), "answer");
  EXPECT_EQ(body["choices"][0]["message"]["content"], Json());
  EXPECT_EQ(body["choices"][0]["message"]["tool_calls"][0], (Json{{"id", "call_1"}, {"type", "function"}, {"function", {{"name", "weather"}, {"arguments", "{}"}}}}));
  StreamPlace place;
  (void)stream_token({}, piece, place);
  const auto event = stream_token({}, piece, place);
  EXPECT_EQ((*parse_json(event.substr(6), "event"))["choices"][0]["delta"]["tool_calls"][0]["index"], 1);
}

}  // namespace
}  // namespace redoubt::openai
