// SPDX-License-Identifier: Apache-2.0
#include "engine/tokenizer/pre_tokenizer.h"

#include "engine/tokenizer/pre_tokenizer_steps.h"
#include "engine/tokenizer/step_limits.h"

namespace redoubt::engine::tokenizer {

Result<PreTokenizer> PreTokenizer::parse(const Json& description, const std::string& where) {
  PreTokenizer made;
  if (!description.is_null()) TRY(made.add(description, where, 0));
  return made;
}

Status PreTokenizer::add(const Json& step, const std::string& where, int depth) {
  if (depth > kDepthMax || steps_.size() >= kStepsMax) return fail(ErrorCode::limit_exceeded, "the pre-tokenizer has too many steps", where);
  if (!step.is_object()) return fail(ErrorCode::invalid_argument, "a pre-tokenizer is a JSON object", where);
  const auto type = TRY(json_string(step, "type", where));
  if (type == "Sequence") {
    for (const auto& part : TRY(json_array(step, "pretokenizers", where))) TRY(add(part, where, depth + 1));
    return {};
  }
  if (type == "ByteLevel") return add_byte_level(step, where);
  auto parsed = TRY(parse_pre_tokenizer_step(step, type, where));
  removes_ = removes_ || parsed.removes;
  ends_in_bytes_ = false;
  steps_.push_back(std::move(parsed.step));
  return {};
}

Status PreTokenizer::add_byte_level(const Json& step, const std::string& where) {
  if (TRY(json_bool(step, "add_prefix_space", where))) steps_.push_back(make_prefix_space());
  if (!step.contains("use_regex") || TRY(json_bool(step, "use_regex", where))) steps_.push_back(TRY(make_gpt2_splitter(where)));
  steps_.push_back(make_byte_writer());
  ends_in_bytes_ = true;
  return {};
}

void PreTokenizer::leave_bytes() {
  steps_.pop_back();
  ends_in_bytes_ = false;
}

Status PreTokenizer::run(const Piece& piece, Arena& arena, Pieces& out, Pieces& spare) const {
  out.assign(1, piece);
  if (piece.text.empty()) out.clear();
  for (const auto& step : steps_) {
    spare.clear();
    for (const auto& one : out) TRY(step->run(one, arena, spare));
    std::swap(out, spare);
  }
  return {};
}

}  // namespace redoubt::engine::tokenizer
