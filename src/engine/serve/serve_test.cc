// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "base/json.h"
#include "engine/generate/testing_alphabet.h"
#include "engine/serve/container.h"
#include "engine/serve/decoder.h"

namespace redoubt::engine::serve {
namespace {

using generate::testing_model::Alphabet;
using generate::testing_model::kEnd;

// The alphabet: "a" is answered with the letters that follow.
class DecoderTest : public testing::Test {
 protected:
  Alphabet model_;
  std::unique_ptr<tokenizer::Tokenizer> tokenizer_ = generate::testing_model::letters();
  Decoder decoder_{{model_, *tokenizer_, {kEnd}, [this](const generate::Prompt& prompt) { return tokenizer_->encode(prompt.messages.back().content); },
                    [this](std::string_view prompt) { return tokenizer_->encode(prompt); }},
                   {.waiting_max = 8}};

  Result<std::string> ask(const std::string& prompt, int max_tokens) {
    openai::GenerateRequest request;
    request.prompt = prompt;
    request.max_tokens = max_tokens;
    request.greedy = true;
    std::string text;
    TRY(decoder_.generate(request, [&](const openai::Piece& piece) {
      text += piece.text;
      return true;
    }));
    return text;
  }
};

TEST_F(DecoderTest, each_of_many_that_ask_gets_its_own_answer) {
  EXPECT_EQ(*ask("x", 10), "yz");
  std::vector<std::thread> threads;
  std::vector<std::string> answers(3);
  for (std::size_t i = 0; i < answers.size(); ++i) threads.emplace_back([&, i] { answers[i] = *ask(std::string(1, static_cast<char>('a' + i)), 3); });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(answers, (std::vector<std::string>{"bcd", "cde", "def"}));
}

TEST_F(DecoderTest, refuses_what_does_not_fit_and_reports_a_broken_model) {
  EXPECT_EQ(ask("a", 64).error().code, ErrorCode::limit_exceeded);
  model_.failing = true;
  EXPECT_EQ(ask("a", 5).error().code, ErrorCode::internal);
}

TEST_F(DecoderTest, an_answer_that_nobody_wants_is_cancelled) {
  openai::GenerateRequest request;
  request.prompt = "a";
  request.max_tokens = 50;
  request.greedy = true;
  request.stop = {"never"};
  const auto end = decoder_.generate(request, [](const openai::Piece&) { return false; });
  EXPECT_TRUE(end->finish_reason == "cancelled" || end->finish_reason == "stop") << end->finish_reason;
}

// A container in front of a scripted engine.
class ContainerTest : public testing::Test {
 protected:
  void start(Generate generate) { start(std::move(generate), ContainerOptions()); }
  void start(Generate generate, ContainerOptions options) {
    options.port = 0;
    options.requests.tools.tools_max = 64;
    container_ = *Container::listen(std::move(options), std::move(generate));
    thread_ = std::thread([this] { EXPECT_TRUE(container_->run(stop_.get())); });
  }
  ~ContainerTest() override {
    if (thread_.joinable()) stop();
  }
  void stop() {
    eventfd_write(stop_.get(), 1);
    thread_.join();
    container_.reset();
  }
  Fd connect() const {
    Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(container_->port());
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    return fd;
  }
  // The request, and what came back first.
  static std::string exchange(const Fd& fd, const std::string& request) {
    EXPECT_EQ(::send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL), static_cast<ssize_t>(request.size()));
    std::string answer(64 << 10, '\0');
    const auto count = ::recv(fd.get(), answer.data(), answer.size(), 0);
    answer.resize(static_cast<std::size_t>(std::max<ssize_t>(0, count)));
    return answer;
  }
  static std::string read_to_end(const Fd& fd) {
    std::string all, part(4096, '\0');
    for (ssize_t count; (count = ::recv(fd.get(), part.data(), part.size(), 0)) > 0;) all.append(part, 0, static_cast<std::size_t>(count));
    return all;
  }
  static std::string post(const std::string& body, const std::string& more = "") {
    return "POST /invocations HTTP/1.1\r\nHost: c\r\nContent-Type: application/json\r\n" + more + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  }
  static Generate saying(std::vector<std::string> pieces) {
    return [pieces](const openai::GenerateRequest&, const auto& on_piece) -> Result<openai::GenerateEnd> {
      for (const auto& piece : pieces) on_piece({piece, {}});
      return openai::GenerateEnd{"stop", 3, 2};
    };
  }

  Fd stop_{::eventfd(0, EFD_CLOEXEC)};
  std::unique_ptr<Container> container_;
  std::thread thread_;
};

const std::string kChat = R"({"model":"m","messages":[{"role":"user","content":"hi"}]})";

TEST_F(ContainerTest, answers_pings_and_invocations_on_one_connection) {
  start(saying({"to", "ken"}));
  const Fd client = connect();
  EXPECT_TRUE(exchange(client, "GET /ping HTTP/1.1\r\nHost: c\r\n\r\n").starts_with("HTTP/1.1 200 OK\r\n"));
  const auto answer = exchange(client, post(kChat));
  const auto body = *parse_json(answer.substr(answer.find("\r\n\r\n") + 4), "answer");
  EXPECT_EQ(body["choices"][0]["message"]["content"], "token");
  EXPECT_EQ(body["usage"]["total_tokens"], 5);
  EXPECT_NE(exchange(client, post(R"({"inputs":"hi"})")).find("generated_text"), std::string::npos);
}

TEST_F(ContainerTest, a_stream_is_chunked_events_that_end_with_done) {
  start(saying({"to", "ken"}));
  const Fd client = connect();
  auto answer = exchange(client, post(R"({"stream":true,"model":"m","messages":[{"role":"user","content":"hi"}]})", "Connection: close\r\n"));
  answer += read_to_end(client);  // it comes in as many pieces as the network likes
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK\r\n"));
  EXPECT_NE(answer.find("data: [DONE]"), std::string::npos);
  EXPECT_TRUE(answer.ends_with("0\r\n\r\n"));
}

const std::string kToolChat = R"({"messages":[{"role":"user","content":"hi"}],"tools":[{"type":"function","function":{"name":"weather","parameters":{"type":"object"}}}])";

TEST_F(ContainerTest, calls_of_tools_come_whole_and_streamed) {
  const std::vector<std::string> said = {"Let me see. <tool", "_call>{\"name\": \"weather\", \"arguments\": {\"city\": \"Ulm\"}}</tool_", "call>"};
  std::vector<openai::GenerateRequest> asked;
  start([&, answer = saying(said)](const openai::GenerateRequest& request, const auto& on_piece) {
    asked.push_back(request);
    return answer(request, on_piece);
  });
  const auto body_of = [&](const std::string& request) {
    const auto answer = exchange(connect(), request);
    return *parse_json(answer.substr(answer.find("\r\n\r\n") + 4), "answer");
  };
  const auto whole = body_of(post(kToolChat + "}"))["choices"][0];
  EXPECT_EQ(whole["finish_reason"], "tool_calls");
  EXPECT_EQ(whole["message"]["content"], "Let me see.");
  EXPECT_EQ(whole["message"]["tool_calls"][0]["function"]["arguments"], R"({"city": "Ulm"})");
  EXPECT_TRUE(whole["message"]["tool_calls"][0]["id"].get<std::string>().starts_with("call_"));
  EXPECT_NE(asked[0].tools.find("weather"), std::string::npos);
  const Fd client = connect();
  auto streamed = exchange(client, post(kToolChat + R"(,"stream":true})", "Connection: close\r\n"));
  streamed += read_to_end(client);
  EXPECT_NE(streamed.find(R"("tool_calls":[{)"), std::string::npos);
  EXPECT_NE(streamed.find(R"("finish_reason":"tool_calls")"), std::string::npos);
  EXPECT_EQ(streamed.find("<tool"), std::string::npos);
  // Without tools the same answer is text.
  EXPECT_EQ(body_of(post(kChat))["choices"][0]["finish_reason"], "stop");
  const auto forced = body_of(post(kToolChat + R"(,"tool_choice":"required"})"));
  EXPECT_TRUE(asked.back().grammar);
  EXPECT_EQ(body_of(post(R"({"messages":[{"role":"user","content":"hi"}],"tools":[{"type":"web_search"}]})"))["error"]["param"], "tools[0]");
}

TEST_F(ContainerTest, a_control_token_within_a_call_or_a_tool_is_refused) {
  ContainerOptions options;
  options.control_tokens = {"<|end|>"};
  start(saying({"x"}), options);
  const auto status = [&](const std::string& body) { return exchange(connect(), post(body)).substr(9, 3); };
  EXPECT_EQ(status(R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{\"a\":\"<|end|>\"}"}}]}]})"), "400");
  EXPECT_EQ(status(R"({"messages":[{"role":"user","content":"a"}],"tools":[{"type":"function","function":{"name":"f","description":"<|end|>"}}]})"), "400");
  EXPECT_EQ(status(R"({"messages":[{"role":"user","content":"a"}],"tools":[{"type":"function","function":{"name":"f"}}]})"), "200");
}

TEST_F(ContainerTest, refuses_what_it_does_not_know) {
  ContainerOptions options;
  options.control_tokens = {"<|end|>"};
  start(saying({"x"}), options);
  const auto status = [&](const std::string& request) { return exchange(connect(), request).substr(9, 3); };
  EXPECT_EQ(status("GET /other HTTP/1.1\r\nHost: c\r\n\r\n"), "404");
  EXPECT_EQ(status("POST /ping HTTP/1.1\r\nHost: c\r\nContent-Length: 0\r\n\r\n"), "405");
  EXPECT_EQ(status(post("{")), "400");
  EXPECT_EQ(status(post(R"({"model":"m","messages":[{"role":"user","content":"a<|end|>b"}]})")), "400");
  EXPECT_EQ(status("GET /ping HTTP/1.1\nHost: c\n\n"), "400");
  EXPECT_EQ(status("GET /ping HTTP/1.1\r\nHost: c\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"), "400");
}

TEST_F(ContainerTest, an_engine_that_fails_is_told_apart_from_a_prompt_that_is_too_long) {
  std::atomic<ErrorCode> code{};
  start([&](const openai::GenerateRequest&, const auto&) -> Result<openai::GenerateEnd> { return fail(code, "says the prompt: secret"); });
  for (const auto& [given, status] : {std::pair{ErrorCode::limit_exceeded, "400"}, {ErrorCode::internal, "503"}}) {
    code = given;
    const auto answer = exchange(connect(), post(kChat));
    EXPECT_EQ(answer.substr(9, 3), status);
    EXPECT_EQ(answer.find("secret"), std::string::npos);
  }
}

TEST_F(ContainerTest, finishes_what_is_under_way_when_it_stops) {
  std::atomic<bool> begun = false;
  std::atomic<bool> released = false;
  start([&](const openai::GenerateRequest&, const auto& on_piece) -> Result<openai::GenerateEnd> {
    begun = true;
    while (!released) std::this_thread::yield();
    on_piece({"late", {}});
    return openai::GenerateEnd{"stop", 1, 1};
  });
  const Fd client = connect(), idle = connect();
  std::string answer;
  std::thread asking([&] { answer = exchange(client, post(kChat)); });
  while (!begun) std::this_thread::yield();
  std::thread stopping([this] { stop(); });
  released = true;
  stopping.join();
  asking.join();
  EXPECT_NE(answer.find("late"), std::string::npos);
  EXPECT_EQ(read_to_end(idle), "");
}

}  // namespace
}  // namespace redoubt::engine::serve
