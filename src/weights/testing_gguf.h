// SPDX-License-Identifier: Apache-2.0
//
// GGUF files made by hand in memory, sound or broken on purpose. For tests.
#pragma once

#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include "base/stream.h"

namespace redoubt::weights::testing {

// The bytes of a header, one value after another.
class GgufBytes {
 public:
  template <class T>
  GgufBytes& number(T value) {
    const auto at = bytes_.size();
    bytes_.resize(at + sizeof value);
    std::memcpy(bytes_.data() + at, &value, sizeof value);
    return *this;
  }
  GgufBytes& text(std::string_view text) {
    number<std::uint64_t>(text.size());
    bytes_.insert(bytes_.end(), text.begin(), text.end());
    return *this;
  }
  GgufBytes& start(std::uint64_t tensors, std::uint64_t pairs, std::uint32_t version = 3) {
    return number<std::uint32_t>(0x46554747).number(version).number(tensors).number(pairs);
  }
  GgufBytes& pair(std::string_view key, std::uint32_t value) { return text(key).number<std::uint32_t>(4).number(value); }
  GgufBytes& pair(std::string_view key, float value) { return text(key).number<std::uint32_t>(6).number(value); }
  GgufBytes& pair(std::string_view key, const char* value) { return text(key).number<std::uint32_t>(8).text(value); }
  GgufBytes& pair(std::string_view key, const std::vector<std::string_view>& values) {
    text(key).number<std::uint32_t>(9).number<std::uint32_t>(8).number<std::uint64_t>(values.size());
    for (auto value : values) text(value);
    return *this;
  }
  GgufBytes& pair(std::string_view key, const std::vector<std::int32_t>& values) {
    text(key).number<std::uint32_t>(9).number<std::uint32_t>(5).number<std::uint64_t>(values.size());
    for (auto value : values) number(value);
    return *this;
  }
  // `sizes` in the file's order, columns first.
  GgufBytes& tensor(std::string_view name, const std::vector<std::uint64_t>& sizes, std::uint32_t type,
                    std::uint64_t offset) {
    text(name).number(static_cast<std::uint32_t>(sizes.size()));
    for (auto size : sizes) number(size);
    return number(type).number(offset);
  }
  GgufBytes& align(std::size_t to = 32) {
    bytes_.resize((bytes_.size() + to - 1) / to * to);
    return *this;
  }
  GgufBytes& zeros(std::size_t count) {
    bytes_.resize(bytes_.size() + count);
    return *this;
  }
  const Bytes& bytes() const { return bytes_; }

 private:
  Bytes bytes_;
};

class GgufInMemory final : public RandomAccess {
 public:
  explicit GgufInMemory(ByteView bytes) : bytes_(bytes) {}
  std::uint64_t size() const override { return bytes_.size(); }
  Status read_at(std::uint64_t offset, MutableByteView into) const override {
    if (offset > bytes_.size() || into.size() > bytes_.size() - offset)
      return fail(ErrorCode::invalid_argument, "beyond the end");
    if (!into.empty()) std::memcpy(into.data(), bytes_.data() + offset, into.size());
    return {};
  }

 private:
  ByteView bytes_;
};

}  // namespace redoubt::weights::testing
