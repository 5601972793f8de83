// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as a GGUF file: whatever the header says, what is accepted lies inside the file, in order, and can be unpacked.
#include <algorithm>

#include "base/check.h"
#include "weights/dequantize.h"
#include "weights/testing_gguf.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace redoubt::weights;
  const testing::GgufInMemory file({data, size});
  const auto header = GgufHeader::read(file, "fuzz");
  if (!header) return 0;
  std::vector<const GgufTensor*> order;
  for (const auto& [name, tensor] : header->tensors()) order.push_back(&tensor);
  std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) { return a->offset < b->offset; });
  std::uint64_t end = 0;
  for (const auto* tensor : order) {
    CHECK(tensor->offset >= end && tensor->offset <= size && tensor->bytes <= size - tensor->offset);
    end = tensor->offset + tensor->bytes;
    std::vector<float> numbers(tensor->rows() * tensor->columns());
    dequantize(tensor->type, {data + tensor->offset, tensor->bytes}, numbers);
  }
  return 0;
}
