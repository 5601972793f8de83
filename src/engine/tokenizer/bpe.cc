// SPDX-License-Identifier: Apache-2.0
#include "engine/tokenizer/bpe.h"

#include <algorithm>
#include <queue>

#include "engine/tokenizer/byte_level.h"

namespace redoubt::engine::tokenizer {
namespace {

constexpr std::int64_t kVocabularyMax = 2'000'000;

std::uint64_t pair_key(std::int32_t left, std::int32_t right) {
  return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 | static_cast<std::uint32_t>(right);
}

tl::unexpected<Error> refuse(std::string what, const std::string& where) {
  return fail(ErrorCode::unsupported, "the tokenizer " + std::move(what), where + ": model");
}

bool is_empty_text(const Json& value) { return value.is_null() || (value.is_string() && value.get_ref<const std::string&>().empty()); }

// Options that would change the ids and are not built.
Status check_options(const Json& model, const std::string& where) {
  const auto is_set = [&](const char* key) { return model.contains(key) && model[key].is_boolean() && model[key].get<bool>(); };
  const auto type = model.contains("type") ? TRY(json_string(model, "type", where)) : "BPE";
  if (type != "BPE") return refuse("is of type " + type + "; only byte-level BPE is supported", where);
  if (model.contains("dropout") && !model["dropout"].is_null() && model["dropout"] != 0.0) return refuse("uses BPE dropout", where);
  if (is_set("byte_fallback")) return refuse("uses byte_fallback", where);
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"})
    if (model.contains(key) && !is_empty_text(model[key])) return refuse(std::string("uses ") + key, where);
  return {};
}

// A merge is ["a", "b"] in newer files and "a b" in older ones.
Result<std::pair<std::string, std::string>> merge_of(const Json& entry, const std::string& where) {
  if (entry.is_array() && entry.size() == 2 && entry[0].is_string() && entry[1].is_string())
    return std::pair(entry[0].get<std::string>(), entry[1].get<std::string>());
  if (entry.is_string()) {
    const auto& text = entry.get_ref<const std::string&>();
    const auto space = text.find(' ');
    if (space != std::string::npos && text.find(' ', space + 1) == std::string::npos)
      return std::pair(text.substr(0, space), text.substr(space + 1));
  }
  return fail(ErrorCode::invalid_argument, "a merge is not a pair of tokens", where + ": model.merges");
}

// A piece of the word being merged; a dead one has id -1.
struct Symbol {
  std::int32_t id, previous, next;
};

struct Candidate {
  std::int32_t rank, position, left, right;
  bool operator>(const Candidate& other) const { return rank != other.rank ? rank > other.rank : position > other.position; }
};

}  // namespace

Result<Bpe> Bpe::parse(const Json& model, const std::string& where) {
  TRY(check_options(model, where));
  Bpe bpe;
  TRY(bpe.read_vocabulary(model, where));
  TRY(bpe.read_merges(model, where));
  if (model.contains("unk_token") && !is_empty_text(model["unk_token"]) &&
      std::ranges::any_of(bpe.byte_ids_, [](auto id) { return id < 0; }))
    return refuse("has an unknown token and lacks some of the 256 bytes", where);
  if (!(model.contains("ignore_merges") && model["ignore_merges"] == true)) bpe.words_.clear();
  return bpe;
}

Status Bpe::read_vocabulary(const Json& model, const std::string& where) {
  const auto found = model.find("vocab");
  if (found == model.end() || !found->is_object() || found->empty())
    return fail(ErrorCode::invalid_argument, "there is no vocabulary", where + ": model.vocab");
  byte_ids_.fill(-1);
  for (const auto& [token, id] : found->items()) {
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() >= static_cast<std::uint64_t>(kVocabularyMax))
      return fail(ErrorCode::invalid_argument, "the id of '" + token + "' is not a number below 2,000,000", where + ": model.vocab");
    const auto number = id.get<std::size_t>();
    if (number >= tokens_.size()) tokens_.resize(number + 1);
    if (!tokens_[number].empty())
      return fail(ErrorCode::invalid_argument, "the tokens '" + tokens_[number] + "' and '" + token + "' have one id", where + ": model.vocab");
    tokens_[number] = token;
    auto bytes = bytes_of_token(token);
    if (bytes.size() == 1) byte_ids_[static_cast<std::uint8_t>(bytes[0])] = static_cast<std::int32_t>(number);
    words_.emplace(std::move(bytes), static_cast<std::int32_t>(number));
  }
  return {};
}

Status Bpe::read_merges(const Json& model, const std::string& where) {
  const auto found = model.find("merges");
  if (found == model.end() || !found->is_array() || static_cast<std::int64_t>(found->size()) > kVocabularyMax)
    return fail(ErrorCode::invalid_argument, "there is no list of merges", where + ": model.merges");
  std::unordered_map<std::string_view, std::int32_t> ids;
  for (std::size_t id = 0; id < tokens_.size(); ++id) ids.emplace(tokens_[id], static_cast<std::int32_t>(id));
  merges_.reserve(found->size());
  std::int32_t rank = 0;
  for (const auto& entry : *found) {
    const auto [left, right] = TRY(merge_of(entry, where));
    const auto a = ids.find(left), b = ids.find(right), merged = ids.find(left + right);
    if (a == ids.end() || b == ids.end() || merged == ids.end())
      return fail(ErrorCode::invalid_argument, "the merge '" + left + " " + right + "' names a token that the vocabulary lacks",
                  where + ": model.merges");
    merges_.insert_or_assign(pair_key(a->second, b->second), Merge{rank++, merged->second});
  }
  return {};
}

const Bpe::Merge* Bpe::find_merge(std::int32_t left, std::int32_t right) const {
  const auto found = merges_.find(pair_key(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

void Bpe::encode(std::string_view word, std::vector<std::int32_t>& ids) const {
  if (!words_.empty())
    if (const auto found = words_.find(std::string(word)); found != words_.end()) {
      ids.push_back(found->second);
      return;
    }
  merge_word(word, ids);
}

void Bpe::merge_word(std::string_view word, std::vector<std::int32_t>& ids) const {
  std::vector<Symbol> symbols;
  symbols.reserve(word.size());
  for (const char c : word)
    if (const auto id = byte_ids_[static_cast<std::uint8_t>(c)]; id >= 0) {
      const auto at = static_cast<std::int32_t>(symbols.size());
      symbols.push_back({id, at - 1, at + 1});
    }
  if (symbols.empty()) return;
  symbols.back().next = -1;
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
  const auto offer = [&](std::int32_t left) {
    if (left < 0 || symbols[left].next < 0) return;
    const auto a = symbols[left].id, b = symbols[symbols[left].next].id;
    if (const auto* merge = find_merge(a, b)) queue.push({merge->rank, left, a, b});
  };
  for (std::size_t i = 0; i < symbols.size(); ++i) offer(static_cast<std::int32_t>(i));
  while (!queue.empty()) {
    const auto best = queue.top();
    queue.pop();
    auto& left = symbols[best.position];
    if (left.id != best.left || left.next < 0 || symbols[left.next].id != best.right) continue;  // overtaken by another merge
    auto& right = symbols[left.next];
    left.id = find_merge(best.left, best.right)->id;
    right.id = -1;
    left.next = right.next;
    if (left.next >= 0) symbols[left.next].previous = best.position;
    offer(left.previous);
    offer(best.position);
  }
  for (std::int32_t at = 0; at >= 0; at = symbols[at].next) ids.push_back(symbols[at].id);
}

}  // namespace redoubt::engine::tokenizer
