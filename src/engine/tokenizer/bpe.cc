// SPDX-License-Identifier: Apache-2.0
#include "engine/tokenizer/bpe.h"

#include <algorithm>

#include "base/utf8.h"
#include "engine/tokenizer/byte_level.h"

namespace redoubt::engine::tokenizer {
namespace {

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

std::string fallback_token(std::uint8_t byte) {
  char text[8];
  std::snprintf(text, sizeof text, "<0x%02X>", byte);
  return text;
}

// A piece of the word being merged; a dead one has id -1.
struct Symbol {
  std::int32_t id, previous, next;
};

struct Candidate {
  std::int32_t rank, position, id;
  bool operator>(const Candidate& other) const { return rank != other.rank ? rank > other.rank : position > other.position; }
};

constexpr std::size_t kKeptMax = 1 << 20;  // room for longer words is given back

// What merging needs, kept from word to word.
struct MergeRoom {
  Ids pieces;
  std::vector<Symbol> symbols;
  std::vector<Candidate> heap;
  std::string text;
};
thread_local MergeRoom merge_room;

}  // namespace

Result<std::unique_ptr<Model>> Bpe::parse(const Json& model, const std::string& where) {
  auto bpe = std::make_unique<Bpe>();
  bpe->vocabulary_ = TRY(Vocabulary::parse(model, where));
  TRY(bpe->read_options(model, where));
  TRY(bpe->read_merges(model, where));
  bpe->index_characters();
  return std::unique_ptr<Model>(std::move(bpe));
}

Status Bpe::read_options(const Json& model, const std::string& where) {
  const auto field = where + ": model";
  if (model.contains("dropout") && !model["dropout"].is_null() && model["dropout"] != 0.0)
    return fail(ErrorCode::unsupported, "the tokenizer uses BPE dropout", field, "set dropout to null to get the same ids every time");
  const auto flag = [&](const char* key) { return model.contains(key) && model[key] == true; };
  fuses_unknown_ = flag("fuse_unk");
  falls_back_ = flag("byte_fallback");
  ignores_merges_ = flag("ignore_merges");
  const auto text = [&](const char* key) -> Result<std::optional<std::string>> {
    if (!model.contains(key) || model[key].is_null()) return std::optional<std::string>();
    return std::optional(TRY(json_string(model, key, field)));
  };
  unknown_ = TRY(text("unk_token"));
  prefix_ = TRY(text("continuing_subword_prefix")).value_or("");
  suffix_ = TRY(text("end_of_word_suffix")).value_or("");
  return {};
}

Status Bpe::read_merges(const Json& model, const std::string& where) {
  const auto field = where + ": model.merges";
  const auto found = model.find("merges");
  if (found == model.end() || !found->is_array() || found->size() > kVocabularyMax)
    return fail(ErrorCode::invalid_argument, "there is no list of merges", field);
  merges_.reserve(found->size());
  std::int32_t rank = 0;
  for (const auto& entry : *found) {
    if (entry.is_string() && entry.get_ref<const std::string&>().starts_with("#version")) continue;
    const auto [left, right] = TRY(merge_of(entry, where));
    const auto a = vocabulary_.find(left), b = vocabulary_.find(right);
    const auto merged = right.size() < prefix_.size() ? std::nullopt : vocabulary_.find(left + right.substr(prefix_.size()));
    if (!a || !b || !merged)
      return fail(ErrorCode::invalid_argument, "the merge '" + left + " " + right + "' names a token that the vocabulary lacks", field);
    merges_.insert(*a, *b, Merge{rank++, *merged});
  }
  return {};
}

void Bpe::index_characters() {
  for (std::size_t byte = 0; byte < byte_ids_.size(); ++byte)
    byte_ids_[byte] = vocabulary_.find(fallback_token(static_cast<std::uint8_t>(byte))).value_or(-1);
  for (std::size_t c = 0; c < ascii_ids_.size(); ++c) ascii_ids_[c] = vocabulary_.find(std::string(1, static_cast<char>(c))).value_or(-1);
}

bool Bpe::keeps_all() const {
  const bool all_bytes = std::ranges::all_of(byte_ids_, [](auto id) { return id >= 0; });
  return (reads_bytes_ || falls_back_) && all_bytes;
}

bool Bpe::read_bytes() {
  std::array<std::int32_t, 256> own{};
  own.fill(-1);
  for (int byte = 0; byte < 256; ++byte) {
    std::string character;
    const char raw = static_cast<char>(byte);
    append_byte_level(character, {&raw, 1});
    own[static_cast<std::size_t>(byte)] = vocabulary_.find(character).value_or(-1);
  }
  const bool all_known = std::ranges::all_of(own, [](auto id) { return id >= 0; });
  if (!prefix_.empty() || !suffix_.empty() || ((unknown_ || falls_back_) && !all_known)) return false;
  byte_ids_ = own;
  reads_bytes_ = true;
  if (!ignores_merges_) return true;
  for (std::int32_t id = 0; id < size(); ++id)
    if (is_byte_level(token(id))) words_.emplace(bytes_of_token(token(id)), id);
  return true;
}

Status Bpe::encode(std::string_view word, Ids& ids) const {
  if (ignores_merges_) {
    const auto found = reads_bytes_ ? words_.find(word) : words_.end();
    const auto whole = reads_bytes_ ? (found == words_.end() ? std::nullopt : std::optional(found->second)) : vocabulary_.find(word);
    if (whole) {
      ids.push_back(*whole);
      return {};
    }
  }
  auto& pieces = merge_room.pieces;
  pieces.clear();
  if (reads_bytes_) cut_to_bytes(word, pieces);
  else TRY(cut_to_characters(word, pieces));
  merge(pieces, ids);
  if (word.size() > kKeptMax) merge_room = {};
  return {};
}

// A byte without a token is left out, as the tokenizers package does.
void Bpe::cut_to_bytes(std::string_view word, Ids& pieces) const {
  for (const char c : word)
    if (const auto id = byte_ids_[static_cast<std::uint8_t>(c)]; id >= 0) pieces.push_back(id);
}

std::optional<std::int32_t> Bpe::find_character(std::string_view character, bool first, bool last) const {
  const bool bare = (first || prefix_.empty()) && (!last || suffix_.empty());
  if (bare && character.size() == 1) {
    const auto id = ascii_ids_[static_cast<std::uint8_t>(character[0])];
    return id < 0 ? std::nullopt : std::optional(id);
  }
  if (bare) return vocabulary_.find(character);
  auto& text = merge_room.text;
  text.clear();
  if (!first) text += prefix_;
  text += character;
  if (last) text += suffix_;
  return vocabulary_.find(text);
}

bool Bpe::add_fallback(std::string_view text, Ids& pieces) const {
  const auto id_of_byte = [&](char c) { return byte_ids_[static_cast<std::uint8_t>(c)]; };
  if (std::ranges::any_of(text, [&](char c) { return id_of_byte(c) < 0; })) return false;
  for (const char c : text) pieces.push_back(id_of_byte(c));
  return true;
}

// An unknown token waits for the next known character: bytes that were fallen back to overtake it, as in the tokenizers package.
Status Bpe::cut_to_characters(std::string_view word, Ids& pieces) const {
  std::optional<std::int32_t> waiting;
  for (std::size_t at = 0; at < word.size();) {
    const auto character = word.substr(at, utf8_step(word.substr(at)).size);
    const bool first = at == 0, last = at + character.size() == word.size();
    at += character.size();
    if (const auto id = find_character(character, first, last)) {
      if (waiting) pieces.push_back(*waiting);
      waiting.reset();
      pieces.push_back(*id);
      continue;
    }
    if (falls_back_) {
      const auto spelt = (first ? "" : prefix_) + std::string(character) + (last ? suffix_ : "");
      if (add_fallback(spelt, pieces)) continue;
    }
    if (!unknown_) continue;
    if (waiting && fuses_unknown_) continue;
    if (waiting) pieces.push_back(*waiting);
    waiting = vocabulary_.find(*unknown_);
    if (!waiting) return fail(ErrorCode::invalid_argument, "the text needs the unknown token '" + *unknown_ + "', which the vocabulary lacks");
  }
  if (waiting) pieces.push_back(*waiting);
  return {};
}

void Bpe::merge(Ids& pieces, Ids& ids) const {
  if (pieces.empty()) return;
  auto& symbols = merge_room.symbols;
  auto& heap = merge_room.heap;
  symbols.clear();
  heap.clear();
  const auto count = static_cast<std::int32_t>(pieces.size());
  for (std::int32_t at = 0; at < count; ++at) symbols.push_back({pieces[static_cast<std::size_t>(at)], at - 1, at + 1 < count ? at + 1 : -1});
  const auto symbol = [&](std::int32_t at) -> Symbol& { return symbols[static_cast<std::size_t>(at)]; };
  const auto candidate_at = [&](std::int32_t left) -> std::optional<Candidate> {
    if (left < 0 || symbol(left).next < 0) return std::nullopt;
    const auto* found = merges_.find(symbol(left).id, symbol(symbol(left).next).id);
    return found ? std::optional(Candidate{found->rank, left, found->id}) : std::nullopt;
  };
  const auto offer = [&](std::int32_t left) {
    const auto candidate = candidate_at(left);
    if (!candidate) return;
    heap.push_back(*candidate);
    std::ranges::push_heap(heap, std::greater<>());
  };
  for (std::int32_t at = 0; at < count; ++at) offer(at);
  while (!heap.empty()) {
    std::ranges::pop_heap(heap, std::greater<>());
    const auto best = heap.back();
    heap.pop_back();
    // Overtaken by another merge, unless what stands there now merges into the same token.
    if (symbol(best.position).id < 0) continue;
    const auto now = candidate_at(best.position);
    if (!now || now->id != best.id) continue;
    auto& left = symbol(best.position);
    auto& right = symbol(left.next);
    left.id = best.id;
    left.next = right.next;
    right.id = -1;
    if (left.next >= 0) symbol(left.next).previous = best.position;
    offer(left.previous);
    offer(best.position);
  }
  for (std::int32_t at = 0; at >= 0; at = symbol(at).next) ids.push_back(symbol(at).id);
}

}  // namespace redoubt::engine::tokenizer
