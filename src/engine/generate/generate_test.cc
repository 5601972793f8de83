// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <thread>

#include "base/bytes.h"
#include "base/file.h"
#include "engine/generate/prefix_cache.h"
#include "engine/generate/request_fields.h"
#include "engine/generate/testing_alphabet.h"
#include "engine/generate/testing_texts.h"
#include "engine/generate/worker.h"

namespace redoubt::engine::generate {
namespace {

using testing_model::Alphabet;
using testing_model::kEnd;
using testing_model::letters;

struct Recorder final : Listener {
  void started(const std::string& id, std::size_t tokens) override { log += id + ":started " + std::to_string(tokens) + "\n"; }
  void piece(const std::string& id, const Piece& piece) override {
    texts[id] += piece.text;
    auto& told = logprobs[id];
    told.insert(told.end(), piece.logprobs.begin(), piece.logprobs.end());
  }
  void done(const std::string& id, FinishReason reason, const Usage& usage) override {
    log += id + ":" + to_string(reason) + " " + std::to_string(usage.completion) + "\n";
    reused[id] = usage.reused;
    phases[id] = usage.phases;
  }
  void failed(const std::string& id, const Error& error) override { log += id + ":failed " + error.message + "\n"; }
  std::string log;
  std::map<std::string, std::string> texts;
  std::map<std::string, std::vector<ChosenLogprob>> logprobs;
  std::map<std::string, std::size_t> reused;
  std::map<std::string, std::optional<Phases>> phases;
};

Request asking(std::string id, std::vector<std::int32_t> prompt, std::int64_t max_tokens, std::vector<std::string> stop = {}) {
  return {.id = std::move(id), .prompt = std::move(prompt), .max_tokens = max_tokens, .sampling = {.greedy = true}, .stop = std::move(stop)};
}

class SchedulerTest : public testing::Test {
 protected:
  Alphabet model;
  Recorder recorder;
  std::unique_ptr<tokenizer::Tokenizer> tokenizer = letters();
  Scheduler scheduler{model, *tokenizer, {kEnd}, recorder, {.waiting_max = 3, .prompt_piece = 4}};
  void run() {
    while (scheduler.busy()) scheduler.step();
  }
};

TEST_F(SchedulerTest, ends_at_the_end_token_at_a_stop_string_and_at_the_length) {
  ASSERT_TRUE(scheduler.submit(asking("end", {23}, 10)));
  ASSERT_TRUE(scheduler.submit(asking("stop", {0}, 20, {"fgh", "zz"})));
  ASSERT_TRUE(scheduler.submit(asking("length", {0}, 3, {"cx"})));
  run();
  EXPECT_EQ(recorder.texts["end"], "yz");
  EXPECT_EQ(recorder.texts["stop"], "bcde");
  EXPECT_EQ(recorder.texts["length"], "bcd");
  EXPECT_NE(recorder.log.find("end:stop 3\n"), std::string::npos);
  EXPECT_NE(recorder.log.find("stop:stop 7\n"), std::string::npos);
  EXPECT_NE(recorder.log.find("length:length 3\n"), std::string::npos);
}

TEST_F(SchedulerTest, decodes_several_at_once_and_reads_long_prompts_in_pieces) {
  ASSERT_TRUE(scheduler.submit(asking("short", {0}, 20)));
  ASSERT_TRUE(scheduler.submit(asking("long", std::vector<std::int32_t>(30, 1), 5)));
  run();
  EXPECT_EQ(model.widest, 2u);
  EXPECT_EQ(model.longest_piece, 4u);
  EXPECT_EQ(recorder.texts["long"], "cdefg");
  EXPECT_TRUE(model.sequences.empty());
}

TEST_F(SchedulerTest, reads_as_many_short_prompts_in_a_step_as_are_no_longer_than_a_piece) {
  ASSERT_TRUE(scheduler.submit(asking("a", {0, 0}, 20)));
  ASSERT_TRUE(scheduler.submit(asking("b", {0, 0}, 20)));
  scheduler.step();
  EXPECT_EQ(recorder.texts["a"], "bc");
  EXPECT_EQ(recorder.texts["b"], "bc");
  scheduler.cancel("a");
  scheduler.cancel("b");
  ASSERT_TRUE(scheduler.submit(asking("c", {0, 0, 0}, 20)));
  ASSERT_TRUE(scheduler.submit(asking("d", {0, 0}, 20)));
  scheduler.step();
  EXPECT_EQ(recorder.texts["c"] + recorder.texts["d"], "bc");
  scheduler.step();
  EXPECT_EQ(model.longest_piece, 3u);
  EXPECT_EQ(recorder.texts["c"].size() + recorder.texts["d"].size(), 5u);
}

TEST_F(SchedulerTest, tells_where_the_time_of_a_request_went) {
  for (const char* id : {"a", "b", "c"}) ASSERT_TRUE(scheduler.submit(asking(id, {0, 0}, 20)));
  scheduler.step();
  scheduler.cancel("c");  // which has waited only
  const auto begun = std::chrono::steady_clock::now();
  ASSERT_TRUE(scheduler.submit(asking("d", {0, 0}, 20)));
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  run();
  const auto& a = recorder.phases["a"].value();
  const auto& c = recorder.phases["c"].value();
  const auto& d = recorder.phases["d"].value();
  EXPECT_GE(a.decode, std::chrono::milliseconds(5));
  EXPECT_GT(c.queue.count(), 0);
  EXPECT_EQ((c.prefill + c.decode).count(), 0);
  EXPECT_GE(d.queue, std::chrono::milliseconds(5));  // for a's slot or b's
  EXPECT_LE(d.queue + d.prefill + d.decode, std::chrono::steady_clock::now() - begun);
}

TEST_F(SchedulerTest, never_hands_out_half_a_character) {
  ASSERT_TRUE(scheduler.submit(asking("cut", {kEnd}, 1)));
  ASSERT_TRUE(scheduler.submit(asking("whole", {kEnd}, 2)));
  run();
  EXPECT_EQ(recorder.texts["cut"], "\xEF\xBF\xBD");
  EXPECT_EQ(recorder.texts["whole"], "é");
}

TEST_F(SchedulerTest, tells_the_logprobs_of_the_tokens_whose_text_it_tells) {
  auto request = asking("stop", {0}, 20, {"fgh"});
  request.top_logprobs = 2;
  ASSERT_TRUE(scheduler.submit(request));
  auto cut = asking("cut", {kEnd}, 1);  // half a character
  cut.top_logprobs = 0;
  ASSERT_TRUE(scheduler.submit(cut));
  run();
  ASSERT_EQ(recorder.logprobs["stop"].size(), 4u);  // b c d e
  EXPECT_EQ(recorder.logprobs["stop"][0].chosen.id, 1);
  EXPECT_NEAR(recorder.logprobs["stop"][0].chosen.logprob, 9 - std::log(28 + std::exp(9)), 1e-5);
  ASSERT_EQ(recorder.logprobs["stop"][0].top.size(), 2u);
  EXPECT_EQ(recorder.logprobs["stop"][0].top[0].id, 1);
  EXPECT_EQ(recorder.logprobs["stop"][0].top[1].id, 0);
  ASSERT_EQ(recorder.logprobs["cut"].size(), 1u);
  EXPECT_TRUE(recorder.logprobs["cut"][0].top.empty());
}

TEST_F(SchedulerTest, refuses_sampling_that_the_model_cannot_do) {
  const auto refused = [&](SamplingOptions sampling) {
    auto request = asking("a", {0}, 1);
    request.sampling = std::move(sampling);
    const auto done = scheduler.submit(request);
    return done ? std::string("taken") : done.error().where;
  };
  EXPECT_EQ(refused({.logit_bias = {{29, 1}}}), "logit_bias");
  EXPECT_EQ(refused({.logit_bias = {{-1, 1}}}), "logit_bias");
  EXPECT_EQ(refused({.logit_bias = {{1, NAN}}}), "logit_bias");
  EXPECT_EQ(refused({.temperature = -1}), "temperature");
  EXPECT_EQ(refused({.top_p = 0}), "top_p");
  EXPECT_EQ(refused({.top_k = -1}), "top_k");
  EXPECT_EQ(refused({.min_p = 1.1}), "min_p");
  EXPECT_EQ(refused({.repetition_penalty = 0}), "repetition_penalty");
  EXPECT_EQ(refused({.presence_penalty = 3}), "presence_penalty");
  EXPECT_EQ(refused({.frequency_penalty = NAN}), "frequency_penalty");
  EXPECT_EQ(refused({.logit_bias = {{28, 1}}}), "taken");
}

TEST_F(SchedulerTest, refuses_what_does_not_fit) {
  EXPECT_EQ(scheduler.submit(asking("a", {}, 1)).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(scheduler.submit(asking("a", std::vector<std::int32_t>(64, 0), 1)).error().code, ErrorCode::limit_exceeded);
  EXPECT_EQ(scheduler.submit(asking("a", {0}, 64)).error().code, ErrorCode::limit_exceeded);
  for (const char* id : {"a", "b", "c"}) EXPECT_TRUE(scheduler.submit(asking(id, {0}, 1)));
  EXPECT_EQ(scheduler.submit(asking("a", {0}, 1)).error().code, ErrorCode::already_exists);
  EXPECT_EQ(scheduler.submit(asking("d", {0}, 1)).error().code, ErrorCode::limit_exceeded);
}

TEST_F(SchedulerTest, cancels_waiting_and_running_requests) {
  for (const char* id : {"a", "b", "c"}) ASSERT_TRUE(scheduler.submit(asking(id, {0}, 50)));
  scheduler.step();
  scheduler.cancel("c");
  scheduler.cancel("a");
  scheduler.cancel("nobody");
  EXPECT_NE(recorder.log.find("c:cancelled 0\n"), std::string::npos);
  EXPECT_NE(recorder.log.find("a:cancelled"), std::string::npos);
  EXPECT_EQ(scheduler.running(), 1u);
}

TEST_F(SchedulerTest, reads_only_what_is_not_there_of_a_prompt) {
  model.reusable = 10;
  ASSERT_TRUE(scheduler.submit(asking("a", std::vector<std::int32_t>(12, 3), 2)));
  ASSERT_TRUE(scheduler.submit(asking("b", {3}, 2)));
  run();
  EXPECT_EQ(recorder.texts["a"], "ef");
  EXPECT_EQ(recorder.reused["a"], 10u);
  EXPECT_EQ(recorder.reused["b"], 0u);
  EXPECT_LE(model.longest_piece, 2u);
}

TEST_F(SchedulerTest, knows_its_adapters) {
  auto request = asking("a", {0}, 1);
  request.owner = {"tenant", 1};
  ASSERT_TRUE(scheduler.submit(request));
  run();
  EXPECT_EQ(model.owners[0], (PrefixOwner{"tenant", 1}));
  request.owner.adapter = 2;
  EXPECT_EQ(scheduler.submit(request).error().where, "model");
}

TEST_F(SchedulerTest, tells_when_the_model_fails_and_goes_on) {
  model.failing = true;
  ASSERT_TRUE(scheduler.submit(asking("a", {0}, 5)));
  run();
  EXPECT_NE(recorder.log.find("a:failed broken\n"), std::string::npos);
  model.failing = false;
  ASSERT_TRUE(scheduler.submit(asking("a", {0}, 1)));
  run();
  EXPECT_EQ(recorder.texts["a"], "b");
}

TEST(StopFilter, holds_back_what_may_become_a_stop) {
  StopFilter filter({"END", "NO"});
  EXPECT_EQ(filter.push("aE"), "a");
  EXPECT_EQ(filter.push("N"), "");
  EXPECT_EQ(filter.push("x"), "ENx");
  EXPECT_EQ(filter.push("bEN"), "b");
  EXPECT_EQ(filter.push("D tail"), "");
  EXPECT_TRUE(filter.stopped());
  EXPECT_EQ(filter.push("more"), "");
  StopFilter unfinished({"END"});
  EXPECT_EQ(unfinished.push("E"), "");
  EXPECT_EQ(unfinished.finish(), "E");
}

Result<Request> parse_options(const Json& message) { return read_options(TRY(request_values(message))); }

TEST(RequestFields, refuse_what_is_out_of_bounds) {
  const Json good = {{"type", "generate"}, {"id", "1"}, {"max_tokens", 5}, {"seed", -1}, {"stop", {"x"}}, {"temperature", 0.5}};
  EXPECT_TRUE(parse_options(good));
  for (const Json& bad : {Json{{"max_tokens", 0}}, Json{{"max_tokens", -5}}, Json{{"max_tokens", 1e30}}, Json{{"max_tokens", "5"}},
                         Json{{"temperature", "1"}}, Json{{"top_p", true}}, Json{{"top_k", -1}}, Json{{"min_p", "0"}}, Json{{"logit_bias", Json::array()}},
                         Json{{"logit_bias", {{"x", 1}}}}, Json{{"logit_bias", {{"1", "1"}}}}, Json{{"top_logprobs", -1}}, Json{{"top_logprobs", true}},
                         Json{{"stop", "x"}}, Json{{"stop", {""}}}, Json{{"stop", Json(20, "x")}}, Json{{"seed", 0.5}}, Json{{"seed", "5"}}, Json{{"greedy", "true"}}, Json{{"stop", "[\"x\"]"}},
                         Json{{"n", 3}}}) {
    auto message = good;
    message.update(bad);
    EXPECT_FALSE(parse_options(message)) << bad.dump();
  }
  // A job's hyperparameters may come as strings, through the same reader.
  const auto job = read_options(job::Hyperparameters::from_json({{"temperature", "0.5"}, {"stop", "[\"x\"]"}, {"greedy", "true"}}, "job").value());
  EXPECT_EQ(job->sampling.temperature, 0.5);
  EXPECT_EQ(job->stop, std::vector<std::string>{"x"});
  EXPECT_TRUE(job->sampling.greedy);
  EXPECT_FALSE(parse_messages(Json::array()));
  EXPECT_FALSE(parse_messages({{{"role", "user"}, {"content", Json::array()}}}));
  EXPECT_FALSE(parse_messages({{{"role", "user"}, {"content", "x"}, {"name", "y"}}}));
}

struct Kept {
  std::string name;
};

TEST(PrefixCache, finds_the_longest_beginning_of_the_same_owner_alone) {
  PrefixCache<Kept> cache(100);
  const PrefixOwner ada{"ada", 0}, tuned{"ada", 1}, bob{"bob", 0}, nobody{};
  cache.put(ada, {1, 2, 3}, std::make_unique<Kept>("short"), 10);
  cache.put(ada, {1, 2, 9, 9, 9}, std::make_unique<Kept>("long"), 10);
  cache.put(nobody, {1, 2, 3}, std::make_unique<Kept>("none"), 10);
  EXPECT_EQ(cache.size(), 2u);
  const std::vector<std::int32_t> asked = {1, 2, 9, 9, 5};
  EXPECT_EQ(cache.find(ada, asked, 2).tokens, 4u);
  EXPECT_EQ(cache.find(ada, asked, 2).value->name, "long");
  EXPECT_EQ(cache.find(ada, asked, 5).value, nullptr);
  for (const auto& other : {tuned, bob, nobody}) EXPECT_EQ(cache.find(other, asked, 1).value, nullptr);
  EXPECT_EQ(cache.counts().reused_tokens, 8u);
}

TEST(PrefixCache, keeps_within_its_bytes_and_lets_the_least_used_go) {
  PrefixCache<Kept> cache(30);
  const PrefixOwner ada{"ada", 0};
  for (std::int32_t i = 1; i <= 3; ++i) cache.put(ada, {i, i, i}, std::make_unique<Kept>(std::to_string(i)), 10);
  EXPECT_EQ(cache.find(ada, std::vector<std::int32_t>{1, 1, 1}, 1).value->name, "1");
  cache.put(ada, {4, 4}, std::make_unique<Kept>("4"), 10);
  EXPECT_EQ(cache.bytes(), 30u);
  EXPECT_EQ(cache.counts().evictions, 1u);
  EXPECT_EQ(cache.find(ada, std::vector<std::int32_t>{2, 2, 2}, 1).value, nullptr);
  EXPECT_FALSE(cache.wants(ada, std::vector<std::int32_t>{5}, 31));
  EXPECT_FALSE(cache.wants(ada, std::vector<std::int32_t>{3, 3}, 1));  // what is there already
  cache.put(ada, {3, 3, 3, 3}, std::make_unique<Kept>("longer"), 10);  // in place of its beginning
  EXPECT_EQ(cache.size(), 3u);
  EXPECT_EQ(cache.counts().evictions, 1u);
}

// A worker on one end of a socket pair; the test is the gateway on the other.
class WorkerTest : public testing::Test {
 protected:
  void SetUp() override {
    int pair[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    gateway = Fd(pair[0]);
    theirs = Fd(pair[1]);
    thread = std::thread([this] {
      Worker worker(theirs.get(), {model, *tokenizer, {kEnd}, [](const auto&) -> Result<std::vector<std::int32_t>> { return std::vector<std::int32_t>{0}; },
                                   [this](std::string_view text) { return tokenizer->encode(text); }, {}, 0, &texts});
      status = worker.run();
    });
    const auto ready = receive();
    EXPECT_EQ(ready["type"], "ready");
    EXPECT_EQ(ready["embedding_length"], 2);
  }
  void TearDown() override {
    gateway.reset();
    thread.join();
    EXPECT_TRUE(status);
  }
  void send(const std::string& line) {
    const std::string text = line + "\n";
    for (std::size_t sent = 0; sent < text.size();) {
      const auto count = ::send(gateway.get(), text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
      ASSERT_GT(count, 0);
      sent += static_cast<std::size_t>(count);
    }
  }
  Json receive() {
    while (buffer.find('\n') == std::string::npos) {
      char bytes[4096];
      const auto count = ::recv(gateway.get(), bytes, sizeof bytes, 0);
      if (count <= 0) return {{"type", "closed"}};
      buffer.append(bytes, static_cast<std::size_t>(count));
    }
    const auto end = buffer.find('\n');
    auto message = Json::parse(buffer.substr(0, end));
    buffer.erase(0, end + 1);
    return message;
  }

  Alphabet model;
  testing_model::Counting texts;
  std::unique_ptr<tokenizer::Tokenizer> tokenizer = letters();
  Fd gateway, theirs;
  std::thread thread;
  Status status;
  std::string buffer;
};

TEST_F(WorkerTest, answers_a_request_and_a_ping) {
  send(R"({"type":"generate","id":"1","prompt":"ab","max_tokens":3,"greedy":true})");
  send(R"({"type":"ping","id":"p"})");
  std::string text;
  bool pong = false;
  Json message;
  while ((message = receive())["type"] != "done") {
    ASSERT_NE(message["type"], "closed");
    if (message["type"] == "token") text += message["text"].get<std::string>();
    if (message["type"] == "started") {
      EXPECT_EQ(message["prompt_tokens"], 2);
    }
    pong = pong || message["type"] == "pong";
  }
  EXPECT_EQ(text, "cde");
  for (const char* phase : {"queue_us", "prefill_us", "decode_us"}) {
    EXPECT_GE(message[phase], 0) << phase;
    message.erase(phase);
  }
  EXPECT_EQ(message, (Json{{"type", "done"}, {"id", "1"}, {"finish_reason", "length"}, {"prompt_tokens", 2}, {"completion_tokens", 3}, {"reused_tokens", 0}}));
  if (!pong) {
    EXPECT_EQ(receive()["type"], "pong");
  }
}

TEST_F(WorkerTest, sends_logprobs_and_names_the_parameter_that_is_wrong) {
  send(R"({"type":"generate","id":"1","prompt":"a","max_tokens":1,"greedy":true,"top_logprobs":1})");
  EXPECT_EQ(receive()["type"], "started");
  const auto token = receive();
  EXPECT_EQ(token["logprobs"][0]["bytes"], Json::array({'b'}));
  EXPECT_EQ(token["logprobs"][0]["top"][0]["bytes"], Json::array({'b'}));
  EXPECT_LT(token["logprobs"][0]["logprob"].get<double>(), 0);
  EXPECT_EQ(receive()["type"], "done");
  send(R"({"type":"generate","id":"1","prompt":"a","max_tokens":1,"logit_bias":{"29":1}})");
  EXPECT_EQ(receive()["param"], "logit_bias");
}

TEST_F(WorkerTest, answers_bad_lines_with_errors_and_goes_on) {
  for (const char* line : {"", "x", "[]", "{}", R"({"type":"generate"})", R"({"type":"nothing","id":"1"})", R"({"type":"generate","id":"1"})",
                           R"({"type":"generate","id":"1","prompt":"a","messages":[]})", R"({"type":"generate","id":"1","prompt":""})",
                           R"({"type":"generate","id":"1","prompt":"a","max_tokens":1000})", R"({"type":"ping","id":"1","more":1})",
                           R"({"type":"ping","id":5})", R"({"type":"read","id":"1"})", R"({"type":"read","id":"1","texts":[]})", R"({"type":"read","id":"1","texts":"a"})",
                           R"({"type":"read","id":"1","texts":[""]})", R"({"type":"read","id":"1","texts":[[]]})", R"({"type":"read","id":"1","texts":[[-1]]})", R"({"type":"read","id":"1","texts":[[100]]})",
                           R"({"type":"read","id":"1","texts":["a"],"window":0})", R"({"type":"read","id":"1","texts":["a"],"adapter":"none"})", R"({"type":"read","id":"1","texts":["a"],"prompt":"a"})", "\xFF", R"({"type":"generate","id":"1","id":"2","prompt":"a"})"}) {
    send(line);
    const auto answer = receive();
    EXPECT_EQ(answer["type"], "error") << line;
    EXPECT_FALSE(answer["message"].get<std::string>().empty());
  }
  send(std::string(kLineBytesMax + 100, 'x'));
  EXPECT_EQ(receive()["code"], "limit_exceeded");
  send(R"({"type":"ping","id":"still there"})");
  EXPECT_EQ(receive(), (Json{{"type", "pong"}, {"id", "still there"}}));
}

TEST_F(WorkerTest, reads_texts_and_tells_each_as_it_is_read) {
  send(R"({"type":"read","id":"1","texts":["d",[0,4,3]],"window":8})");
  EXPECT_EQ(receive(), (Json{{"type", "started"}, {"id", "1"}, {"prompt_tokens", 4}}));
  const auto numbers = [](const Json& message) {
    const auto bytes = from_base64(message["embedding"].get<std::string>()).value();
    std::vector<float> floats(bytes.size() / sizeof(float));
    std::memcpy(floats.data(), bytes.data(), bytes.size());
    return floats;
  };
  const auto first = receive(), second = receive();
  EXPECT_EQ(first["index"], 0);
  EXPECT_FLOAT_EQ(numbers(first).at(0), 3 / std::sqrt(10.0f));
  EXPECT_FALSE(first.contains("nats"));
  EXPECT_EQ(second["tokens"], 3);
  EXPECT_FLOAT_EQ(numbers(second).at(0), 7 / std::sqrt(58.0f));
  EXPECT_EQ(second["nats"], 3.5);
  EXPECT_EQ(second["window_nats"], 3.5);
  EXPECT_EQ(receive(), (Json{{"type", "done"}, {"id", "1"}, {"finish_reason", "stop"}, {"prompt_tokens", 4}, {"completion_tokens", 0}, {"reused_tokens", 0}}));
}

TEST_F(WorkerTest, cancels) {
  send(R"({"type":"generate","id":"1","prompt":"a","max_tokens":60,"greedy":true,"stop":["~"]})" "\n" R"({"type":"cancel","id":"1"})");
  Json message;
  while ((message = receive())["type"] != "done") ASSERT_NE(message["type"], "error");
  EXPECT_EQ(message["finish_reason"], "cancelled");
}

}  // namespace
}  // namespace redoubt::engine::generate
