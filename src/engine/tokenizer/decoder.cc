// SPDX-License-Identifier: Apache-2.0
#include "engine/tokenizer/decoder.h"

#include <algorithm>

#include "engine/tokenizer/decoder_steps.h"
#include "engine/tokenizer/step_limits.h"

namespace redoubt::engine::tokenizer {

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
  const bool joined = std::ranges::any_of(steps_, &DecoderStep::joins_bytes);
  if (joined && !fused_ && !parsed.step.rewrites.empty()) not_from_bytes_ = parsed.step.rewrites;
  if (joined && !fused_ && !parsed.fuses && parsed.step.rewrites.empty()) parsed.step.by_token = false;
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

std::optional<std::string> Decoder::bytes_at_start(std::string_view token) const {
  std::string text(token);
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    const bool differs = static_cast<bool>(steps_[i].at_start);
    text = differs ? steps_[i].at_start(std::move(text)) : steps_[i].in_text(std::move(text));
    // A later rule would take the next token for the first, or this one go on taking away.
    const bool more = std::any_of(steps_.begin() + static_cast<std::ptrdiff_t>(i) + 1, steps_.end(), [](const auto& step) { return static_cast<bool>(step.at_start); });
    if (differs && text.empty() && (more || steps_[i].takes_more)) return std::nullopt;
  }
  return text;
}

bool Decoder::start_differs() const {
  return std::ranges::any_of(steps_, [](const auto& step) { return static_cast<bool>(step.at_start); });
}

bool Decoder::by_token() const { return std::ranges::all_of(steps_, &DecoderStep::by_token); }

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
