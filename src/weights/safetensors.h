// SPDX-License-Identifier: Apache-2.0
//
// The safetensors format: eight bytes of little-endian header length, a JSON header, the tensors' bytes end to end.
// What is accepted is a strict subset of what the reference library takes (docs/formats/safetensors.md): no leading white
// space, no duplicate or odd names, no unknown members, no gaps, no overlaps, nothing after the last tensor.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/stream.h"

namespace redoubt::weights {

inline constexpr std::uint64_t kHeaderBytesMax = 100'000'000;
inline constexpr std::size_t kTensorsMax = 1'000'000;
inline constexpr std::size_t kDimensionsMax = 8;
inline constexpr std::size_t kNameBytesMax = 512;

enum class DType { f64, f32, f16, bf16, f8_e4m3, f8_e5m2, i64, i32, i16, i8, u64, u32, u16, u8, boolean };

std::uint64_t bytes_of(DType type);
// "F32", "BF16", ... as the format writes them.
const char* to_string(DType type);

struct TensorInfo {
  std::string name;
  DType type = DType::f32;
  std::vector<std::uint64_t> shape = {};
  std::uint64_t offset = 0;  // from the start of the file
  std::uint64_t bytes = 0;
};

struct Header {
  std::vector<TensorInfo> tensors;  // in the order of their bytes
  std::map<std::string, std::string> metadata;
};

// Reads and checks the header of a whole file. Errors are invalid_argument or limit_exceeded and name `where` and the
// tensor.
Result<Header> read_header(const RandomAccess& file, std::string_view where);

// An open file whose header was checked. Reads are safe from several threads.
class SafetensorsFile {
 public:
  static Result<SafetensorsFile> open(std::unique_ptr<RandomAccess> file, std::string where);

  const Header& header() const { return header_; }
  const std::string& where() const { return where_; }
  // not_found when the file has no such tensor.
  Result<const TensorInfo*> find(std::string_view name) const;
  // Fills `into`, whose size must be the tensor's.
  Status read(const TensorInfo& tensor, MutableByteView into) const;

 private:
  SafetensorsFile(std::unique_ptr<RandomAccess> file, std::string where, Header header);
  std::unique_ptr<RandomAccess> file_;
  std::string where_;
  Header header_;
  std::map<std::string, std::size_t, std::less<>> index_;
};

struct TensorView {
  std::string name;
  DType type = DType::f32;
  std::vector<std::uint64_t> shape = {};
  ByteView bytes;  // row-major, little-endian, as many as type and shape say
};

// Writes a file in pieces, so that its tensors need not be in memory together: the header first, then the tensors' bytes in
// the order of `tensors()`.
class SafetensorsWriter {
 public:
  // Writes the header. Of each tensor the name, type and shape count; names must differ.
  static Result<SafetensorsWriter> begin(Sink& out, std::vector<TensorInfo> tensors,
                                         const std::map<std::string, std::string>& metadata = {});

  // Sorted by name, with the offsets and sizes that they have in the file.
  const std::vector<TensorInfo>& tensors() const { return tensors_; }
  // The next bytes, in pieces of any size.
  Status write(ByteView bytes);
  // To be called at the end; fewer bytes than the header says are a bug of the caller.
  void finish() const;

 private:
  SafetensorsWriter(Sink& out, std::vector<TensorInfo> tensors, std::uint64_t left)
      : out_(&out), tensors_(std::move(tensors)), left_(left) {}
  Sink* out_;
  std::vector<TensorInfo> tensors_;
  std::uint64_t left_;
};

// Writes a file that the reference library and `read_header` accept: tensors sorted by name, header padded to eight bytes.
// The same tensors give the same bytes.
Status write_safetensors(Sink& out, std::vector<TensorView> tensors,
                         const std::map<std::string, std::string>& metadata = {});

}  // namespace redoubt::weights
