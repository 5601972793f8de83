// SPDX-License-Identifier: Apache-2.0
#include "engine/tokenizer/unigram.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "base/utf8.h"


namespace redoubt::engine::tokenizer {
namespace {

constexpr double kUnknownPenalty = 10.0;

// The best way to write the text up to some byte.
struct Best {
  std::int32_t id = 0;
  double score = 0;
  std::int64_t begin = -1;  // of its last token
};

}  // namespace

double serde_number(double nearest) {
  if (!std::isfinite(nearest) || nearest == 0) return nearest;
  char text[48];
  const auto* end = std::to_chars(text, text + sizeof text, std::fabs(nearest), std::chars_format::scientific).ptr;
  std::uint64_t digits = 0;
  int exponent = 0, fraction = 0;
  const char* at = text;
  for (bool after_point = false; at < end && *at != 'e'; ++at) {
    if (*at == '.') after_point = true;
    else digits = digits * 10 + static_cast<std::uint64_t>(*at - '0'), fraction += after_point;
  }
  std::from_chars(at + (at[1] == '+' ? 2 : 1), end, exponent);
  exponent -= fraction;
  double value = static_cast<double>(digits);
  for (; exponent < -308; exponent += 308) value /= 1e308;
  const double power = std::pow(10.0, std::abs(exponent));
  value = exponent < 0 ? value / power : value * power;
  return nearest < 0 ? -value : value;
}

Result<std::unique_ptr<Model>> Unigram::parse(const Json& model, const std::string& where) {
  auto made = std::make_unique<Unigram>();
  TRY(made->read_vocabulary(model, where));
  const auto field = where + ": model";
  if (model.contains("unk_id") && !model["unk_id"].is_null()) {
    const auto id = TRY(json_integer(model, "unk_id", field));
    if (id < 0 || id >= made->size()) return fail(ErrorCode::invalid_argument, "unk_id is no id of the vocabulary", field);
    made->unknown_ = static_cast<std::int32_t>(id);
  }
  made->falls_back_ = model.contains("byte_fallback") && model["byte_fallback"] == true;
  for (std::size_t byte = 0; byte < made->byte_ids_.size(); ++byte) {
    char text[8];
    std::snprintf(text, sizeof text, "<0x%02X>", static_cast<unsigned>(byte));
    made->byte_ids_[byte] = made->id_of(text).value_or(-1);
  }
  return std::unique_ptr<Model>(std::move(made));
}

Status Unigram::read_vocabulary(const Json& model, const std::string& where) {
  const auto field = where + ": model.vocab";
  const auto found = model.find("vocab");
  if (found == model.end() || !found->is_array() || found->empty() || found->size() > kVocabularyMax)
    return fail(ErrorCode::invalid_argument, "there is no vocabulary of 1 to 2,000,000 tokens", field);
  double least = std::numeric_limits<double>::infinity();
  for (const auto& entry : *found) {
    if (!entry.is_array() || entry.size() != 2 || !entry[0].is_string() || !entry[1].is_number())
      return fail(ErrorCode::invalid_argument, "an entry of the vocabulary is not a token and its score", field);
    const auto id = size();
    tokens_.push_back(entry[0].get<std::string>());
    const auto score = entry[1].get<double>();
    scores_.push_back(entry[1].is_number_float() ? serde_number(score) : score);
    least = std::min(least, scores_.back());
    ids_.insert_or_assign(tokens_.back(), id);
    tree_.insert(tokens_.back(), id);
  }
  unknown_score_ = least - kUnknownPenalty;
  return {};
}

std::optional<std::int32_t> Unigram::id_of(std::string_view token) const {
  const auto found = ids_.find(token);
  return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

bool Unigram::keeps_all() const { return falls_back_ && std::ranges::all_of(byte_ids_, [](auto id) { return id >= 0; }); }

Status Unigram::encode(std::string_view word, Ids& ids) const {
  thread_local std::vector<Best> best;
  best.assign(word.size() + 1, {});
  const auto offer = [&](std::size_t end, std::size_t begin, std::int32_t id, double score) {
    auto& there = best[end];
    if (there.begin >= 0 && score <= there.score) return;
    there = {id, score, static_cast<std::int64_t>(begin)};
  };
  for (std::size_t begin = 0; begin < word.size();) {
    const auto size = utf8_step(word.substr(begin)).size;
    const auto here = best[begin].score;
    bool single = false;
    tree_.prefixes(word.substr(begin), [&](std::size_t length, std::int32_t id) {
      offer(begin + length, begin, id, scores_[static_cast<std::size_t>(id)] + here);
      single = single || length == size;
    });
    if (!single) {
      if (unknown_ < 0) return fail(ErrorCode::invalid_argument, "the text needs an unknown token, and the tokenizer has none");
      offer(begin + size, begin, unknown_, unknown_score_ + here);
    }
    begin += size;
  }
  // Backwards; unknown neighbours are one token.
  thread_local std::vector<std::string_view> found;
  found.clear();
  bool after_unknown = false;
  for (auto end = word.size(); end > 0;) {
    const auto& last = best[end];
    const auto begin = static_cast<std::size_t>(last.begin);
    const bool unknown = last.id == unknown_;
    if (unknown && after_unknown) found.back() = word.substr(begin, end - begin + found.back().size());
    else found.push_back(word.substr(begin, end - begin));
    after_unknown = unknown;
    end = begin;
  }
  for (auto text = found.rbegin(); text != found.rend(); ++text) TRY(add_token(*text, ids));
  return {};
}

Status Unigram::add_token(std::string_view text, Ids& ids) const {
  if (const auto id = id_of(text)) {
    ids.push_back(*id);
    return {};
  }
  const auto byte_id = [&](char c) { return byte_ids_[static_cast<std::uint8_t>(c)]; };
  if (falls_back_ && std::ranges::all_of(text, [&](char c) { return byte_id(c) >= 0; })) {
    for (const char c : text) ids.push_back(byte_id(c));
    return {};
  }
  if (unknown_ < 0) return fail(ErrorCode::invalid_argument, "the text needs an unknown token, and the tokenizer has none");
  ids.push_back(unknown_);
  return {};
}

}  // namespace redoubt::engine::tokenizer
