// SPDX-License-Identifier: Apache-2.0
#include "ledger/checkpoint.h"

#include <fmt/format.h>

#include <charconv>

namespace redoubt::ledger {
namespace {

Result<TreeHead> parse_head(std::string_view text, const std::string& origin, std::string_view where) {
  const auto malformed = [&] { return fail(ErrorCode::tampered, "the checkpoint's text is malformed", std::string(where)); };
  if (!text.starts_with(origin + "\n")) {
    return fail(ErrorCode::tampered, fmt::format("the checkpoint is of another ledger than '{}'", origin),
                std::string(where));
  }
  text.remove_prefix(origin.size() + 1);
  const auto end = text.find('\n');
  if (end == text.npos) return malformed();
  TreeHead head;
  const auto size = text.substr(0, end);
  const auto [parsed_to, error] = std::from_chars(size.data(), size.data() + size.size(), head.size);
  if (error != std::errc() || parsed_to != size.data() + size.size()) return malformed();
  const auto rest = text.substr(end + 1);
  const auto root = from_base64(rest.substr(0, rest.find('\n')));
  if (!root || root->size() != head.root.value.size()) return malformed();
  std::copy(root->begin(), root->end(), head.root.value.begin());
  return head;
}

}  // namespace

std::string checkpoint_text(const std::string& origin, const TreeHead& head) {
  return fmt::format("{}\n{}\n{}\n", origin, head.size, to_base64(head.root.bytes()));
}

Checkpoint sign_checkpoint(const std::string& origin, const TreeHead& head, const crypto::SigningKey& key) {
  return {origin, head, sign_note(checkpoint_text(origin, head), origin, key)};
}

Result<Checkpoint> open_checkpoint(std::string_view note, const NoteKey& key, std::string_view where) {
  const auto text = TRY(open_note(note, key, where));
  const auto head = TRY(parse_head(text, key.name, where));
  // Exactly what sign_checkpoint writes: no extension line, no leading zero, no second signature beside ours.
  if (text != checkpoint_text(key.name, head) || TRY(parse_note(note, where)).signatures.size() != 1) {
    return fail(ErrorCode::tampered, "the checkpoint has more in it than a ledger writes", std::string(where));
  }
  return Checkpoint{key.name, head, std::string(note)};
}

}  // namespace redoubt::ledger
