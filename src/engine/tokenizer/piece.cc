// SPDX-License-Identifier: Apache-2.0
#include "engine/tokenizer/piece.h"

#include "base/utf8.h"


namespace redoubt::engine::tokenizer {
namespace {

// Walks over the old characters.
struct Cursor {
  std::string_view text;
  std::size_t at = 0;
  void step() {
    if (at < text.size()) at += utf8_step(text.substr(at)).size;
  }
};

}  // namespace

Piece rewrite(const Piece& piece, const std::vector<Change>& changes, std::size_t skipped, Arena& arena) {
  Cursor old{piece.text};
  for (std::size_t i = 0; i < skipped; ++i) old.step();
  std::string text;
  text.reserve(piece.text.size());
  std::size_t from_start = 0;
  for (const auto& [character, change] : changes) {
    const auto source = change > 0 && old.at > 0 ? old.at - 1 : old.at;
    if (change <= 0) old.step();
    for (int i = change; i < 0; ++i) old.step();
    append_utf8(text, character);
    if (source < piece.from_start) from_start = text.size();
  }
  return {arena.keep(std::move(text)), from_start};
}

Piece prepend(const Piece& piece, std::string_view prefix, Arena& arena) {
  if (piece.text.empty() || prefix.empty()) return piece;
  return {arena.keep(std::string(prefix) + std::string(piece.text)), piece.from_start > 0 ? piece.from_start + prefix.size() : 0};
}

}  // namespace redoubt::engine::tokenizer
