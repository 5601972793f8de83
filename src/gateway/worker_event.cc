// SPDX-License-Identifier: Apache-2.0
#include "gateway/worker_event.h"

#include <simdjson.h>

#include <algorithm>
#include <charconv>

#include "base/bytes.h"
#include "gateway/worker_connection.h"

namespace redoubt::gateway {
namespace {

namespace dom = simdjson::dom;

constexpr std::size_t kDepthMax = 8;
constexpr std::size_t kMembersMax = 16;
constexpr std::int64_t kWorkerCountMax = 1'000'000'000;
constexpr std::int64_t kMicrosecondsMax = 7 * 24 * 3600 * 1'000'000LL;

template <typename T>
Result<T> member(const dom::object& object, std::string_view name) {
  T value;
  if (object.at_key(name).get(value) == simdjson::SUCCESS) return value;
  return broken_worker("the worker's event has not the right '" + std::string(name) + "'");
}

template <typename T>
T member_or(const dom::object& object, std::string_view name, T fallback) {
  T value;
  return object.at_key(name).get(value) == simdjson::SUCCESS ? value : fallback;
}

bool has(const dom::object& object, std::string_view name) {
  dom::element value;
  return object.at_key(name).get(value) == simdjson::SUCCESS;
}

// A name that stood twice would be read by each end as it likes.
Status check_names(const dom::object& object) {
  std::string_view names[kMembersMax];
  std::size_t count = 0;
  for (const auto& [name, value] : object) {
    if (count == kMembersMax) return broken_worker("the worker's event has too many members");
    if (std::find(names, names + count, name) != names + count) return broken_worker("a name stands twice in the worker's event");
    names[count++] = name;
  }
  return {};
}

Result<int> count_of(const dom::object& event, std::string_view name) {
  const auto value = TRY(member<std::int64_t>(event, name));
  if (value < 0 || value > kWorkerCountMax) return broken_worker("the worker sent a count out of range");
  return static_cast<int>(value);
}

Result<std::chrono::microseconds> microseconds_of(const dom::object& event, std::string_view name) {
  const auto value = TRY(member<std::int64_t>(event, name));
  if (value < 0 || value > kMicrosecondsMax) return broken_worker("the worker sent a time out of range");
  return std::chrono::microseconds(value);
}

Result<std::uint64_t> id_of(const dom::object& event) {
  const auto text = TRY(member<std::string_view>(event, "id"));
  std::uint64_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc{} || end != text.data() + text.size()) return broken_worker("the worker answered a request that it does not have");
  return id;
}

// {"bytes": [..], "logprob"}.
Result<openai::TokenLogprob> parse_logprob(const dom::object& entry) {
  openai::TokenLogprob out;
  for (const auto& byte : TRY(member<dom::array>(entry, "bytes"))) {
    std::uint64_t value = 0;
    if (byte.get(value) != simdjson::SUCCESS || value > 255) return broken_worker("a token's byte is none");
    out.bytes.push_back(static_cast<char>(value));
  }
  out.logprob = TRY(member<double>(entry, "logprob"));
  return out;
}

Result<dom::object> object_of(const dom::element& element) {
  dom::object object;
  if (element.get(object) != simdjson::SUCCESS) return broken_worker("the worker sent something else than an object");
  return object;
}

Result<openai::Piece> piece_of(const dom::object& event) {
  openai::Piece piece;
  piece.text = TRY(member<std::string_view>(event, "text"));
  if (!has(event, "logprobs")) return piece;
  for (const auto& element : TRY(member<dom::array>(event, "logprobs"))) {
    const auto entry = TRY(object_of(element));
    piece.logprobs.push_back(TRY(parse_logprob(entry)));
    for (const auto& likely : TRY(member<dom::array>(entry, "top"))) piece.logprobs.back().top.push_back(TRY(parse_logprob(TRY(object_of(likely)))));
  }
  return piece;
}

Result<WorkerEvent> ready_of(const dom::object& event) {
  if (TRY(member<std::int64_t>(event, "protocol")) != 1) return broken_worker("the worker speaks another protocol");
  WorkerReady ready;
  ready.slots = std::clamp(TRY(count_of(event, "slots")), 1, 1024);
  ready.context_length = TRY(count_of(event, "context_length"));
  ready.knows_scopes = has(event, "adapters");
  ready.knows_tools = member_or(event, "tools", false);
  if (has(event, "embedding_length")) ready.embedding_length = TRY(count_of(event, "embedding_length"));
  dom::array adapters;
  if (event.at_key("adapters").get(adapters) != simdjson::SUCCESS) return ready;
  for (const auto& element : adapters) {
    std::string_view name;
    if (element.get(name) != simdjson::SUCCESS) return broken_worker("the worker named an adapter that has no name");
    ready.adapters.emplace_back(name);
  }
  return ready;
}

Result<std::optional<double>> nats_of(const dom::object& event, std::string_view name) {
  if (!has(event, name)) return std::optional<double>();
  return std::optional(TRY(member<double>(event, name)));
}

Result<WorkerEvent> request_text_of(const dom::object& event) {
  RequestText read;
  read.id = TRY(id_of(event));
  read.index = TRY(count_of(event, "index"));
  read.text.tokens = TRY(count_of(event, "tokens"));
  read.text.embedding = TRY(member<std::string_view>(event, "embedding"));
  read.text.nats = TRY(nats_of(event, "nats"));
  read.text.window_nats = TRY(nats_of(event, "window_nats"));
  const auto bytes = from_base64(read.text.embedding);
  if (!bytes || bytes->size() % sizeof(float) != 0) return broken_worker("an embedding has not its numbers");
  read.length = static_cast<int>(bytes->size() / sizeof(float));
  return read;
}

Result<WorkerEvent> done_of(const dom::object& event) {
  RequestDone done;
  done.id = TRY(id_of(event));
  done.end.finish_reason = TRY(member<std::string_view>(event, "finish_reason"));
  done.end.prompt_tokens = TRY(count_of(event, "prompt_tokens"));
  done.end.completion_tokens = TRY(count_of(event, "completion_tokens"));
  if (has(event, "reused_tokens")) done.end.reused_tokens = TRY(count_of(event, "reused_tokens"));
  if (has(event, "queue_us")) done.times.engine = {TRY(microseconds_of(event, "queue_us")), TRY(microseconds_of(event, "prefill_us")), TRY(microseconds_of(event, "decode_us"))};
  return done;
}

Result<WorkerEvent> failed_of(const dom::object& event) {
  const auto id = TRY(id_of(event));
  const auto code = TRY(member<std::string_view>(event, "code"));
  const auto message = TRY(member<std::string_view>(event, "message"));
  const bool is_invalid = has(event, "param") || code == "invalid_argument" || code == "unsupported";
  const auto kind = is_invalid ? ErrorCode::invalid_argument : code == "limit_exceeded" ? ErrorCode::limit_exceeded : ErrorCode::unavailable;
  return RequestFailed{id, {kind, std::string(message), std::string(member_or<std::string_view>(event, "param", "engine worker"))}};
}

}  // namespace

struct WorkerEventReader::State {
  dom::parser parser{kWorkerLineBytesMax};
};

WorkerEventReader::WorkerEventReader() : state_(std::make_unique<State>()) {}
WorkerEventReader::~WorkerEventReader() = default;

Result<WorkerEvent> WorkerEventReader::read(std::string_view line) {
  dom::element root;
  auto& parser = state_->parser;
  // Its memory grows by this function alone, which also says how deep a line may be.
  if (parser.capacity() < line.size() && parser.allocate(std::max<std::size_t>(4096, line.size()), kDepthMax) != simdjson::SUCCESS) return broken_worker("no memory for the worker's event");
  if (parser.parse(line.data(), line.size()).get(root) != simdjson::SUCCESS) return broken_worker("the worker sent a line that is no JSON");
  const auto event = TRY(object_of(root));
  TRY(check_names(event));
  const auto type = TRY(member<std::string_view>(event, "type"));
  if (type == "token") {
    const auto id = TRY(id_of(event));
    return RequestToken{id, TRY(piece_of(event))};
  }
  if (type == "started") {
    const auto id = TRY(id_of(event));
    return RequestStarted{id, TRY(count_of(event, "prompt_tokens"))};
  }
  if (type == "text") return request_text_of(event);
  if (type == "done") return done_of(event);
  if (type == "error") return failed_of(event);
  if (type == "pong") return WorkerPong{};
  if (type == "ready") return ready_of(event);
  return broken_worker("the worker sent an unknown event");
}

}  // namespace redoubt::gateway
