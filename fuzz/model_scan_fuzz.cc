// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as each file of a model: the scan ends, and what it finds lies within the file.
#include <algorithm>

#include "base/check.h"
#include "model_scan/model_scan.h"

namespace {

class View final : public redoubt::RandomAccess {
 public:
  explicit View(redoubt::ByteView bytes) : bytes_(bytes) {}
  std::uint64_t size() const override { return bytes_.size(); }
  redoubt::Status read_at(std::uint64_t offset, redoubt::MutableByteView into) const override {
    CHECK(offset <= bytes_.size() && into.size() <= bytes_.size() - offset);  // the scan knows the file's size
    std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(offset), into.size(), into.begin());
    return {};
  }

 private:
  redoubt::ByteView bytes_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace redoubt;
  for (const char* name :
       {"model.safetensors", "model.gguf", "config.json", "vocab.txt", "tokenizer.model", "picture.png", "model.pt", "model.zip"}) {
    const auto open = [&]() -> Result<std::unique_ptr<RandomAccess>> {
      return std::make_unique<View>(ByteView(data, size));
    };
    const auto scan = model_scan::scan_model({{name, open}});
    CHECK(scan.has_value());
    for (const auto& finding : scan->findings) CHECK(!finding.member.empty() || finding.offset <= size);
  }
  return 0;
}
