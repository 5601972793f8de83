// SPDX-License-Identifier: Apache-2.0
#include "engine/tokenizer/decoder.h"

#include "engine/tokenizer/decoder_steps.h"

namespace redoubt::engine::tokenizer {
namespace {

constexpr std::size_t kStepsMax = 64;
constexpr int kDepthMax = 8;

}  // namespace

Result<Decoder> Decoder::parse(const Json& description, const std::string& where) {
  Decoder made;
  if (description.is_null()) made.steps_.push_back(make_spacing());
  else TRY(made.add(description, where, 0));
  return made;
}

Status Decoder::add(const Json& step, const std::string& where, int depth) {
  if (depth > kDepthMax || steps_.size() >= kStepsMax) return fail(ErrorCode::limit_exceeded, "the decoder has too many steps", where);
  if (!step.is_object()) return fail(ErrorCode::invalid_argument, "a decoder is a JSON object", where);
  const auto type = TRY(json_string(step, "type", where));
  if (type == "Sequence") {
    for (const auto& part : TRY(json_array(step, "decoders", where))) TRY(add(part, where, depth + 1));
    return {};
  }
  auto parsed = TRY(parse_decoder_step(step, type, fused_, where));
  steps_.push_back(std::move(parsed.step));
  fused_ = fused_ || parsed.fuses;
  return {};
}

std::vector<DecoderStagePtr> Decoder::start() const {
  std::vector<DecoderStagePtr> stages;
  for (const auto& step : steps_) stages.push_back(step.make());
  return stages;
}

std::string Decoder::bytes_in_text(std::string_view token) const {
  std::string text(token);
  for (const auto& step : steps_) text = step.in_text(std::move(text));
  return text;
}

void DecoderStream::pass(std::size_t stage, std::string token, std::string& out) {
  if (stage == stages_.size()) {
    out += token;
    return;
  }
  stages_[stage]->take(std::move(token), [&](std::string made) { pass(stage + 1, std::move(made), out); });
}

std::string DecoderStream::push(std::string_view token) {
  std::string out;
  pass(0, std::string(token), out);
  return out;
}

std::string DecoderStream::finish() {
  std::string out;
  for (std::size_t stage = 0; stage < stages_.size(); ++stage)
    stages_[stage]->end([&](std::string made) { pass(stage + 1, std::move(made), out); });
  return out;
}

}  // namespace redoubt::engine::tokenizer
