// SPDX-License-Identifier: Apache-2.0
#include "engine/tokenizer/charsmap.h"

#include "base/bytes.h"
#include "base/utf8.h"

namespace redoubt::engine::tokenizer {
namespace {

// A unit of the double array, as Darts-clone packs it.
struct Unit {
  std::uint32_t bits;
  bool has_leaf() const { return (bits >> 8 & 1) == 1; }
  std::size_t value() const { return bits & 0x7FFFFFFFu; }
  std::size_t label() const { return bits & 0x800000FFu; }
  std::size_t offset() const { return static_cast<std::size_t>(bits >> 10) << ((bits & (1u << 9)) >> 6); }
};

std::uint32_t little_endian(std::string_view bytes) {
  std::uint32_t number = 0;
  for (int i = 3; i >= 0; --i) number = number << 8 | static_cast<std::uint8_t>(bytes[static_cast<std::size_t>(i)]);
  return number;
}

}  // namespace

Result<Charsmap> Charsmap::parse(std::string_view encoded, const std::string& where) {
  const auto decoded = TRY(from_base64(encoded));
  const std::string_view bytes(reinterpret_cast<const char*>(decoded.data()), decoded.size());
  const auto bad = [&](const char* what) { return fail(ErrorCode::invalid_argument, std::string("the precompiled charsmap ") + what, where); };
  if (bytes.size() < 4) return bad("is too short");
  const std::size_t size = little_endian(bytes);
  if (size % 4 != 0 || size < 4 || size > bytes.size() - 4) return bad("has a trie longer than itself");
  Charsmap made;
  for (std::size_t at = 4; at < 4 + size; at += 4) made.units_.push_back(little_endian(bytes.substr(at)));
  made.texts_ = bytes.substr(4 + size);
  if (find_invalid_utf8(made.texts_) != std::string_view::npos) return bad("has texts that are not UTF-8");
  return made;
}

std::optional<std::string_view> Charsmap::replacement(std::string_view text) const {
  std::size_t node = Unit{units_[0]}.offset();
  for (const char c : text) {
    if (c == '\0') break;
    node ^= static_cast<std::uint8_t>(c);
    if (node >= units_.size()) return std::nullopt;
    const Unit unit{units_[node]};
    if (unit.label() != static_cast<std::uint8_t>(c)) return std::nullopt;
    node ^= unit.offset();
    if (node >= units_.size()) return std::nullopt;
    if (!unit.has_leaf()) continue;
    const auto begin = Unit{units_[node]}.value();
    if (begin > texts_.size()) return std::nullopt;
    auto found = std::string_view(texts_).substr(begin);
    found = found.substr(0, found.find('\0'));
    // An offset into the middle of a character.
    if (find_invalid_utf8(found) != std::string_view::npos) return std::nullopt;
    return found;
  }
  return std::nullopt;
}

}  // namespace redoubt::engine::tokenizer
