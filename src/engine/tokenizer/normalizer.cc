// SPDX-License-Identifier: Apache-2.0
#include "engine/tokenizer/normalizer.h"

#include "engine/tokenizer/normalizer_steps.h"
#include "engine/tokenizer/step_limits.h"

namespace redoubt::engine::tokenizer {
namespace {

constexpr std::size_t kBytesMax = 256 << 20;

}  // namespace

Result<Normalizer> Normalizer::parse(const Json& description, const std::string& where) {
  Normalizer made;
  if (!description.is_null()) TRY(made.add(description, where, 0));
  return made;
}

Status Normalizer::add(const Json& step, const std::string& where, int depth) {
  if (depth > kDepthMax || steps_.size() >= kStepsMax) return fail(ErrorCode::limit_exceeded, "the normalizer has too many steps", where);
  if (!step.is_object()) return fail(ErrorCode::invalid_argument, "a normalizer is a JSON object", where);
  const auto type = TRY(json_string(step, "type", where));
  if (type == "Sequence") {
    for (const auto& part : TRY(json_array(step, "normalizers", where))) TRY(add(part, where, depth + 1));
    return {};
  }
  steps_.push_back(TRY(parse_normalizer_step(step, type, where)));
  const bool grows = type == "Prepend" || type == "ByteLevel" || type == "Replace";
  shortens_ = shortens_ || !grows;
  if (type == "Replace") {
    const auto pattern = json_or(step, "pattern", Json::object());
    shortens_ = shortens_ || json_or(pattern, "String", "").empty() || json_or(step, "content", "").size() < json_or(pattern, "String", "").size();
  }
  return {};
}

Result<Piece> Normalizer::run(Piece piece, Arena& arena) const {
  for (const auto& step : steps_) {
    piece = TRY(step->run(piece, arena));
    if (piece.text.size() > kBytesMax) return fail(ErrorCode::limit_exceeded, "the normalizer makes a text longer than 256 MiB");
  }
  return piece;
}

}  // namespace redoubt::engine::tokenizer
