// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "base/json.h"
#include "openai/answer.h"
#include "openai/request.h"

namespace redoubt::openai {
namespace {

const RequestLimits kChatLimits{
    .messages_max = 4, .prompt_bytes_max = 100, .answer_tokens_max = 50, .answer_tokens_default = 20};
const std::string kMessages = R"("messages":[{"role":"user","content":"hi"}])";

std::string chat(const std::string& more) { return R"({"model":"m",)" + kMessages + (more.empty() ? "" : "," + more) + "}"; }

// The parameter that is refused; "taken" if none is.
std::string refused(const std::string& body) {
  auto parsed = parse_chat_request(body, kChatLimits);
  return parsed ? "taken" : parsed.error().where;
}

TEST(OpenAi, a_chat_with_all_parameters_is_read) {
  auto request = parse_chat_request(
                     chat(R"("temperature":0.5,"top_p":0.9,"max_tokens":10,"seed":-3,"stop":["a","b"],"n":1,"stream":true,
    "stream_options":{"include_usage":true},"presence_penalty":0,"frequency_penalty":0.0,"user":"u","logit_bias":{},"tools":null)"),
                     kChatLimits)
                     .value();
  EXPECT_EQ(request.model, "m");
  EXPECT_DOUBLE_EQ(request.generate.temperature, 0.5);
  EXPECT_EQ(request.generate.max_tokens, 10);
  EXPECT_EQ(request.generate.seed, -3);
  EXPECT_EQ(request.generate.stop, (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(request.stream && request.include_usage);
  EXPECT_FALSE(request.generate.greedy);
}

TEST(OpenAi, a_whole_number_may_be_written_with_a_point_and_lengths_are_characters) {
  EXPECT_EQ(parse_chat_request(chat("\"max_tokens\":3.0,\"seed\":-2.0"), kChatLimits)->generate.max_tokens, 3);
  EXPECT_EQ(refused(chat("\"max_tokens\":3.5")), "max_tokens");
  EXPECT_EQ(refused(chat("\"seed\":1e300")), "seed");
  std::string eth;
  for (int i = 0; i < 64; ++i) eth += "ð";
  EXPECT_EQ(refused(chat("\"stop\":\"" + eth + "\"")), "taken");
  EXPECT_EQ(refused(chat("\"stop\":\"" + eth + "a\"")), "stop");
  EXPECT_EQ(refused(chat("\"user\":null,\"cache_salt\":null")), "taken");
  EXPECT_EQ(refused(chat("\"logit_bias\":{\"01\":1}")), "logit_bias");
  EXPECT_EQ(refused(R"({"model":"","messages":[{"role":"user","content":"hi"}]})"), "model");
}

TEST(OpenAi, sampling_and_logprobs_are_read) {
  const auto request = parse_chat_request(chat(R"("presence_penalty":-2,"frequency_penalty":0.5,"repetition_penalty":1.2,"min_p":0.1,"top_k":7,
    "logit_bias":{"15":-100,"3":2.5},"logprobs":true,"top_logprobs":4)"), kChatLimits)->generate;
  EXPECT_DOUBLE_EQ(request.presence_penalty, -2);
  EXPECT_DOUBLE_EQ(request.frequency_penalty, 0.5);
  EXPECT_DOUBLE_EQ(request.repetition_penalty, 1.2);
  EXPECT_DOUBLE_EQ(request.min_p, 0.1);
  EXPECT_EQ(request.top_k, 7);
  EXPECT_EQ(request.logit_bias, (std::vector<std::pair<int, double>>{{15, -100}, {3, 2.5}}));
  EXPECT_EQ(request.top_logprobs, 4);
  EXPECT_EQ(parse_chat_request(chat("\"logprobs\":true"), kChatLimits)->generate.top_logprobs, 0);
  EXPECT_EQ(parse_chat_request(chat("\"logprobs\":false"), kChatLimits)->generate.top_logprobs, std::nullopt);
  EXPECT_EQ(parse_completion_request(R"({"model":"m","prompt":"a","logprobs":5})", kChatLimits)->generate.top_logprobs, 5);
  EXPECT_FALSE(parse_completion_request(R"({"model":"m","prompt":"a","logprobs":6})", kChatLimits));
  EXPECT_FALSE(parse_completion_request(R"({"model":"m","prompt":"a","logprobs":true})", kChatLimits));
}

TEST(OpenAi, a_response_format_is_compiled_in_the_order_of_its_writer) {
  const auto with = [](const std::string& format) { return parse_chat_request(chat("\"response_format\":" + format), kChatLimits); };
  const auto request = with(R"( {"type":"json_schema","json_schema":{"name":"n","strict":true,"s\u0063hema": {"type":"object", "properties":{"b":{},"a":{"const":"}\\\""}}} }})");
  ASSERT_TRUE(request) << request.error().message;
  EXPECT_EQ(request->generate.schema, R"({"type":"object", "properties":{"b":{},"a":{"const":"}\\\""}}} )");
  EXPECT_TRUE(request->generate.grammar);
  EXPECT_EQ(with(R"({"type":"json_object"})")->generate.schema, R"({"type":"object"})");
  EXPECT_EQ(with(R"({"type":"text"})")->generate.grammar, nullptr);
  const auto refused_schema = with(R"({"type":"json_schema","json_schema":{"name":"n","schema":{"properties":{"a":{"multipleOf":2}}}}})");
  EXPECT_EQ(refused_schema.error().message, "response_format.json_schema.schema, at #/properties/a: 'multipleOf' is not supported");
  for (const char* bad : {R"({"type":"json_schema"})", R"({"type":"json_schema","json_schema":{"name":"n"}})", R"({"type":"json_schema","json_schema":{"schema":{}}})",
                          R"({"type":"json_object","x":1})", R"({"type":"json_schema","json_schema":{"name":"n","schema":{},"x":1}})", R"("json_object")"})
    EXPECT_FALSE(with(bad)) << bad;
}

TEST(OpenAi, logprobs_are_told_in_both_forms) {
  const TokenLogprob half{"\xC3", -0.5, {{"\xC3", -0.5, {}}, {"b", -std::numeric_limits<double>::infinity(), {}}}};
  const Piece piece{"éb", {half, {"\xA9", -1, {}}, {"b", -2, {}}}};
  AnswerFrame frame{Protocol::chat, "id", "m", 1, true};
  StreamPlace place;
  const auto chat_body = *parse_json(answer_body(frame, piece, {"stop", 1, 3}), "answer");
  const auto& entry = chat_body["choices"][0]["logprobs"]["content"][0];
  EXPECT_EQ(entry["token"], "\xEF\xBF\xBD");
  EXPECT_EQ(entry["bytes"], Json::array({0xC3}));
  EXPECT_EQ(entry["top_logprobs"][1]["logprob"], -9999);
  frame.protocol = Protocol::completion;
  const auto event = stream_token(frame, piece, place);
  const auto chunk = *parse_json(std::string_view(event).substr(6), "event");
  EXPECT_EQ(chunk["choices"][0]["logprobs"]["text_offset"], Json::array({0, 1, 1}));
  EXPECT_EQ(chunk["choices"][0]["logprobs"]["token_logprobs"], Json::array({-0.5, -1.0, -2.0}));
  EXPECT_EQ(place.characters, 2u);
  frame.logprobs = false;
  EXPECT_TRUE((*parse_json(answer_body(frame, piece, {"stop", 1, 3}), "answer"))["choices"][0]["logprobs"].is_null());
}

TEST(OpenAi, a_refusal_names_parameters_only) {
  EXPECT_NE(refusal_body("logit_bias").find("\"param\":\"logit_bias\""), std::string::npos);
  EXPECT_EQ(refusal_body("/opt/ml/model").find("/opt"), std::string::npos);
}

TEST(OpenAi, defaults_are_openais) {
  auto request = parse_chat_request(chat(""), kChatLimits).value();
  EXPECT_DOUBLE_EQ(request.generate.temperature, 1.0);
  EXPECT_EQ(request.generate.max_tokens, 20);
  EXPECT_FALSE(request.stream);
  EXPECT_TRUE(parse_chat_request(chat("\"temperature\":0"), kChatLimits)->generate.greedy);
  const auto narrow = parse_chat_request(chat("\"top_p\":0"), kChatLimits).value();
  EXPECT_TRUE(narrow.generate.greedy && narrow.generate.top_p == 1);
  EXPECT_EQ(parse_chat_request(chat("\"max_completion_tokens\":7"), kChatLimits)->generate.max_tokens, 7);
}

TEST(OpenAi, content_may_be_text_parts) {
  auto body =
      R"({"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}]})";
  EXPECT_EQ(parse_chat_request(body, kChatLimits)->generate.messages[0].content, "ab");
  EXPECT_EQ(
      refused(
          R"({"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"http://169.254.169.254/"}}]}]})"),
      "messages[0].content");
}

TEST(OpenAi, numbers_out_of_range_are_refused) {
  for (auto* bad : {"\"max_tokens\":0", "\"max_tokens\":-1", "\"max_tokens\":51", "\"max_tokens\":1.5", "\"max_tokens\":1e9",
                    "\"max_tokens\":\"5\"", "\"max_tokens\":18446744073709551615", "\"max_tokens\":-9223372036854775808"})
    EXPECT_EQ(refused(chat(bad)), "max_tokens") << bad;
  for (auto* bad : {"\"temperature\":-0.1", "\"temperature\":2.1", "\"temperature\":\"1\"", "\"temperature\":true",
                    "\"temperature\":[]"})
    EXPECT_EQ(refused(chat(bad)), "temperature") << bad;
  EXPECT_EQ(refused(chat("\"top_p\":1.01")), "top_p");
  EXPECT_EQ(refused(chat("\"seed\":18446744073709551615")), "seed");
  EXPECT_EQ(refused(chat("\"seed\":1.5")), "seed");
  EXPECT_EQ(refused(chat("\"top_k\":-1")), "top_k");
}

TEST(OpenAi, what_is_not_json_is_refused) {
  for (auto* bad : {"", "x", "[]", "null", "{", "{\"temperature\":NaN}", "{\"temperature\":1e999}", "{\"a\":1,\"a\":2}",
                    "{\"model\":\"\xff\"}"})
    EXPECT_EQ(refused(bad), "") << bad;
  EXPECT_NE(refused(chat("\"stop\":" + std::string(10'000, '[') + std::string(10'000, ']'))), "taken");
}

TEST(OpenAi, what_cannot_be_honoured_is_refused_by_name) {
  for (auto [field, value] : {std::pair{"n", "2"},
                              {"n", "-1"},
                              {"n", "1000000"},
                              {"logprobs", "5"},
                              {"tools", "[{}]"},
                              {"presence_penalty", "2.5"},
                              {"frequency_penalty", "-3"},
                              {"repetition_penalty", "0"},
                              {"min_p", "1.5"},
                              {"top_logprobs", "2"},
                              {"response_format", "{\"type\":\"grammar\"}"},
                              {"response_format", "{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"n\",\"schema\":{\"not\":{}}}}"},
                              {"logit_bias", "{\"1\":101}"},
                              {"logit_bias", "{\"x\":1}"},
                              {"logit_bias", "{\"-1\":1}"},
                              {"logit_bias", "{\"1\":true}"},
                              {"logit_bias", "[1]"},
                              {"functions", "[{}]"},
                              {"store", "true"}})
    EXPECT_EQ(refused(chat("\"" + std::string(field) + "\":" + value)), field) << value;
  EXPECT_EQ(refused(chat("\"chat_template\":\"{{x}}\"")), "chat_template");
  EXPECT_EQ(refused(chat("\"stream_options\":{}")), "stream_options");
}

TEST(OpenAi, messages_are_checked) {
  auto with = [](const std::string& messages) { return "{\"model\":\"m\",\"messages\":" + messages + "}"; };
  EXPECT_EQ(refused(with("[]")), "messages");
  EXPECT_EQ(refused(with("{}")), "messages");
  EXPECT_EQ(refused(with(R"([{"role":"root","content":"a"}])")), "messages[0].role");
  EXPECT_EQ(refused(with(R"([{"role":"tool","content":"a"}])")), "messages[0].role");
  EXPECT_EQ(refused(with(R"([{"role":"user"}])")), "messages[0].content");
  EXPECT_EQ(refused(with(R"([{"role":"user","content":null}])")), "messages[0].content");
  EXPECT_EQ(refused(with(R"([{"role":"user","content":"a","x":1}])")), "messages[0].x");
  EXPECT_EQ(refused(with(R"([{"role":"user","content":")" + std::string(101, 'a') + R"("}])")), "messages");
  EXPECT_EQ(refused(with(R"([1])")), "messages[0]");
}

TEST(OpenAi, stops_are_checked) {
  EXPECT_EQ(refused(chat("\"stop\":\"x\"")), "taken");
  for (auto* bad :
       {"\"stop\":[\"\"]", "\"stop\":\"\"", "\"stop\":[1]", "\"stop\":5", "\"stop\":[\"a\",\"b\",\"c\",\"d\",\"e\"]"})
    EXPECT_EQ(refused(chat(bad)), "stop") << bad;
}

TEST(OpenAi, completions_take_one_prompt) {
  EXPECT_EQ(parse_completion_request(R"({"model":"m","prompt":"a"})", kChatLimits)->generate.prompt, "a");
  EXPECT_EQ(parse_completion_request(R"({"model":"m","prompt":["a"]})", kChatLimits)->generate.prompt, "a");
  RequestLimits of_one_model = kChatLimits;
  of_one_model.model_default = "the-one";
  EXPECT_EQ(parse_completion_request(R"({"prompt":"a"})", of_one_model)->model, "the-one");
  EXPECT_EQ(parse_completion_request(R"({"model":"m","prompt":"a"})", of_one_model)->model, "m");
  EXPECT_FALSE(parse_completion_request(R"({"prompt":"a"})", kChatLimits));
  EXPECT_EQ(parse_completion_request(R"({"model":"m","prompt":"a"})", kChatLimits)->generate.max_tokens, 16);
  for (auto* bad :
       {R"({"model":"m","prompt":["a","b"]})", R"({"model":"m","prompt":[1,2]})", R"({"model":"m","prompt":""})",
        R"({"model":"m"})", R"({"model":"m","prompt":"a","best_of":5})", R"({"model":"m","prompt":"a","echo":true})"})
    EXPECT_FALSE(parse_completion_request(bad, kChatLimits)) << bad;
}

}  // namespace
}  // namespace redoubt::openai
