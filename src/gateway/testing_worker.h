// SPDX-License-Identifier: Apache-2.0
//
// For tests only: a worker on a thread of this process that speaks the worker protocol over a socketpair, and does as it is
// told by the prompt (the last message's content).
//   "echo A B"  answers the words one token each         "hang"   says nothing more
//   "die"       closes the socket before a token         "half"   sends one token and closes the socket
//   "halfway"   as "half", but obeys as "die" does
//   "slow"      sends a token every 10 ms until cancelled, at most max_tokens
//   "fail"      answers an error                         "junk"   sends a line that is no JSON
//   "long"      says that the prompt is too long          "odd"    says that the request is wrong
//   "freeze"    stops reading, pings included       "fields" answers with the request's own JSON
//   "unlike"    says that logit_bias is wrong        "calls", "llama-calls"  calls the tool "weather"
// It reads texts as well: the embedding of one has kEmbeddingLength numbers, the first of them its bytes or tokens; a text of "hang",
// "die", "long" or "fail" does as that prompt.
// With top_logprobs each token of an echo carries logprobs.
#pragma once

#include <pthread.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <memory>
#include <map>
#include <mutex>
#include <sstream>
#include <thread>

#include "base/bytes.h"
#include "gateway/worker.h"

namespace redoubt::gateway::testing {

inline constexpr int kEmbeddingLength = 4;

// Counters that a test reads; one for all workers of a factory.
struct WorkerLog {
  std::atomic<int> started = 0, generates = 0, reads = 0, cancels = 0, finished = 0, tokens = 0, ended = 0;
  std::atomic<int> slots = 4;               // of a worker that starts
  std::atomic<int> ready_after_ms = 0;      // likewise
  std::atomic<bool> kill_first = false;     // the first worker to see this closes its socket
  std::atomic<std::int64_t> cancelled_ns = 0;  // when the last cancel came, by the steady clock
  std::mutex mutex;
  std::vector<Json> seeds;  // of the generates, null where none was given
  std::atomic<bool> is_broken = false;       // every request fails
  std::atomic<bool> finds_wrong = false;     // every request, it says, is wrong
  std::atomic<bool> is_old = false;          // workers say and know nothing of adapters and scopes
  std::atomic<bool> stays_frozen = false;    // "freeze" lasts two seconds, and until this is not so
  std::atomic<int> deaths_left = 1'000'000;  // "die" obeys this many times and echoes after
};

class ScriptedWorker {
 public:
  ScriptedWorker(int fd, std::shared_ptr<WorkerLog> log) : fd_(fd), log_(std::move(log)) {}

  void run() {
    std::this_thread::sleep_for(std::chrono::milliseconds(log_->ready_after_ms));
    Json ready = {{"type", "ready"}, {"protocol", 1}, {"context_length", 2048}, {"slots", log_->slots.load()}};
    if (!log_->is_old) ready.update({{"adapters", Json::array({"tuned"})}, {"tools", true}, {"embedding_length", kEmbeddingLength}});
    send(ready);
    flush();
    timeval wait{0, 10'000};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    std::string buffer;
    while (alive_) {
      char bytes[4096];
      auto count = recv(fd_, bytes, sizeof bytes, 0);
      if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)) return;
      if (count > 0) buffer.append(bytes, static_cast<std::size_t>(count));
      for (auto end = buffer.find('\n'); end != std::string::npos && alive_; end = buffer.find('\n')) {
        handle(Json::parse(buffer.substr(0, end)));
        buffer.erase(0, end + 1);
      }
      tick();
      flush();
    }
  }

 private:
  void send(const Json& message) { send_raw(message.dump() + "\n"); }
  void send_raw(const std::string& line) { out_ += line; }
  void flush() {
    if (out_.empty()) return;
    [[maybe_unused]] auto ignored = ::send(fd_, out_.data(), out_.size(), MSG_NOSIGNAL);
    out_.clear();
  }
  void done(const std::string& id, const char* reason, int tokens) {
    send({{"type", "done"}, {"id", id}, {"finish_reason", reason}, {"prompt_tokens", 7}, {"completion_tokens", tokens}, {"queue_us", 2'000}, {"prefill_us", 30'000}, {"decode_us", 1'000'000}});
  }

  void handle(const Json& message) {
    auto type = message["type"].get<std::string>(), id = message["id"].get<std::string>();
    if (type == "ping") send({{"type", "pong"}, {"id", id}});
    if (type == "cancel") {
      log_->cancelled_ns = std::chrono::steady_clock::now().time_since_epoch().count();
      ++log_->cancels;
      if (const auto found = slow_.find(id); found != slow_.end()) {
        done(id, "cancelled", found->second.made);
        slow_.erase(found);
      }
    }
    if (type == "generate") generate(id, message);
    if (type == "read") read(id, message);
  }

  // A text of "bomb" is far from all others; the topics' sentences, which are many, are alike.
  static std::array<float, kEmbeddingLength> embedding_of(const Json& texts, std::size_t i) {
    const auto text = texts[i].is_string() ? texts[i].get<std::string>() : "";
    if (text.find("bomb") != text.npos) return {0, 1, 0, 0};
    if (texts.size() > 10) return {1, 0, 0, 0};
    return {static_cast<float>(text.empty() ? texts[i].size() : text.size()), 0.1f, -0.5f, static_cast<float>(i)};
  }

  void read(const std::string& id, const Json& message) {
    ++log_->reads;
    std::size_t tokens = 0;
    for (const auto& text : message["texts"]) tokens += text.is_string() ? 7 : text.size();
    send({{"type", "started"}, {"id", id}, {"prompt_tokens", tokens}});
    const auto& texts = message["texts"];
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const auto text = texts[i].is_string() ? texts[i].get<std::string>() : "";
      if (text == "hang") return;
      if (text == "die" && log_->deaths_left-- > 0) return end();
      if (text == "long") return send({{"type", "error"}, {"id", id}, {"code", "limit_exceeded"}, {"message", "a text does not fit the context"}});
      if (text == "fail") return send({{"type", "error"}, {"id", id}, {"code", "internal"}, {"message", "secret detail"}});
      const auto numbers = embedding_of(texts, i);
      Json event = {{"type", "text"}, {"id", id}, {"index", i}, {"tokens", message.contains("window") ? 40 : 7}, {"embedding", to_base64({reinterpret_cast<const std::uint8_t*>(numbers.data()), sizeof numbers})}};
      if (message.contains("window")) event["nats"] = event["window_nats"] = text.find("zxqv") == text.npos ? 3.0 : 12.0;
      send(event);
    }
    send({{"type", "done"}, {"id", id}, {"finish_reason", "stop"}, {"prompt_tokens", tokens}, {"completion_tokens", 0}});
  }

  void generate(const std::string& id, const Json& message) {
    ++log_->generates;
    {
      std::lock_guard lock(log_->mutex);
      log_->seeds.push_back(message.value("seed", Json()));
    }
    auto text = message.contains("prompt") ? message["prompt"].get<std::string>()
                                           : message["messages"].back()["content"].get<std::string>();
    send({{"type", "started"}, {"id", id}, {"prompt_tokens", 7}});
    if (text == "hang") return;
    if (text == "slow") {
      slow_[id] = {message["max_tokens"].get<int>()};
      return;
    }
    if (text == "die" && log_->deaths_left-- > 0) return end();
    if (log_->is_broken) return send({{"type", "error"}, {"id", id}, {"code", "internal"}, {"message", "secret detail"}});
    if (text == "halfway" && log_->deaths_left-- > 0) {
      send({{"type", "token"}, {"id", id}, {"text", "seen by nobody "}});
      return end();
    }
    if (text == "half") {
      send({{"type", "token"}, {"id", id}, {"text", "half "}});
      return end();
    }
    if (text == "fail")
      return send({{"type", "error"}, {"id", id}, {"code", "internal"}, {"message", "secret detail /opt/ml"}});
    if (text == "long")
      return send(
          {{"type", "error"}, {"id", id}, {"code", "limit_exceeded"}, {"message", "the prompt does not fit the context"}});
    if (text == "odd" || log_->finds_wrong)
      return send(
          {{"type", "error"}, {"id", id}, {"code", "invalid_argument"}, {"message", "the template refuses these roles"}});
    if (text == "unlike")
      return send({{"type", "error"}, {"id", id}, {"code", "invalid_argument"}, {"message", "secret detail"}, {"param", "logit_bias"}});
    if (text == "fields") {
      send({{"type", "token"}, {"id", id}, {"text", message.dump()}});
      return done(id, "stop", 1);
    }
    if (text == "calls") {
      for (const char* piece : {"Let me see. ", "\n<tool", "_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Ulm\"}}\n</tool_", "call>",
                                "\n<tool_call>{\"name\": \"other\", \"arguments\": {}}</tool_call>"})
        send({{"type", "token"}, {"id", id}, {"text", piece}});
      return done(id, "stop", 5);
    }
    if (text == "llama-calls") {
      for (const char* piece : {"{\"name\": \"weather\", ", "\"parameters\": {\"city\": \"Ulm\"}}"}) send({{"type", "token"}, {"id", id}, {"text", piece}});
      return done(id, "stop", 2);
    }
    if (text == "junk") return send_raw("not json\n");
    if (text == "freeze") {
      for (int i = 0; i < 2000 || (log_->stays_frozen && i < 60'000); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      return end();
    }
    echo(id, text, message);
  }

  static Json logprobs(const std::string& text, int top) {
    const Json one = {{"bytes", std::vector<unsigned char>(text.begin(), text.end())}, {"logprob", -0.25}};
    Json entry = one;
    entry["top"] = Json(static_cast<std::size_t>(top), one);
    return Json::array({entry});
  }

  void echo(const std::string& id, const std::string& text, const Json& message) {
    const int tokens_max = message["max_tokens"].get<int>();
    std::istringstream words(text);
    std::string word;
    int tokens = 0;
    while (tokens < tokens_max && words >> word) {
      Json event = {{"type", "token"}, {"id", id}, {"text", word + " "}};
      if (message.contains("top_logprobs")) event["logprobs"] = logprobs(word + " ", message["top_logprobs"].get<int>());
      send(event);
      ++tokens;
    }
    done(id, tokens == tokens_max ? "length" : "stop", tokens);
    ++log_->finished;
  }

  void tick() {
    if (log_->kill_first.exchange(false)) return end();
    for (auto at = slow_.begin(); at != slow_.end();) {
      send({{"type", "token"}, {"id", at->first}, {"text", "x "}});
      ++log_->tokens;
      ++at->second.made;
      if (--at->second.left > 0) {
        ++at;
        continue;
      }
      done(at->first, "length", at->second.made);
      at = slow_.erase(at);
    }
  }

  void end() {
    flush();
    alive_ = false;
    shutdown(fd_, SHUT_RDWR);
  }

  int fd_;
  std::shared_ptr<WorkerLog> log_;
  bool alive_ = true;
  std::string out_;
  struct Slow {
    int left = 0, made = 0;  // tokens
  };
  std::map<std::string, Slow> slow_;
};

inline WorkerFactory scripted_workers(std::shared_ptr<WorkerLog> log) {
  return [log]() -> Result<WorkerProcess> {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
      return fail_errno(errno, "making a socket pair", "test");
    ++log->started;
    auto theirs = std::make_shared<Fd>(pair[1]);
    auto thread = std::make_shared<std::thread>([theirs, log] {
      pthread_setname_np(pthread_self(), "scripted");  // so that a measurement can leave it out
      ScriptedWorker(theirs->get(), log).run();
      ++log->ended;
    });
    WorkerProcess process;
    process.socket = Fd(pair[0]);
    process.kill = [theirs] { shutdown(theirs->get(), SHUT_RDWR); };
    process.wait = [thread] {
      thread->join();
      return 0;
    };
    return process;
  };
}

}  // namespace redoubt::gateway::testing
