// SPDX-License-Identifier: Apache-2.0
#include "engine/tokenizer/added_tokens.h"

#include <algorithm>

#include "base/utf8.h"
#include "engine/tokenizer/unicode_sets.h"

namespace redoubt::engine::tokenizer {
namespace {

constexpr std::size_t kTokensMax = 100'000;
constexpr std::size_t kTokenBytesMax = 1024;

// The size of the last code point of a non-empty text.
std::size_t last_size(std::string_view text) {
  std::size_t size = 1;
  while (size < text.size() && (static_cast<std::uint8_t>(text[text.size() - size]) & 0xC0) == 0x80) ++size;
  return size;
}

std::uint32_t last_character(std::string_view text) { return utf8_step(text.substr(text.size() - last_size(text))).code_point; }

std::size_t spaces_at_end(std::string_view text) {
  std::size_t taken = 0;
  while (taken < text.size()) {
    const auto rest = text.substr(0, text.size() - taken);
    if (!is_white_space(last_character(rest))) break;
    taken += last_size(rest);
  }
  return taken;
}

std::size_t spaces_at_start(std::string_view text) {
  std::size_t taken = 0;
  while (taken < text.size()) {
    const auto step = utf8_step(text.substr(taken));
    if (!is_white_space(step.code_point)) break;
    taken += step.size;
  }
  return taken;
}

bool stands_alone(std::string_view before, std::string_view after) {
  return (before.empty() || !is_word(last_character(before))) && (after.empty() || !is_word(utf8_step(after).code_point));
}

Result<AddedToken> parse_token(const Json& entry, const std::string& where) {
  AddedToken token;
  TRY(json_integer(entry, "id", where));
  token.content = TRY(json_string(entry, "content", where));
  token.special = TRY(json_bool(entry, "special", where));
  token.single_word = TRY(json_bool(entry, "single_word", where));
  token.strip_left = TRY(json_bool(entry, "lstrip", where));
  token.strip_right = TRY(json_bool(entry, "rstrip", where));
  token.normalized = TRY(json_bool(entry, "normalized", where));
  if (token.content.size() > kTokenBytesMax) return fail(ErrorCode::invalid_argument, "an added token has more than 1 KiB", where);
  return token;
}

}  // namespace

Result<AddedTokens> AddedTokens::parse(const Json& list, const Model& model, const Normalizer& normalizer, const std::string& where) {
  AddedTokens made;
  if (list.is_null()) return made;
  if (!list.is_array() || list.size() > kTokensMax)
    return fail(ErrorCode::invalid_argument, "added_tokens must be a list of at most 100,000", where);
  auto next_id = model.count();
  for (const auto& entry : list) TRY(made.add(TRY(parse_token(entry, where + ": added_tokens")), model, next_id));
  TRY(made.index(normalizer, where + ": added_tokens"));
  return made;
}

Status AddedTokens::add(AddedToken token, const Model& model, std::int32_t& next_id) {
  if (token.content.empty()) return {};
  const auto known = places_.find(token.content);
  token.id = known != places_.end() ? tokens_[static_cast<std::size_t>(known->second)].id
                                    : model.id_of(token.content).value_or(next_id);
  if (known == places_.end() && token.id == next_id && !model.id_of(token.content)) ++next_id;
  if (token.special) special_.insert(token.content);
  // One id has one token; the last one counts.
  const auto same = std::ranges::find(tokens_, token.id, &AddedToken::id);
  const auto place = same - tokens_.begin();
  places_.insert_or_assign(token.content, static_cast<std::int32_t>(place));
  if (same == tokens_.end()) tokens_.push_back(std::move(token));
  else *same = std::move(token);
  return {};
}

Status AddedTokens::index(const Normalizer& normalizer, const std::string& where) {
  std::unordered_set<std::string> seen[2];
  for (std::size_t place = 0; place < tokens_.size(); ++place) {
    auto& token = tokens_[place];
    token.written = token.content;
    if (token.normalized) {
      Arena arena;
      token.written = TRY(normalizer.run({token.content, 0}, arena)).text;
    }
    if (token.written.empty() || !seen[token.normalized].insert(token.written).second)
      return fail(ErrorCode::invalid_argument, "the normalizer makes nothing, or another added token, of '" + token.content + "'", where);
    (token.normalized ? normalized_ : raw_).insert(token.written, static_cast<std::int32_t>(place));
  }
  return {};
}

bool AddedTokens::strips() const {
  return std::ranges::any_of(tokens_, [](const AddedToken& token) { return token.strip_left || token.strip_right; });
}

void AddedTokens::split(const ByteTree& tree, const Piece& text, std::vector<Stretch>& out) const {
  const auto whole = text.text;
  const auto add = [&](std::size_t begin, std::size_t end, std::int32_t id) {
    if (end > begin) out.push_back({text.part(begin, end), id});
  };
  if (tree.empty()) return add(0, whole.size(), -1);
  std::size_t from = 0;
  for (std::size_t at = 0; at < whole.size();) {
    const auto [size, place] = tree.longest(whole.substr(at));
    if (size == 0) {
      ++at;
      continue;
    }
    auto begin = at, end = at + size;
    at = end;  // the search goes on behind the token, whatever it takes along or whether it counts
    const auto& token = tokens_[static_cast<std::size_t>(place)];
    if (token.single_word && !stands_alone(whole.substr(0, begin), whole.substr(end))) continue;
    if (token.strip_left) begin = std::max(begin - spaces_at_end(whole.substr(0, begin)), from);
    if (token.strip_right) end += spaces_at_start(whole.substr(end));
    if (from < begin) add(from, begin, -1);
    add(begin, end, token.id);
    from = end;
  }
  if (from != whole.size()) add(from, whole.size(), -1);
}

}  // namespace redoubt::engine::tokenizer
