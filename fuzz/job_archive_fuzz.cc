// SPDX-License-Identifier: Apache-2.0
//
// What a job in SageMaker gives back: whatever the archive holds, every file that comes out has a name that stays in its folder. Where the first byte is 0 the
// rest is taken as it is, else as the tar file that was packed.
#include <zlib.h>

#include "base/check.h"
#include "base/file.h"
#include "provider/aws/job_archive.h"
#include "tar_mutator.h"

using namespace redoubt;

namespace {

Bytes packed(ByteView tar) {
  constexpr int kFastest = 1, kWithGzipHeader = 15 + 16, kMemory = 8;
  z_stream stream{};
  CHECK(deflateInit2(&stream, kFastest, Z_DEFLATED, kWithGzipHeader, kMemory, Z_DEFAULT_STRATEGY) == Z_OK);
  Bytes out(deflateBound(&stream, tar.size()));
  stream.next_in = const_cast<Bytef*>(tar.data()), stream.avail_in = static_cast<uInt>(tar.size());
  stream.next_out = out.data(), stream.avail_out = static_cast<uInt>(out.size());
  CHECK(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t size_max, unsigned) { return mutate_tar(data, size, size_max, 1); }

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const ByteView rest(data + 1, size - 1);
  const auto archive = data[0] == 0 ? Bytes(rest.begin(), rest.end()) : packed(rest);
  MemorySource source(archive);
  const auto files = provider::aws::unpack_archive(source, "fuzz", {.bytes_max = 1 << 20, .files_max = 64});
  if (!files) return 0;
  for (const auto& file : *files) {
    CHECK(is_safe_relative_path(file.path));
    const auto opened = file.open();
    CHECK(opened);
    Bytes contents((*opened)->size());
    CHECK((*opened)->read_at(0, contents));
  }
  return 0;
}
