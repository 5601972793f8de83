// SPDX-License-Identifier: Apache-2.0
#include "engine/tokenizer/post_processor.h"

#include <algorithm>

#include "engine/tokenizer/step_limits.h"

namespace redoubt::engine::tokenizer {
namespace {

constexpr std::int32_t kText = -1;
constexpr std::size_t kRowsMax = 16, kRowIdsMax = 1024;

// ["[CLS]", 101]
Result<std::int32_t> id_of_pair(const Json& step, const char* key, std::int32_t vocabulary_size, const std::string& where) {
  const auto pair = TRY(json_array(step, key, where));
  if (pair.size() != 2 || !pair[1].is_number_unsigned() || pair[1].get<std::uint64_t>() >= static_cast<std::uint64_t>(vocabulary_size))
    return fail(ErrorCode::invalid_argument, std::string("the post-processor's '") + key + "' is not a token and its id", where);
  return pair[1].get<std::int32_t>();
}

}  // namespace

Result<PostProcessor> PostProcessor::parse(const Json& description, std::int32_t vocabulary_size, const std::string& where) {
  PostProcessor made;
  made.vocabulary_size_ = vocabulary_size;
  if (!description.is_null()) TRY(made.add(description, where, 0));
  return made;
}

Status PostProcessor::add(const Json& step, const std::string& where, int depth) {
  if (depth > kDepthMax || rows_.size() >= kRowsMax) return fail(ErrorCode::limit_exceeded, "the post-processor has too many steps", where);
  if (!step.is_object()) return fail(ErrorCode::invalid_argument, "a post-processor is a JSON object", where);
  const auto type = TRY(json_string(step, "type", where));
  if (type == "ByteLevel") return {};  // moves offsets only
  if (type == "TemplateProcessing") return add_template(step, where);
  if (type == "BertProcessing" || type == "RobertaProcessing") return add_pair(step, where);
  if (type != "Sequence") return fail(ErrorCode::unsupported, "the post-processor " + type.substr(0, 64) + " is not supported", where);
  for (const auto& part : TRY(json_array(step, "processors", where))) TRY(add(part, where, depth + 1));
  return {};
}

Status PostProcessor::add_pair(const Json& step, const std::string& where) {
  const auto before = TRY(id_of_pair(step, "cls", vocabulary_size_, where)), after = TRY(id_of_pair(step, "sep", vocabulary_size_, where));
  rows_.push_back({before, kText, after});
  return {};
}

// {"single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}], "special_tokens": {"<s>": {"ids": [1]}}}
Status PostProcessor::add_template(const Json& step, const std::string& where) {
  const auto single = TRY(json_array(step, "single", where));
  const auto tokens = TRY(json_object(step, "special_tokens", where));
  Row row;
  for (const auto& part : single) {
    if (row.size() > kRowIdsMax) return fail(ErrorCode::limit_exceeded, "the post-processor adds more than 1,024 tokens", where);
    if (part.is_object() && part.contains("Sequence")) {
      if (json_or(part["Sequence"], "id", "") != "A") return fail(ErrorCode::unsupported, "the post-processor needs a second text", where);
      row.push_back(kText);
      continue;
    }
    const auto name = TRY(json_string(TRY(json_object(part, "SpecialToken", where)), "id", where));
    for (const auto& id : TRY(json_array(TRY(json_object(tokens, name.c_str(), where)), "ids", where))) {
      if (!id.is_number_unsigned() || id.get<std::uint64_t>() >= static_cast<std::uint64_t>(vocabulary_size_))
        return fail(ErrorCode::invalid_argument, "the post-processor's token '" + name + "' has no id of the vocabulary", where);
      row.push_back(id.get<std::int32_t>());
    }
  }
  if (std::ranges::count(row, kText) != 1) return fail(ErrorCode::unsupported, "the post-processor does not write the text once", where);
  rows_.push_back(std::move(row));
  return {};
}

void PostProcessor::run(Ids& ids) const {
  for (const auto& row : rows_) {
    const auto text = std::ranges::find(row, kText);
    ids.insert(ids.begin(), row.begin(), text);
    ids.insert(ids.end(), text + 1, row.end());
  }
}

}  // namespace redoubt::engine::tokenizer
