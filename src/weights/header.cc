// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <bit>
#include <optional>
#include <tuple>

#include "base/json.h"
#include "weights/checked_product.h"
#include "weights/safetensors.h"

static_assert(std::endian::native == std::endian::little, "safetensors holds little-endian numbers, read as they are");

namespace redoubt::weights {
namespace {

struct TypeName {
  DType type;
  const char* name;
  std::uint64_t bytes;
};
constexpr std::array kTensorTypes = {
    TypeName{DType::f64, "F64", 8},   TypeName{DType::f32, "F32", 4},         TypeName{DType::f16, "F16", 2},
    TypeName{DType::bf16, "BF16", 2}, TypeName{DType::f8_e4m3, "F8_E4M3", 1}, TypeName{DType::f8_e5m2, "F8_E5M2", 1},
    TypeName{DType::i64, "I64", 8},   TypeName{DType::i32, "I32", 4},         TypeName{DType::i16, "I16", 2},
    TypeName{DType::i8, "I8", 1},     TypeName{DType::u64, "U64", 8},         TypeName{DType::u32, "U32", 4},
    TypeName{DType::u16, "U16", 2},   TypeName{DType::u8, "U8", 1},           TypeName{DType::boolean, "BOOL", 1},
};

tl::unexpected<Error> bad(std::string message, std::string_view where, std::string_view tensor = {}) {
  std::string place(where);
  if (!tensor.empty()) place += ": tensor '" + std::string(tensor) + "'";
  return fail(ErrorCode::invalid_argument, std::move(message), std::move(place));
}

// Printable ASCII that no one can mistake for a path out of a folder.
bool is_sound_tensor_name(std::string_view name) {
  return !name.empty() && name.size() <= kNameBytesMax && name.find("..") == std::string_view::npos &&
         std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c < 0x7f && c != '/' && c != '\\'; });
}

Result<DType> parse_type(const Json& value, std::string_view where, std::string_view tensor) {
  if (!value.is_string()) return bad("dtype is not a string", where, tensor);
  for (const auto& type : kTensorTypes)
    if (value.get_ref<const std::string&>() == type.name) return type.type;
  return fail(ErrorCode::unsupported, "unknown dtype", std::string(where) + ": tensor '" + std::string(tensor) + "'");
}

Result<std::vector<std::uint64_t>> parse_shape(const Json& value, std::string_view where, std::string_view tensor) {
  if (!value.is_array() || value.size() > kDimensionsMax)
    return bad("shape is not a list of at most 8 sizes", where, tensor);
  std::vector<std::uint64_t> shape;
  for (const auto& size : value) {
    if (!size.is_number_unsigned()) return bad("shape holds something that is no size", where, tensor);
    shape.push_back(size.get<std::uint64_t>());
  }
  return shape;
}

Result<TensorInfo> parse_tensor(const std::string& name, const Json& value, std::uint64_t data_bytes,
                                std::string_view where) {
  if (!is_sound_tensor_name(name))
    return bad("a tensor's name is empty, too long or holds characters outside printable ASCII", where);
  if (!value.is_object() || value.size() != 3 || !value.contains("dtype") || !value.contains("shape") ||
      !value.contains("data_offsets"))
    return bad("must have exactly dtype, shape and data_offsets", where, name);
  TensorInfo tensor{.name = name};
  tensor.type = TRY(parse_type(value["dtype"], where, name));
  tensor.shape = TRY(parse_shape(value["shape"], where, name));

  const Json& offsets = value["data_offsets"];
  if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() || !offsets[1].is_number_unsigned())
    return bad("data_offsets is not a pair of offsets", where, name);
  const auto begin = offsets[0].get<std::uint64_t>(), end = offsets[1].get<std::uint64_t>();
  if (begin > end || end > data_bytes) return bad("data_offsets lie outside the file", where, name);

  std::optional<std::uint64_t> bytes = bytes_of(tensor.type);
  for (auto size : tensor.shape) {
    bytes = times(*bytes, size);
    if (!bytes) return bad("shape overflows", where, name);
  }
  if (*bytes != end - begin) return bad("dtype and shape do not give the number of bytes in data_offsets", where, name);
  tensor.offset = begin;
  tensor.bytes = end - begin;
  return tensor;
}

Result<std::map<std::string, std::string>> parse_metadata(const Json& value, std::string_view where) {
  if (!value.is_object()) return bad("__metadata__ is not an object", where);
  std::map<std::string, std::string> metadata;
  for (const auto& [key, text] : value.items()) {
    if (!text.is_string()) return bad("__metadata__ holds a value that is no string", where);
    metadata[key] = text.get<std::string>();
  }
  return metadata;
}

// The tensors must cover the data exactly: each starts where the one before ends.
Status check_contiguous(std::vector<TensorInfo>& tensors, std::uint64_t data_bytes, std::string_view where) {
  std::sort(tensors.begin(), tensors.end(), [](const TensorInfo& a, const TensorInfo& b) {
    return std::tie(a.offset, a.bytes, a.name) < std::tie(b.offset, b.bytes, b.name);
  });
  std::uint64_t expected = 0;
  for (const auto& tensor : tensors) {
    if (tensor.offset != expected)
      return bad(tensor.offset > expected ? "a gap stands before its bytes" : "its bytes overlap another tensor's", where,
                 tensor.name);
    expected += tensor.bytes;
  }
  if (expected != data_bytes) return bad("bytes stand after the last tensor, or the file is cut off", where);
  return {};
}

}  // namespace

std::uint64_t bytes_of(DType type) { return kTensorTypes[static_cast<std::size_t>(type)].bytes; }
const char* to_string(DType type) { return kTensorTypes[static_cast<std::size_t>(type)].name; }

Result<Header> read_header(const RandomAccess& file, std::string_view where) {
  if (file.size() < 8) return bad("too short for a safetensors file", where);
  std::uint64_t length = 0;
  TRY(file.read_at(0, MutableByteView(reinterpret_cast<std::uint8_t*>(&length), 8)));
  if (length > kHeaderBytesMax)
    return fail(ErrorCode::limit_exceeded, "the header is longer than 100,000,000 bytes", std::string(where));
  if (length < 2 || length > file.size() - 8) return bad("the header's length does not fit the file", where);
  Bytes text(length);
  TRY(file.read_at(8, text));
  if (text[0] != '{') return bad("the header does not start with '{'", where);
  const Json json = TRY(parse_json(text_of(text), where, {.bytes_max = kHeaderBytesMax, .depth_max = 4}));
  if (!json.is_object()) return bad("the header is not a JSON object", where);
  if (json.size() > kTensorsMax) return fail(ErrorCode::limit_exceeded, "too many tensors", std::string(where));

  const std::uint64_t data_start = 8 + length, data_bytes = file.size() - data_start;
  Header header;
  for (const auto& [name, value] : json.items()) {
    if (name == "__metadata__")
      header.metadata = TRY(parse_metadata(value, where));
    else
      header.tensors.push_back(TRY(parse_tensor(name, value, data_bytes, where)));
  }
  TRY(check_contiguous(header.tensors, data_bytes, where));
  for (auto& tensor : header.tensors) tensor.offset += data_start;
  return header;
}

}  // namespace redoubt::weights
