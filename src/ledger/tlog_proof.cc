// SPDX-License-Identifier: Apache-2.0
#include "ledger/tlog_proof.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>

namespace redoubt::ledger {
namespace {

constexpr std::string_view kFirstLine = "c2sp.org/tlog-proof@v1";
constexpr std::size_t kHashesMax = 64;
constexpr std::size_t kProofBytesMax = kNoteBytesMax + (128 << 10);

// The next line without its newline; nothing when there is none.
std::optional<std::string_view> take_line(std::string_view& text) {
  const auto end = text.find('\n');
  if (end == text.npos) return std::nullopt;
  const auto line = text.substr(0, end);
  text.remove_prefix(end + 1);
  return line;
}

std::optional<std::uint64_t> parse_index(std::string_view line) {
  if (!line.starts_with("index ")) return std::nullopt;
  line.remove_prefix(6);
  std::uint64_t index = 0;
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), index);
  if (error != std::errc() || end != line.data() + line.size() || std::to_string(index) != line) return std::nullopt;
  return index;
}

}  // namespace

std::string to_text(const TlogProof& proof) {
  std::string text = fmt::format("{}\nindex {}\n", kFirstLine, proof.index);
  for (const auto& hash : proof.hashes) text += to_base64(hash.bytes()) + "\n";
  return text + "\n" + proof.checkpoint;
}

Result<TlogProof> parse_tlog_proof(std::string_view text, std::string_view where) {
  const auto malformed = [&](const char* why) { return fail(ErrorCode::invalid_argument, why, std::string(where)); };
  if (text.size() > kProofBytesMax) return fail(ErrorCode::limit_exceeded, "the proof is too large", std::string(where));
  if (take_line(text) != kFirstLine) return malformed("not a transparency log proof of version 1");
  auto line = take_line(text);
  if (line && line->starts_with("extra ")) {
    if (!from_base64(line->substr(6))) return malformed("the proof's extra data are malformed");
    line = take_line(text);
  }
  const auto index = line ? parse_index(*line) : std::nullopt;
  if (!index) return malformed("the proof's index is malformed");
  TlogProof proof{.index = *index, .hashes = {}, .checkpoint = {}};
  for (line = take_line(text); line && !line->empty(); line = take_line(text)) {
    const auto bytes = from_base64(*line);
    if (!bytes || bytes->size() != 32) return malformed("a hash of the proof is malformed");
    if (proof.hashes.size() == kHashesMax)
      return fail(ErrorCode::limit_exceeded, "the proof is too long", std::string(where));
    std::copy(bytes->begin(), bytes->end(), proof.hashes.emplace_back().value.begin());
  }
  if (!line) return malformed("the proof ends before its checkpoint");
  proof.checkpoint = std::string(text);
  return proof;
}

Result<TreeHead> verify_tlog_proof(const TlogProof& proof, ByteView entry, const NoteKey& key, std::string_view where) {
  const auto head = TRY(open_checkpoint(proof.checkpoint, key, where)).head;
  if (!verify_inclusion(leaf_hash(entry), proof.index, head, proof.hashes)) {
    return fail(ErrorCode::tampered, fmt::format("the proof does not show that this is entry {} of the ledger", proof.index),
                std::string(where));
  }
  return head;
}

}  // namespace redoubt::ledger
