// SPDX-License-Identifier: Apache-2.0
#include "model_scan/sentencepiece.h"

#include <fmt/format.h>

#include <optional>

#include "weights/gguf_reader.h"

namespace redoubt::model_scan {
namespace {

constexpr std::uint64_t kPiecesMax = 4'000'000;
// ModelProto: pieces, trainer_spec, normalizer_spec, self_test_data, denormalizer_spec; extensions from 200.
constexpr std::uint64_t kPieces = 1, kFieldMax = 5, kExtensions = 200;
constexpr std::uint64_t kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5;

struct Field {
  std::uint64_t number = 0, wire = 0;
  std::string_view bytes;  // of a field with a length
};

class VocabularyReader {
 public:
  explicit VocabularyReader(std::string_view text) : text_(text) {}
  bool at_end() const { return at_ == text_.size(); }
  std::size_t at() const { return at_; }

  std::optional<std::uint64_t> varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && at_ < text_.size(); shift += 7) {
      const auto byte = static_cast<unsigned char>(text_[at_++]);
      value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    return std::nullopt;
  }

  std::optional<Field> field() {
    const auto tag = varint();
    if (!tag || *tag >> 3 == 0) return std::nullopt;
    Field field{*tag >> 3, *tag & 7, {}};
    std::optional<std::uint64_t> length;
    if (field.wire == kVarint) return varint() ? std::optional(field) : std::nullopt;
    if (field.wire == kBytes) length = varint();
    if (field.wire == kFixed32) length = 4;
    if (field.wire == kFixed64) length = 8;
    if (!length || *length > text_.size() - at_) return std::nullopt;
    field.bytes = text_.substr(at_, static_cast<std::size_t>(*length));
    at_ += field.bytes.size();
    return field;
  }

 private:
  std::string_view text_;
  std::size_t at_ = 0;
};

// SentencePiece: piece (a text), score, type.
bool is_piece(std::string_view bytes) {
  bool has_text = false;
  for (VocabularyReader reader(bytes); !reader.at_end();) {
    const auto field = reader.field();
    if (!field) return false;
    if (field->number == 1 && (field->wire != kBytes || !weights::is_utf8(field->bytes))) return false;
    if ((field->number == 2 && field->wire != kFixed32) || (field->number == 3 && field->wire != kVarint)) return false;
    has_text = has_text || field->number == 1;
  }
  return has_text;
}

}  // namespace

Status check_sentencepiece(ByteView file, std::string_view where) {
  std::uint64_t pieces = 0;
  for (VocabularyReader reader(text_of(file)); !reader.at_end();) {
    const std::size_t at = reader.at();
    const auto field = reader.field();
    const bool is_known = field && field->wire == kBytes && (field->number <= kFieldMax || field->number >= kExtensions);
    if (!is_known)
      return fail(ErrorCode::invalid_argument, fmt::format("not a SentencePiece model from byte {}", at),
                  std::string(where));
    if (field->number != kPieces) continue;
    if (!is_piece(field->bytes))
      return fail(ErrorCode::invalid_argument, fmt::format("not a piece of a SentencePiece model at byte {}", at),
                  std::string(where));
    if (++pieces > kPiecesMax) return fail(ErrorCode::limit_exceeded, "too many pieces", std::string(where));
  }
  if (pieces == 0) return fail(ErrorCode::invalid_argument, "a SentencePiece model without pieces", std::string(where));
  return {};
}

}  // namespace redoubt::model_scan
