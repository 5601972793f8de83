// SPDX-License-Identifier: Apache-2.0
//
// Import of GGUF for tests that judge it from outside:
//   gguf_tool import FILE FOLDER        the whole import
//   gguf_tool dequantize FILE TENSOR    one tensor's numbers to standard output, as 32-bit floats
#include <cstdio>
#include <string_view>

#include "base/file.h"
#include "stages/acquire/gguf_import.h"
#include "weights/dequantize.h"

namespace redoubt {
namespace {

Status dequantize(const char* path, const char* name) {
  auto file = TRY(FileReader::open(path));
  const auto header = TRY(weights::GgufHeader::read(*file, path));
  auto found = header.tensors().find(name);
  if (found == header.tensors().end()) return fail(ErrorCode::not_found, "no such tensor", name);
  Bytes bytes(found->second.bytes);
  TRY(file->read_at(found->second.offset, bytes));
  std::vector<float> numbers(found->second.rows() * found->second.columns());
  weights::dequantize(found->second.type, bytes, numbers);
  if (std::fwrite(numbers.data(), sizeof(float), numbers.size(), stdout) != numbers.size())
    return fail(ErrorCode::unavailable, "standard output takes no more");
  return {};
}

Status run(int count, char** arguments) {
  const std::string_view command = count == 4 ? arguments[1] : "";
  NoProgress progress;
  if (command == "import") return stages::acquire::import_gguf(arguments[2], arguments[3], progress);
  if (command == "dequantize") return dequantize(arguments[2], arguments[3]);
  return fail(ErrorCode::invalid_argument, "usage: gguf_tool import FILE FOLDER | gguf_tool dequantize FILE TENSOR");
}

}  // namespace
}  // namespace redoubt

int main(int count, char** arguments) {
  const auto status = redoubt::run(count, arguments);
  if (!status) std::fprintf(stderr, "%s: %s\n", status.error().where.c_str(), status.error().message.c_str());
  return status ? 0 : 2;
}
