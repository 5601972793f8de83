// SPDX-License-Identifier: Apache-2.0
#include "engine/tokenizer/added_tokens.h"

#include <algorithm>

#include "engine/tokenizer/utf8.h"

namespace redoubt::engine::tokenizer {
namespace {

constexpr std::size_t kTokensMax = 100'000;
constexpr std::size_t kTokenBytesMax = 1024;

bool is_space(std::uint32_t c) {
  return (c >= 9 && c <= 13) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

// The size of the last code point of a non-empty text.
std::size_t last_size(std::string_view text) {
  std::size_t size = 1;
  while (size < text.size() && (static_cast<std::uint8_t>(text[text.size() - size]) & 0xC0) == 0x80) ++size;
  return size;
}

std::size_t spaces_at_end(std::string_view text) {
  std::size_t taken = 0;
  while (taken < text.size()) {
    const auto rest = text.substr(0, text.size() - taken);
    const auto size = last_size(rest);
    if (!is_space(utf8_step(rest.substr(rest.size() - size)).code_point)) break;
    taken += size;
  }
  return taken;
}

std::size_t spaces_at_start(std::string_view text) {
  std::size_t taken = 0;
  while (taken < text.size()) {
    const auto step = utf8_step(text.substr(taken));
    if (!is_space(step.code_point)) break;
    taken += step.size;
  }
  return taken;
}

Result<AddedToken> parse_token(const Json& entry, const std::string& where) {
  AddedToken token;
  const auto id = TRY(json_integer(entry, "id", where));
  token.content = TRY(json_string(entry, "content", where));
  token.special = TRY(json_bool(entry, "special", where));
  token.single_word = TRY(json_bool(entry, "single_word", where));
  token.strip_left = TRY(json_bool(entry, "lstrip", where));
  token.strip_right = TRY(json_bool(entry, "rstrip", where));
  token.normalized = TRY(json_bool(entry, "normalized", where));
  if (id < 0 || id >= 2'000'000 || token.content.empty() || token.content.size() > kTokenBytesMax)
    return fail(ErrorCode::invalid_argument, "an added token has no text, more than 1 KiB, or an id out of range", where);
  if (token.single_word)
    return fail(ErrorCode::unsupported, "the added token '" + token.content + "' is marked single_word, which is not supported", where);
  token.id = static_cast<std::int32_t>(id);
  return token;
}

}  // namespace

void AddedTokens::Tree::insert(std::string_view content, std::int32_t token) {
  std::uint32_t node = 0;
  for (const char c : content) {
    const auto found = nodes[node].next.find(c);
    if (found != nodes[node].next.end()) {
      node = found->second;
      continue;
    }
    nodes.emplace_back();
    node = nodes[node].next[c] = static_cast<std::uint32_t>(nodes.size() - 1);
  }
  nodes[node].token = token;
}

std::int32_t AddedTokens::Tree::longest_at(std::string_view text) const {
  std::int32_t longest = -1;
  std::uint32_t node = 0;
  for (const char c : text) {
    const auto found = nodes[node].next.find(c);
    if (found == nodes[node].next.end()) break;
    node = found->second;
    if (nodes[node].token >= 0) longest = nodes[node].token;
  }
  return longest;
}

Result<AddedTokens> AddedTokens::parse(const Json& list, const std::string& where) {
  AddedTokens made;
  if (list.is_null()) return made;
  if (!list.is_array() || list.size() > kTokensMax)
    return fail(ErrorCode::invalid_argument, "added_tokens must be a list of at most 100,000", where);
  for (const auto& entry : list) {
    made.tokens_.push_back(TRY(parse_token(entry, where + ": added_tokens")));
    const auto& token = made.tokens_.back();
    auto& tree = token.normalized ? made.normalized_ : made.raw_;
    tree.insert(token.content, static_cast<std::int32_t>(made.tokens_.size() - 1));
  }
  return made;
}

std::vector<Stretch> AddedTokens::split_by(const Tree& tree, std::string_view text) const {
  std::vector<Stretch> out;
  std::size_t from = 0;
  for (std::size_t at = 0; at < text.size();) {
    const auto& first = tree.nodes[0].next;
    const auto index = first.contains(text[at]) ? tree.longest_at(text.substr(at)) : -1;
    if (index < 0) {
      ++at;
      continue;
    }
    const auto& token = tokens_[index];
    auto begin = at, end = at + token.content.size();
    if (token.strip_left) begin = std::max(from, begin - spaces_at_end(text.substr(0, begin)));
    if (token.strip_right) end += spaces_at_start(text.substr(end));
    if (begin > from) out.push_back({text.substr(from, begin - from), -1});
    out.push_back({text.substr(begin, end - begin), token.id});
    from = at = end;
  }
  if (from < text.size()) out.push_back({text.substr(from), -1});
  return out;
}

std::vector<Stretch> AddedTokens::split(std::string_view text) const {
  auto first = split_by(raw_, text);
  if (normalized_.nodes.size() == 1) return first;
  std::vector<Stretch> out;
  for (const auto& stretch : first) {
    if (stretch.id >= 0) {
      out.push_back(stretch);
      continue;
    }
    for (const auto& part : split_by(normalized_, stretch.text)) out.push_back(part);
  }
  return out;
}

}  // namespace redoubt::engine::tokenizer
