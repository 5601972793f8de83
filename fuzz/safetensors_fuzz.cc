// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as a safetensors file: whatever the header says, what is accepted covers the file exactly.
#include <algorithm>

#include "base/check.h"
#include "weights/safetensors.h"

namespace {

class View final : public redoubt::RandomAccess {
 public:
  explicit View(redoubt::ByteView bytes) : bytes_(bytes) {}
  std::uint64_t size() const override { return bytes_.size(); }
  redoubt::Status read_at(std::uint64_t offset, redoubt::MutableByteView into) const override {
    if (offset > bytes_.size() || into.size() > bytes_.size() - offset)
      return redoubt::fail(redoubt::ErrorCode::invalid_argument, "beyond the end");
    std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(offset), into.size(), into.begin());
    return {};
  }

 private:
  redoubt::ByteView bytes_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const View file({data, size});
  const auto header = redoubt::weights::read_header(file, "fuzz");
  if (!header) return 0;
  for (std::size_t i = 0; i < header->tensors.size(); ++i) {
    const auto& tensor = header->tensors[i];
    const auto end = i + 1 < header->tensors.size() ? header->tensors[i + 1].offset : size;
    CHECK(tensor.offset + tensor.bytes == end);
  }
  return 0;
}
