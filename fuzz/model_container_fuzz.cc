// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as a zip, tar or compressed file: members lie within the file, and what is decoded is read back as it was.
#include "base/check.h"
#include "base/memory_object.h"
#include "model_scan/decoder.h"
#include "model_scan/tar_reader.h"
#include "model_scan/zip_reader.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace redoubt;
  const MemoryObject object(Bytes(data, data + size));
  const auto members = model_scan::read_zip(object, [&](const model_scan::ZipProblem& problem) { CHECK(problem.offset <= size); });
  CHECK(members.has_value());
  for (const auto& member : *members) CHECK(member.data <= size && member.compressed <= size - member.data);
  const auto end = model_scan::read_tar(object, [&](const model_scan::TarMember& member) -> Status {
    CHECK(member.data <= size && member.bytes <= size - member.data);
    return {};
  });
  CHECK(end.has_value() && (end->is_whole || !end->problem.empty()));
  if (const auto codec = model_scan::codec_of({data, size})) {
    const auto decoded = model_scan::DecodedObject::open(object, 0, size, *codec);
    CHECK(decoded.has_value());
    std::uint8_t last = 0;
    if ((*decoded)->size() > 0) CHECK((*decoded)->read_at((*decoded)->size() - 1, MutableByteView(&last, 1)).has_value());
  }
  return 0;
}
