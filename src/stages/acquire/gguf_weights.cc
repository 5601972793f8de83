// SPDX-License-Identifier: Apache-2.0
#include "stages/acquire/gguf_weights.h"

#include <algorithm>

#include "weights/dequantize.h"
#include "weights/safetensors.h"

namespace redoubt::stages::acquire {
namespace {

using weights::GgufHeader;
using weights::GgufTensor;

constexpr std::uint64_t kChunkNumbers = 1 << 20;

// One tensor of the model: its name here and there, and in groups of how many rows its rotary pairs lie (0: none).
struct Planned {
  std::string from, to;
  std::vector<std::uint64_t> shape;
  std::uint64_t rotary_rows = 0;
};

std::vector<Planned> plan(const GgufShape& s) {
  const auto queries = s.heads * s.head_size, keys = s.key_heads * s.head_size;
  std::vector<Planned> all = {{"token_embd.weight", "model.embed_tokens.weight", {s.vocabulary, s.hidden}},
                              {"output_norm.weight", "model.norm.weight", {s.hidden}}};
  if (!s.tied_embeddings) all.push_back({"output.weight", "lm_head.weight", {s.vocabulary, s.hidden}});
  const Planned layer[] = {{"attn_norm", "input_layernorm", {s.hidden}},
                           {"ffn_norm", "post_attention_layernorm", {s.hidden}},
                           {"attn_q", "self_attn.q_proj", {queries, s.hidden}, s.head_size},
                           {"attn_k", "self_attn.k_proj", {keys, s.hidden}, s.head_size},
                           {"attn_v", "self_attn.v_proj", {keys, s.hidden}},
                           {"attn_output", "self_attn.o_proj", {s.hidden, queries}},
                           {"ffn_gate", "mlp.gate_proj", {s.intermediate, s.hidden}},
                           {"ffn_up", "mlp.up_proj", {s.intermediate, s.hidden}},
                           {"ffn_down", "mlp.down_proj", {s.hidden, s.intermediate}}};
  for (std::uint64_t i = 0; i < s.layers; ++i)
    for (const auto& [from, to, shape, rotary_rows] : layer)
      all.push_back({"blk." + std::to_string(i) + "." + from + ".weight",
                     "model.layers." + std::to_string(i) + "." + to + ".weight", shape, rotary_rows});
  return all;
}

struct Matched {
  const GgufTensor* tensor;
  std::uint64_t rotary_rows;
};

Result<std::map<std::string, Matched>> match(const GgufHeader& header, const GgufShape& shape) {
  // Before anything is made in that number: a file with few tensors may claim millions of layers.
  if (shape.layers > header.tensors().size())
    return fail(ErrorCode::invalid_argument, "the file has fewer tensors than layers", header.where());
  std::map<std::string, Matched> matched;
  for (const auto& planned : plan(shape)) {
    const auto place = header.where() + ": tensor '" + planned.from + "'";
    auto found = header.tensors().find(planned.from);
    if (found == header.tensors().end()) return fail(ErrorCode::invalid_argument, "the tensor is missing", place);
    if (found->second.shape != planned.shape)
      return fail(ErrorCode::invalid_argument, "the shape is not what the metadata call for", place);
    matched.emplace(planned.to, Matched{&found->second, planned.rotary_rows});
  }
  if (matched.size() + header.tensors().count(kRopeFactors) == header.tensors().size()) return matched;
  for (const auto& [name, tensor] : header.tensors())
    if (name != kRopeFactors &&
        std::none_of(matched.begin(), matched.end(), [&wanted = tensor](const auto& m) { return m.second.tensor == &wanted; }))
      return fail(ErrorCode::unsupported, "the tensor has no place in a Llama model",
                  header.where() + ": tensor '" + name + "'");
  return matched;
}

// GGUF keeps the two halves of a rotary pair in neighbouring rows, Hugging Face half a head apart: row (half, pair) here is
// row (pair, half) there.
std::uint64_t source_row(std::uint64_t row, std::uint64_t rows_in_head) {
  const auto half = row / (rows_in_head / 2), pair = row % (rows_in_head / 2);
  return pair * 2 + half;
}

Status write_tensor(const Matched& matched, const RandomAccess& file, weights::SafetensorsWriter& writer, const std::function<bool()>& stopped) {
  const auto& tensor = *matched.tensor;
  const auto columns = tensor.columns(), rows = tensor.rows();
  const auto step = matched.rotary_rows ? matched.rotary_rows : std::clamp<std::uint64_t>(kChunkNumbers / columns, 1, rows);
  Bytes stored, out;
  std::vector<float> numbers;
  for (std::uint64_t row = 0; row < rows; row += step) {
    if (stopped && stopped()) return fail(ErrorCode::unavailable, "the import was stopped", {}, "run it again; nothing is left of this one");
    const auto count = std::min(step, rows - row);
    stored.resize(count * tensor.row_bytes());
    numbers.resize(count * columns);
    out.resize(count * columns * 2);
    TRY(file.read_at(tensor.offset + row * tensor.row_bytes(), stored));
    weights::dequantize(tensor.type, stored, numbers);
    for (std::uint64_t i = 0; i < count; ++i) {
      const float* from = numbers.data() + (matched.rotary_rows ? source_row(i, count) : i) * columns;
      for (std::uint64_t j = 0; j < columns; ++j) {
        const auto bits = weights::to_bfloat16(from[j]);
        out[(i * columns + j) * 2] = static_cast<std::uint8_t>(bits);
        out[(i * columns + j) * 2 + 1] = static_cast<std::uint8_t>(bits >> 8);
      }
    }
    TRY(writer.write(out));
  }
  return {};
}

}  // namespace

Status write_gguf_weights(const GgufHeader& header, const GgufShape& shape, const RandomAccess& file, Sink& out,
                          Progress& progress, const std::function<bool()>& stopped) {
  const auto matched = TRY(match(header, shape));
  std::vector<weights::TensorInfo> tensors;
  std::uint64_t total = 0, done = 0;
  for (const auto& [name, source] : matched) {
    tensors.push_back({.name = name, .type = weights::DType::bf16, .shape = source.tensor->shape});
    total += source.tensor->bytes;
  }
  auto writer = TRY(weights::SafetensorsWriter::begin(out, std::move(tensors), {{"format", "pt"}}));
  progress.begin("unpacking weights", total, "bytes");
  for (const auto& tensor : writer.tensors()) {
    const auto& source = matched.at(tensor.name);
    TRY(write_tensor(source, file, writer, stopped));
    progress.update(done += source.tensor->bytes, source.tensor->name);
  }
  writer.finish();
  progress.end();
  return {};
}

}  // namespace redoubt::stages::acquire
