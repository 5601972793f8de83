// SPDX-License-Identifier: Apache-2.0
#include "gateway/worker_event.h"

#include <gtest/gtest.h>

#include "base/json.h"
#include "gateway/worker_connection.h"
#include "gateway/worker_message.h"

namespace redoubt::gateway {
namespace {

template <typename Event>
Event read(const std::string& line) {
  WorkerEventReader reader;
  const auto event = reader.read(line);
  EXPECT_TRUE(event) << line << ": " << event.error().message;
  return std::get<Event>(event.value());
}

TEST(WorkerEventTest, each_event_of_the_protocol_is_read) {
  const auto ready = read<WorkerReady>(R"({"type":"ready","protocol":1,"context_length":2048,"slots":4,"adapters":["a","b"],"tools":true})");
  EXPECT_EQ(ready.slots, 4);
  EXPECT_EQ(ready.context_length, 2048);
  EXPECT_EQ(ready.adapters, (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(ready.knows_scopes && ready.knows_tools);
  const auto old = read<WorkerReady>(R"({"type":"ready","protocol":1,"context_length":2048,"slots":100000})");
  EXPECT_FALSE(old.knows_scopes || old.knows_tools);
  EXPECT_EQ(old.slots, 1024);
  read<WorkerPong>(R"({"type":"pong","id":"3"})");
  EXPECT_EQ(read<RequestStarted>(R"({"type":"started","id":"7","prompt_tokens":12})").prompt_tokens, 12);
  EXPECT_EQ(read<RequestToken>(R"({"type":"token","id":"18446744073709551615","text":"Gr\u00fc\u00dfe \n"})").piece.text, "Grüße \n");
  EXPECT_EQ(read<RequestToken>(R"({"type":"token","id":"18446744073709551615","text":""})").id, 18446744073709551615u);
  const auto likely = read<RequestToken>(R"({"type":"token","id":"1","text":"a","logprobs":[{"bytes":[97,255],"logprob":-1,"top":[{"bytes":[98],"logprob":-0.5}]}]})").piece.logprobs;
  ASSERT_EQ(likely.size(), 1u);
  EXPECT_EQ(likely[0].bytes, "a\xff");
  EXPECT_EQ(likely[0].top.at(0).logprob, -0.5);
  const auto done = read<RequestDone>(R"({"type":"done","id":"1","finish_reason":"stop","prompt_tokens":7,"completion_tokens":3,"reused_tokens":2})").end;
  EXPECT_EQ(done.finish_reason, "stop");
  EXPECT_EQ(done.prompt_tokens + done.completion_tokens * 10 + done.reused_tokens * 100, 237);
  const std::string end = R"({"type":"done","id":"1","finish_reason":"stop","prompt_tokens":7,"completion_tokens":3)";
  EXPECT_FALSE(read<RequestDone>(end + "}").times.engine);
  const auto times = read<RequestDone>(end + R"(,"queue_us":5,"prefill_us":20,"decode_us":300})").times.engine;
  ASSERT_TRUE(times);
  EXPECT_EQ((times->queue + times->prefill + times->decode).count(), 325);
}

TEST(WorkerEventTest, an_error_says_whose_fault_it_is) {
  const auto kind = [](const std::string& rest) { return read<RequestFailed>(R"({"type":"error","id":"1","message":"m")" + rest + "}").error; };
  EXPECT_EQ(kind(R"(,"code":"limit_exceeded")").code, ErrorCode::limit_exceeded);
  EXPECT_EQ(kind(R"(,"code":"invalid_argument")").code, ErrorCode::invalid_argument);
  EXPECT_EQ(kind(R"(,"code":"unsupported")").code, ErrorCode::invalid_argument);
  EXPECT_EQ(kind(R"(,"code":"internal")").code, ErrorCode::unavailable);
  EXPECT_EQ(kind(R"(,"code":"internal")").where, "engine worker");
  EXPECT_EQ(kind(R"(,"code":"internal","param":"top_p")").code, ErrorCode::invalid_argument);
  EXPECT_EQ(kind(R"(,"code":"internal","param":"top_p")").where, "top_p");
}

TEST(WorkerEventTest, what_is_no_event_is_refused) {
  WorkerEventReader reader;
  const std::string wrong[] = {"",
                               "null",
                               "[]",
                               "not json",
                               R"({"type":"pong","id":"1"} x)",
                               R"({"type":"pong","type":"pong"})",
                               R"({"id":"1"})",
                               R"({"type":"other","id":"1"})",
                               R"({"type":7})",
                               R"({"type":"started","id":"1"})",
                               R"({"type":"started","id":1,"prompt_tokens":1})",
                               R"({"type":"started","id":"","prompt_tokens":1})",
                               R"({"type":"started","id":"-1","prompt_tokens":1})",
                               R"({"type":"started","id":"1x","prompt_tokens":1})",
                               R"({"type":"started","id":"18446744073709551616","prompt_tokens":1})",
                               R"({"type":"started","id":"1","prompt_tokens":-1})",
                               R"({"type":"started","id":"1","prompt_tokens":1.0})",
                               R"({"type":"started","id":"1","prompt_tokens":9000000000})",
                               R"({"type":"token","id":"1"})",
                               R"({"type":"token","id":"1","text":null})",
                               "{\"type\":\"token\",\"id\":\"1\",\"text\":\"\xff\"}",
                               std::string("{\"type\":\"token\",\"id\":\"1\",\"text\":\"\0\"}", 35),
                               R"({"type":"token","id":"1","text":"a","logprobs":[7]})",
                               R"({"type":"token","id":"1","text":"a","logprobs":[{"bytes":[256],"logprob":0,"top":[]}]})",
                               R"({"type":"token","id":"1","text":"a","logprobs":[{"bytes":[1],"logprob":0}]})",
                               R"({"type":"token","id":"1","text":"a","deep":[[[[[[[[[[1]]]]]]]]]]})",
                               R"({"type":"done","id":"1","finish_reason":"stop","prompt_tokens":7})",
                               R"({"type":"done","id":"1","finish_reason":"stop","prompt_tokens":7,"completion_tokens":3,"reused_tokens":"2"})",
                               R"({"type":"done","id":"1","finish_reason":"stop","prompt_tokens":7,"completion_tokens":3,"queue_us":1,"prefill_us":2})",
                               R"({"type":"done","id":"1","finish_reason":"stop","prompt_tokens":7,"completion_tokens":3,"queue_us":-1,"prefill_us":2,"decode_us":3})",
                               R"({"type":"done","id":"1","finish_reason":"stop","prompt_tokens":7,"completion_tokens":3,"queue_us":1,"prefill_us":9000000000000000,"decode_us":3})",
                               R"({"type":"error","id":"1","code":"internal"})",
                               R"({"type":"ready","protocol":2,"context_length":2048,"slots":4})",
                               R"({"type":"ready","protocol":1,"context_length":2048,"slots":4,"adapters":[1]})",
                               R"({"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1,"j":1,"k":1,"l":1,"m":1,"n":1,"o":1,"p":1,"q":1})"};
  for (const auto& line : wrong) {
    const auto event = reader.read(line);
    ASSERT_FALSE(event) << line;
    EXPECT_EQ(event.error().code, ErrorCode::unavailable) << line;
  }
  EXPECT_TRUE(reader.read(R"({"type":"pong","id":"1"})"));  // the reader is as good as before
}

TEST(WorkerEventTest, a_line_may_be_as_long_as_the_protocol_says) {
  WorkerEventReader reader;
  const std::string head = R"({"type":"token","id":"1","text":")", tail = "\"}";
  const std::string text(kWorkerLineBytesMax - head.size() - tail.size(), 'a');
  const auto event = reader.read(head + text + tail);
  ASSERT_TRUE(event);
  EXPECT_EQ(std::get<RequestToken>(*event).piece.text, text);
}

TEST(WorkerMessageTest, a_request_is_a_line_of_json) {
  openai::GenerateRequest request;
  request.messages = {{"user", "Grüße\n\"\x01"}, {"tool", "x", R"({"role":"tool"})"}};
  request.temperature = 0.7;
  request.stop = {"\n"};
  request.logit_bias = {{5, -2.5}, {17, 100}};
  request.seed = -3;
  request.scope = "key/";
  const auto line = parse_json(generate_line(12, generate_options(request), request.scope), "").value();
  const Json expected = {{"type", "generate"}, {"id", "12"}, {"scope", "key/"}, {"max_tokens", 512}, {"temperature", 0.7}, {"top_p", 1.0}, {"top_k", 0}, {"greedy", false},
                         {"stop", {"\n"}}, {"logit_bias", {{"5", -2.5}, {"17", 100.0}}}, {"seed", -3},
                         {"messages", {{{"role", "user"}, {"content", "Grüße\n\"\x01"}}, {{"role", "tool"}, {"content", "x"}, {"json", R"({"role":"tool"})"}}}}};
  EXPECT_EQ(line, expected);
  request.prompt = "a";
  request.scope.clear();
  const auto plain = parse_json(generate_line(1, generate_options(request), ""), "").value();
  EXPECT_EQ(plain["prompt"], "a");
  EXPECT_FALSE(plain.contains("messages") || plain.contains("scope"));
  EXPECT_EQ(parse_json(cancel_line(7), "").value(), (Json{{"type", "cancel"}, {"id", "7"}}));
  EXPECT_EQ(parse_json(ping_line(8), "").value(), (Json{{"type", "ping"}, {"id", "8"}}));
}

}  // namespace
}  // namespace redoubt::gateway
