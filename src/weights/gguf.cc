// SPDX-License-Identifier: Apache-2.0
#include "weights/gguf.h"

#include <algorithm>
#include <array>
#include <bit>
#include <optional>

#include "base/check.h"
#include "weights/checked_product.h"
#include "weights/gguf_reader.h"

namespace redoubt::weights {
namespace {

struct TypeRow {
  GgufType type;
  GgufBlock block;
};
constexpr std::array kGgufTypes = {
    TypeRow{GgufType::f32, {"F32", 1, 4}},       TypeRow{GgufType::f16, {"F16", 1, 2}},
    TypeRow{GgufType::bf16, {"BF16", 1, 2}},     TypeRow{GgufType::q4_0, {"Q4_0", 32, 18}},
    TypeRow{GgufType::q4_1, {"Q4_1", 32, 20}},   TypeRow{GgufType::q5_0, {"Q5_0", 32, 22}},
    TypeRow{GgufType::q5_1, {"Q5_1", 32, 24}},   TypeRow{GgufType::q8_0, {"Q8_0", 32, 34}},
    TypeRow{GgufType::q2_k, {"Q2_K", 256, 84}},  TypeRow{GgufType::q3_k, {"Q3_K", 256, 110}},
    TypeRow{GgufType::q4_k, {"Q4_K", 256, 144}}, TypeRow{GgufType::q5_k, {"Q5_K", 256, 176}},
    TypeRow{GgufType::q6_k, {"Q6_K", 256, 210}},
};

// The types of a metadata value, as the file numbers them.
enum ValueType : std::uint32_t { kU8, kI8, kU16, kI16, kU32, kI32, kF32, kBoolean, kString, kArray, kU64, kI64, kF64 };

std::uint64_t bytes_of_value(std::uint32_t type) {
  constexpr std::array<std::uint64_t, 13> sizes = {1, 1, 2, 2, 4, 4, 4, 1, 8, 0, 8, 8, 8};
  return type < sizes.size() ? sizes[type] : 0;
}

bool is_printable_name(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

std::uint64_t aligned(std::uint64_t offset, std::uint64_t alignment) {
  return (offset + alignment - 1) / alignment * alignment;
}

}  // namespace

GgufBlock block_of(GgufType type) {
  for (const auto& row : kGgufTypes)
    if (row.type == type) return row.block;
  CHECK(false);
}

class GgufHeaderReader {
 public:
  GgufHeaderReader(const RandomAccess& file, std::string where)
      : file_(file), where_(where), in_(file, std::move(where), kGgufHeaderBytesMax) {}

  Result<GgufHeader> read();

 private:
  tl::unexpected<Error> bad(std::string message, std::string_view object = {}) const {
    return fail(ErrorCode::invalid_argument, std::move(message), place(object));
  }
  tl::unexpected<Error> too_much(std::string message, std::string_view object = {}) const {
    return fail(ErrorCode::limit_exceeded, std::move(message), place(object));
  }
  std::string place(std::string_view object) const {
    return object.empty() ? where_ : where_ + ": '" + std::string(object) + "'";
  }

  Result<GgufValue> value(const std::string& key);
  Result<GgufValue> scalar(std::uint32_t type, const std::string& key);
  Result<GgufValue> list(const std::string& key);
  Status pair();
  Status tensor();
  Result<std::uint64_t> tensor_bytes(const GgufTensor& tensor) const;
  Result<std::uint64_t> alignment() const;
  Status place_tensors();

  const RandomAccess& file_;
  std::string where_;
  GgufReader in_;
  std::uint64_t elements_ = 0;
  GgufHeader header_;
};

Result<GgufValue> GgufHeaderReader::scalar(std::uint32_t type, const std::string& key) {
  switch (type) {
    case kU8: return GgufValue(std::uint64_t(TRY(in_.number<std::uint8_t>())));
    case kU16: return GgufValue(std::uint64_t(TRY(in_.number<std::uint16_t>())));
    case kU32: return GgufValue(std::uint64_t(TRY(in_.number<std::uint32_t>())));
    case kU64: return GgufValue(TRY(in_.number<std::uint64_t>()));
    case kI8: return GgufValue(std::int64_t(TRY(in_.number<std::int8_t>())));
    case kI16: return GgufValue(std::int64_t(TRY(in_.number<std::int16_t>())));
    case kI32: return GgufValue(std::int64_t(TRY(in_.number<std::int32_t>())));
    case kI64: return GgufValue(TRY(in_.number<std::int64_t>()));
    case kF32: return GgufValue(double(TRY(in_.number<float>())));
    case kF64: return GgufValue(TRY(in_.number<double>()));
    case kBoolean: {
      const auto byte = TRY(in_.number<std::uint8_t>());
      if (byte > 1) return bad("a boolean is neither 0 nor 1", key);
      return GgufValue(byte == 1);
    }
    case kString: return GgufValue(TRY(in_.text(kGgufStringBytesMax)));
    default: return bad("unknown type of value " + std::to_string(type), key);
  }
}

Result<GgufValue> GgufHeaderReader::list(const std::string& key) {
  const auto type = TRY(in_.number<std::uint32_t>());
  const auto count = TRY(in_.number<std::uint64_t>());
  if (type == kArray) return fail(ErrorCode::unsupported, "arrays inside arrays are not read", place(key));
  if (bytes_of_value(type) == 0) return bad("unknown type of value " + std::to_string(type), key);
  if (count > kGgufElementsMax - elements_) return too_much("the arrays hold too many elements", key);
  if (count > in_.left() / bytes_of_value(type)) return bad("an array reaches beyond the file", key);
  elements_ += count;

  std::vector<std::string> texts;
  std::vector<std::int64_t> integers;
  std::vector<double> numbers;
  for (std::uint64_t i = 0; i < count; ++i) {
    auto element = TRY(scalar(type, key));
    if (auto* text = std::get_if<std::string>(&element)) {
      texts.push_back(std::move(*text));
    } else if (const auto* number = std::get_if<double>(&element)) {
      numbers.push_back(*number);
    } else if (const auto* natural = std::get_if<std::uint64_t>(&element)) {
      if (*natural > INT64_MAX) return bad("an array holds a number beyond 63 bits", key);
      integers.push_back(static_cast<std::int64_t>(*natural));
    } else if (const auto* flag = std::get_if<bool>(&element)) {
      integers.push_back(*flag);
    } else {
      integers.push_back(std::get<std::int64_t>(element));
    }
  }
  if (type == kString) return GgufValue(std::move(texts));
  if (type == kF32 || type == kF64) return GgufValue(std::move(numbers));
  return GgufValue(std::move(integers));
}

Result<GgufValue> GgufHeaderReader::value(const std::string& key) {
  const auto type = TRY(in_.number<std::uint32_t>());
  return type == kArray ? list(key) : scalar(type, key);
}

Status GgufHeaderReader::pair() {
  const std::string key = TRY(in_.text(kGgufKeyBytesMax));
  if (!is_printable_name(key)) return bad("a key is empty or holds characters outside printable ASCII");
  if (header_.has(key)) return bad("the key stands twice", key);
  header_.metadata_.emplace(key, TRY(value(key)));
  return {};
}

Result<std::uint64_t> GgufHeaderReader::tensor_bytes(const GgufTensor& tensor) const {
  const auto block = block_of(tensor.type);
  if (tensor.columns() % block.elements != 0)
    return bad(std::string("a row is no whole number of ") + block.name + " blocks", tensor.name);
  std::optional<std::uint64_t> bytes = times(tensor.columns() / block.elements, block.bytes);
  for (std::size_t i = 0; bytes && i + 1 < tensor.shape.size(); ++i) bytes = times(*bytes, tensor.shape[i]);
  if (!bytes) return bad("the shape overflows", tensor.name);
  if (*bytes > file_.size()) return bad("the tensor is larger than the file", tensor.name);
  return *bytes;
}

Status GgufHeaderReader::tensor() {
  GgufTensor tensor{.name = TRY(in_.text(kGgufKeyBytesMax))};
  if (!is_printable_name(tensor.name)) return bad("a tensor's name is empty or holds characters outside printable ASCII");
  const auto dimensions = TRY(in_.number<std::uint32_t>());
  if (dimensions == 0 || dimensions > kGgufDimensionsMax)
    return bad("the tensor does not have 1 to 4 dimensions", tensor.name);
  for (std::uint32_t i = 0; i < dimensions; ++i) tensor.shape.push_back(TRY(in_.number<std::uint64_t>()));
  if (std::count(tensor.shape.begin(), tensor.shape.end(), 0U) > 0) return bad("a dimension is 0", tensor.name);
  std::reverse(tensor.shape.begin(), tensor.shape.end());

  const auto type = TRY(in_.number<std::uint32_t>());
  const auto known =
      std::any_of(kGgufTypes.begin(), kGgufTypes.end(), [&](const TypeRow& row) { return std::uint32_t(row.type) == type; });
  if (!known)
    return fail(ErrorCode::unsupported, "tensors of ggml type " + std::to_string(type) + " are not read",
                place(tensor.name));
  tensor.type = static_cast<GgufType>(type);
  tensor.bytes = TRY(tensor_bytes(tensor));
  tensor.offset = TRY(in_.number<std::uint64_t>());
  const std::string name = tensor.name;
  if (!header_.tensors_.emplace(name, std::move(tensor)).second) return bad("the tensor stands twice", name);
  return {};
}

Result<std::uint64_t> GgufHeaderReader::alignment() const {
  constexpr const char* key = "general.alignment";
  if (!header_.has(key)) return 32;
  const auto value = TRY(header_.unsigned_number(key));
  if (value < 8 || value > 65'536 || !std::has_single_bit(value))
    return bad("the alignment is no power of two from 8 to 65536", key);
  return value;
}

// Each tensor must start where the one before ends, rounded up; so none overlaps another and no bytes hide between them.
Status GgufHeaderReader::place_tensors() {
  const auto step = TRY(alignment());
  const auto start = aligned(in_.offset(), step);
  if (header_.tensors_.empty()) return bad("the file holds no tensor");
  std::vector<GgufTensor*> order;
  for (auto& [name, tensor] : header_.tensors_) order.push_back(&tensor);
  std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) { return a->offset < b->offset; });
  std::uint64_t expected = 0, end = 0;
  for (auto* tensor : order) {
    if (tensor->offset % step != 0) return bad("the tensor's bytes are not aligned", tensor->name);
    if (tensor->offset < expected) return bad("the tensor's bytes overlap another's", tensor->name);
    if (start > file_.size() || tensor->offset > file_.size() - start ||
        tensor->bytes > file_.size() - start - tensor->offset)
      return bad("the tensor's bytes lie outside the file", tensor->name);
    if (tensor->offset > expected) return bad("a gap stands before the tensor's bytes", tensor->name);
    end = tensor->offset + tensor->bytes;
    expected = aligned(end, step);
    tensor->offset += start;
  }
  if (file_.size() - start > expected) return bad("bytes stand after the last tensor");
  return {};
}

Result<GgufHeader> GgufHeaderReader::read() {
  header_.where_ = where_;
  if (file_.size() < 4 || TRY(in_.number<std::uint32_t>()) != 0x46554747) return bad("not a GGUF file");
  const auto version = TRY(in_.number<std::uint32_t>());
  if (version != 2 && version != 3) {
    const bool swapped = (version & 0xFFFF) == 0;
    return fail(ErrorCode::unsupported,
                swapped ? "big-endian GGUF is not read" : "GGUF version " + std::to_string(version) + " is not read", where_,
                "versions 2 and 3, little-endian, are");
  }
  const auto tensors = TRY(in_.number<std::uint64_t>()), pairs = TRY(in_.number<std::uint64_t>());
  if (tensors > kGgufTensorsMax) return too_much("too many tensors");
  if (pairs > kGgufPairsMax) return too_much("too many metadata pairs");
  for (std::uint64_t i = 0; i < pairs; ++i) TRY(pair());
  for (std::uint64_t i = 0; i < tensors; ++i) TRY(tensor());
  TRY(place_tensors());
  return std::move(header_);
}

Result<GgufHeader> GgufHeader::read(const RandomAccess& file, std::string where) {
  return GgufHeaderReader(file, std::move(where)).read();
}

std::vector<std::string> GgufHeader::keys() const {
  std::vector<std::string> keys;
  for (const auto& [key, value] : metadata_) keys.push_back(key);
  return keys;
}

template <class T>
Result<const T*> GgufHeader::get(std::string_view key, const char* kind) const {
  const std::string place = where_ + ": '" + std::string(key) + "'";
  auto found = metadata_.find(key);
  if (found == metadata_.end()) return fail(ErrorCode::not_found, "the metadata lack this key", place);
  if (const auto* value = std::get_if<T>(&found->second)) return value;
  return fail(ErrorCode::invalid_argument, std::string("the value is not ") + kind, place);
}

Result<std::uint64_t> GgufHeader::unsigned_number(std::string_view key) const {
  if (auto found = metadata_.find(key); found != metadata_.end())
    if (const auto* value = std::get_if<std::int64_t>(&found->second); value && *value >= 0)
      return static_cast<std::uint64_t>(*value);
  return *TRY(get<std::uint64_t>(key, "a whole number, 0 or more"));
}
Result<double> GgufHeader::number(std::string_view key) const { return *TRY(get<double>(key, "a floating-point number")); }
Result<bool> GgufHeader::boolean(std::string_view key) const { return *TRY(get<bool>(key, "a boolean")); }
Result<std::string> GgufHeader::text(std::string_view key) const { return *TRY(get<std::string>(key, "a string")); }
Result<const std::vector<std::string>*> GgufHeader::texts(std::string_view key) const {
  return get<std::vector<std::string>>(key, "a list of strings");
}
Result<const std::vector<std::int64_t>*> GgufHeader::integers(std::string_view key) const {
  return get<std::vector<std::int64_t>>(key, "a list of whole numbers");
}

}  // namespace redoubt::weights
