// SPDX-License-Identifier: Apache-2.0
#include "gateway/worker_message.h"

namespace redoubt::gateway {
namespace {

constexpr std::string_view kWhere = "engine worker";

// {"bytes": [..], "logprob"}; `top` where the entry has it.
Result<openai::TokenLogprob> parse_logprob(const Json& entry) {
  openai::TokenLogprob out;
  for (const auto& byte : TRY(json_array(entry, "bytes", kWhere))) {
    if (!byte.is_number_unsigned() || byte.get<std::uint64_t>() > 255) return fail(ErrorCode::unavailable, "a token's byte is none", std::string(kWhere));
    out.bytes.push_back(static_cast<char>(byte.get<std::uint64_t>()));
  }
  out.logprob = TRY(json_number(entry, "logprob", kWhere));
  return out;
}

}  // namespace

Json generate_message(std::uint64_t id, const openai::GenerateRequest& request) {
  Json message = {{"type", "generate"},
                  {"id", std::to_string(id)},
                  {"max_tokens", request.max_tokens},
                  {"temperature", request.temperature},
                  {"top_p", request.top_p},
                  {"top_k", request.top_k},
                  {"stop", request.stop},
                  {"greedy", request.greedy}};
  const auto unless = [&](const char* key, double value, double is_default) {
    if (value != is_default) message[key] = value;
  };
  unless("min_p", request.min_p, 0);
  unless("repetition_penalty", request.repetition_penalty, 1);
  unless("presence_penalty", request.presence_penalty, 0);
  unless("frequency_penalty", request.frequency_penalty, 0);
  for (const auto& [token, bias] : request.logit_bias) message["logit_bias"][std::to_string(token)] = bias;
  if (request.top_logprobs) message["top_logprobs"] = *request.top_logprobs;
  if (!request.adapter.empty()) message["adapter"] = request.adapter;
  if (!request.scope.empty()) message["scope"] = request.scope;
  if (!request.tools.empty()) message["tools"] = request.tools;
  if (!request.schema.empty()) message["schema"] = request.schema;
  if (request.seed) message["seed"] = *request.seed;
  if (request.prompt) {
    message["prompt"] = *request.prompt;
    return message;
  }
  message["messages"] = Json::array();
  for (const auto& one : request.messages) {
    message["messages"].push_back({{"role", one.role}, {"content", one.content}});
    if (!one.json.empty()) message["messages"].back()["json"] = one.json;
  }
  return message;
}

Result<openai::Piece> parse_piece(const Json& event) {
  openai::Piece piece;
  piece.text = TRY(json_string(event, "text", kWhere));
  if (!event.contains("logprobs")) return piece;
  for (const auto& entry : TRY(json_array(event, "logprobs", kWhere))) {
    piece.logprobs.push_back(TRY(parse_logprob(entry)));
    for (const auto& likely : TRY(json_array(entry, "top", kWhere))) piece.logprobs.back().top.push_back(TRY(parse_logprob(likely)));
  }
  return piece;
}

}  // namespace redoubt::gateway
