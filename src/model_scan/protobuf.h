// SPDX-License-Identifier: Apache-2.0
//
// The fields of a protobuf message one after the other, out of a file of any size; what is inside a field is another reader.
#pragma once

#include <optional>
#include <string>

#include "model_scan/byte_reader.h"

namespace redoubt::model_scan {

struct ProtobufField {
  std::uint64_t number = 0, wire = 0;
  std::uint64_t value = 0;  // of a varint or a fixed field
  std::uint64_t begin = 0, bytes = 0;  // of a field with a length, in the file
};

class ProtobufReader {
 public:
  static constexpr std::uint64_t kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5;

  ProtobufReader(const RandomAccess& object, std::uint64_t begin, std::uint64_t bytes) : reader_(object, begin, begin + bytes) {}

  // The next field; nothing at the end, and `is_broken` where it can't be read.
  std::optional<ProtobufField> next() {
    if (reader_.left() == 0 || is_broken_) return std::nullopt;
    const auto tag = varint();
    ProtobufField field;
    if (!tag || *tag >> 3 == 0) return broken();
    field.number = *tag >> 3, field.wire = *tag & 7;
    if (field.wire == kVarint) {
      const auto value = varint();
      if (!value) return broken();
      field.value = *value;
      return field;
    }
    std::optional<std::uint64_t> length = field.wire == kFixed64 ? std::optional<std::uint64_t>(8) : field.wire == kFixed32 ? std::optional<std::uint64_t>(4) : std::nullopt;
    if (field.wire == kBytes) length = varint();
    if (!length) return broken();
    field.begin = reader_.offset(), field.bytes = *length;
    return reader_.skip(*length) ? std::optional(field) : broken();
  }
  bool is_broken() const { return is_broken_; }
  const std::optional<Error>& error() const { return reader_.error(); }
  std::uint64_t offset() const { return reader_.offset(); }

 private:
  std::optional<ProtobufField> broken() {
    is_broken_ = true;
    return std::nullopt;
  }
  std::optional<std::uint64_t> varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const auto* byte = reader_.peek(1);
      if (byte == nullptr) return std::nullopt;
      reader_.advance(1);
      value |= static_cast<std::uint64_t>(*byte & 0x7f) << shift;
      if (*byte < 0x80) return value;
    }
    return std::nullopt;
  }
  ByteReader reader_;
  bool is_broken_ = false;
};

}  // namespace redoubt::model_scan
