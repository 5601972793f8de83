// SPDX-License-Identifier: Apache-2.0
#include "ledger/note.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "crypto/hash.h"

namespace redoubt::ledger {
namespace {

constexpr std::uint8_t kEd25519Type = 0x01;
constexpr std::string_view kSignaturePrefix = "\xe2\x80\x94 ";  // em dash, space

Bytes typed_key(const NoteKey& key) {
  Bytes bytes{kEd25519Type};
  const auto raw = key.key.ed25519();
  bytes.insert(bytes.end(), raw.begin(), raw.end());
  return bytes;
}

// How many bytes the UTF-8 sequence at the start of `text` has (the Unicode Standard, table 3-7); 0 when it is not well
// formed.
std::size_t sequence_length(std::string_view text) {
  const auto byte = [&](std::size_t at) { return at < text.size() ? static_cast<std::uint8_t>(text[at]) : 0; };
  const auto continues = [&](std::size_t at) { return (byte(at) & 0xC0) == 0x80; };
  const unsigned first = byte(0), second = byte(1);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return continues(1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    if ((first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F)) return 0;
    return continues(1) && continues(2) ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    if ((first == 0xF0 && second < 0x90) || (first == 0xF4 && second > 0x8F)) return 0;
    return continues(1) && continues(2) && continues(3) ? 4 : 0;
  }
  return 0;
}

// UTF-8 without control characters other than newline.
bool is_note_text(std::string_view text) {
  while (!text.empty()) {
    const auto length = sequence_length(text);
    if (length == 0 || (static_cast<std::uint8_t>(text[0]) < 0x20 && text[0] != '\n')) return false;
    text.remove_prefix(length);
  }
  return true;
}

Result<NoteSignature> parse_signature(std::string_view line, std::string_view where) {
  const auto malformed = [&] {
    return fail(ErrorCode::invalid_argument, "a signature line of the note is malformed", std::string(where));
  };
  if (!line.starts_with(kSignaturePrefix)) return malformed();
  line.remove_prefix(kSignaturePrefix.size());
  const auto space = line.find(' ');
  if (space == line.npos || !is_note_key_name(line.substr(0, space))) return malformed();
  const auto bytes = from_base64(line.substr(space + 1));
  if (!bytes || bytes->size() < 5) return malformed();
  NoteSignature signature{.name = std::string(line.substr(0, space)), .signature = Bytes(bytes->begin() + 4, bytes->end())};
  std::copy_n(bytes->begin(), 4, signature.key_hash.begin());
  return signature;
}

}  // namespace

bool is_note_key_name(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c < 0x7F && c != '+'; });
}

std::array<std::uint8_t, 4> note_key_hash(const NoteKey& key) {
  const auto digest = crypto::Sha256().update(key.name).update("\n").update(typed_key(key)).finish();
  return {digest.value[0], digest.value[1], digest.value[2], digest.value[3]};
}

std::string to_text(const NoteKey& key) {
  return fmt::format("{}+{}+{}", key.name, to_hex(note_key_hash(key)), to_base64(typed_key(key)));
}

Result<NoteKey> parse_note_key(std::string_view text) {
  const auto malformed = [] { return fail(ErrorCode::invalid_argument, "not a verifier key of the form name+hash+key"); };
  const auto first = text.find('+');
  const auto second = first == text.npos ? text.npos : text.find('+', first + 1);
  if (second == text.npos || !is_note_key_name(text.substr(0, first))) return malformed();
  const auto bytes = from_base64(text.substr(second + 1));
  if (!bytes || bytes->size() != 33 || bytes->front() != kEd25519Type) return malformed();
  auto public_key = TRY(crypto::PublicKey::from_ed25519(ByteView(*bytes).subspan(1)));
  NoteKey key{std::string(text.substr(0, first)), std::move(public_key)};
  if (to_text(key) != text) return malformed();
  return key;
}

std::string sign_note(std::string_view text, const std::string& name, const crypto::SigningKey& key) {
  CHECK(is_note_key_name(name) && text.ends_with('\n') && is_note_text(text));
  const auto hash = note_key_hash({name, key.public_key()});
  Bytes line(hash.begin(), hash.end());
  const auto signature = key.sign(view_of(text));
  line.insert(line.end(), signature.begin(), signature.end());
  return fmt::format("{}\n{}{} {}\n", text, kSignaturePrefix, name, to_base64(line));
}

Result<Note> parse_note(std::string_view bytes, std::string_view where) {
  const auto refuse = [&](const char* why) { return fail(ErrorCode::invalid_argument, why, std::string(where)); };
  if (bytes.size() > kNoteBytesMax) return fail(ErrorCode::limit_exceeded, "the note is too large", std::string(where));
  if (!is_note_text(bytes)) return refuse("the note is not UTF-8 or has control characters");
  const auto separator = bytes.rfind("\n\n");
  if (separator == bytes.npos || !bytes.ends_with('\n')) return refuse("not a signed note");
  Note note{.text = std::string(bytes.substr(0, separator + 1)), .signatures = {}};
  auto lines = bytes.substr(separator + 2);
  while (!lines.empty()) {
    if (note.signatures.size() == kNoteSignaturesMax) {
      return fail(ErrorCode::limit_exceeded, "the note has too many signatures", std::string(where));
    }
    const auto end = lines.find('\n');
    note.signatures.push_back(TRY(parse_signature(lines.substr(0, end), where)));
    lines.remove_prefix(end + 1);
  }
  if (note.signatures.empty()) return refuse("the note is not signed");
  return note;
}

Result<std::string> open_note(std::string_view bytes, const NoteKey& key, std::string_view where) {
  auto note = parse_note(bytes, where);
  if (!note) return fail(ErrorCode::tampered, note.error().message, std::string(where));
  const auto hash = note_key_hash(key);
  bool verified = false;
  for (const auto& signature : note->signatures) {
    if (signature.name != key.name || signature.key_hash != hash) continue;
    if (!key.key.verify(view_of(note->text), signature.signature)) {
      return fail(ErrorCode::tampered, "the note's signature does not verify", std::string(where));
    }
    verified = true;
  }
  if (!verified)
    return fail(ErrorCode::tampered, fmt::format("the note is not signed by '{}'", to_text(key)), std::string(where));
  return std::move(note->text);
}

}  // namespace redoubt::ledger
