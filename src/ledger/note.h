// SPDX-License-Identifier: Apache-2.0
//
// C2SP signed notes (https://c2sp.org/signed-note) with Ed25519 signatures: text that ends in a newline, an empty line, and
// one line "— <name> <base64>" for each signature. Stricter than the specification in that key names are printable ASCII.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "crypto/sign.h"

namespace redoubt::ledger {

inline constexpr std::size_t kNoteBytesMax = 64 << 10;
inline constexpr std::size_t kNoteSignaturesMax = 16;

// The key that a note is expected from: its name and its Ed25519 key.
struct NoteKey {
  std::string name;
  crypto::PublicKey key;
};

struct NoteSignature {
  std::string name;
  std::array<std::uint8_t, 4> key_hash{};
  Bytes signature;
};

struct Note {
  std::string text;  // with its final newline
  std::vector<NoteSignature> signatures;
};

// Whether a key may have this name: not empty, printable ASCII, no space and no '+'.
bool is_note_key_name(std::string_view name);
// The first four bytes of SHA-256(name || 0x0A || 0x01 || public key).
std::array<std::uint8_t, 4> note_key_hash(const NoteKey& key);
// "<name>+<hash>+<base64 of 0x01 || public key>": how Go's sumdb/note and other tools take a verifier key.
std::string to_text(const NoteKey& key);
Result<NoteKey> parse_note_key(std::string_view text);

// `text` ends with a newline and holds no other control character (CHECK).
std::string sign_note(std::string_view text, const std::string& name, const crypto::SigningKey& key);

// Only the form; nothing is verified yet.
Result<Note> parse_note(std::string_view bytes, std::string_view where);
// The text, once the signature by `key` has been verified; every failure is tampered. Signatures of others are ignored.
Result<std::string> open_note(std::string_view bytes, const NoteKey& key, std::string_view where);

}  // namespace redoubt::ledger
