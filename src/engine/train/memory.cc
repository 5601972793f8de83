// SPDX-License-Identifier: Apache-2.0
#include "engine/train/memory.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "base/file.h"
#include "engine/model/causal_model.h"

namespace redoubt::engine::train {
namespace {

constexpr std::uint64_t kProgramBytes = 350ull << 20;  // libtorch, its threads' stacks and oneDNN's buffers, measured
constexpr std::int64_t kHeadSlice = 256;
constexpr std::int64_t kUnlimited = std::int64_t{1} << 60;

std::uint64_t unsigned_of(std::int64_t value) { return static_cast<std::uint64_t>(value); }

// Bytes of a matrix as QuantisedMatrix stores it, or of `element` bytes a value.
std::int64_t matrix_bytes(std::int64_t rows, std::int64_t inputs, model::WeightFormat format, std::int64_t element) {
  return format == model::WeightFormat::as_loaded ? rows * inputs * element : model::QuantisedMatrix::bytes_of(rows, inputs, format);
}

std::int64_t base_bytes(const model::Config& c, model::WeightFormat format, std::int64_t element) {
  std::int64_t layer = 4 * c.hidden * element;
  for (const auto& module : model::modules_of(c)) layer += matrix_bytes(module.rows, module.inputs, format, element) + module.rows * element;
  const std::int64_t embedding = (c.vocabulary + (c.rope ? 0 : c.context_length)) * c.hidden * element;
  std::int64_t head = c.tied_embeddings ? 0 : c.vocabulary * c.hidden * element;
  if (format != model::WeightFormat::as_loaded) head = matrix_bytes(c.vocabulary, c.hidden, model::WeightFormat::int8, element);
  return embedding + head + c.layers * layer;
}

// A matrix that is stored in another type than it is multiplied in is made whole for each product, in a buffer that the largest fits.
std::int64_t largest_product(const model::Config& c) {
  return std::max({model::outputs_of(c, model::kAttentionIn) * c.hidden, c.hidden * c.query_width(), model::outputs_of(c, model::kFeedIn) * c.hidden,
                   c.hidden * c.intermediate});
}

// Elements that one row of one layer keeps for the way back.
std::int64_t row_elements(const model::Config& c, const TrainOptions& options) {
  const bool norms_heads = !c.names.query_norm.empty() || !c.names.key_norm.empty();
  const std::int64_t attention = c.query_width() + (norms_heads ? 2 : 1) * (c.query_width() + 2 * c.key_width());
  const std::int64_t feed = (model::is_gated(c.activation) ? 3 : 2) * c.intermediate;
  const std::int64_t post_norms =
      (c.names.attention_post_norm.empty() ? 0 : c.hidden) + (c.names.feed_post_norm.empty() ? 0 : c.hidden);
  return 4 * c.hidden + attention + feed + post_norms + 7 * options.lora.rank;
}

std::optional<std::uint64_t> number_in_file(const char* path) {
  const auto text = read_text_file(path, 4096);
  if (!text) return std::nullopt;
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  return error == std::errc{} && value < unsigned_of(kUnlimited) ? std::optional(value) : std::nullopt;
}

// Where the second version's limit of the own group lies, when this process sees the whole tree.
std::string own_group_file() {
  const auto text = read_text_file("/proc/self/cgroup", 1 << 16);
  const auto place = text ? text->find("0::/") : std::string::npos;
  if (place == std::string::npos) return "";
  return "/sys/fs/cgroup/" + text->substr(place + 4, text->find('\n', place) - place - 4) + "/memory.max";
}

// MemAvailable, and what this process has of it already.
std::optional<std::uint64_t> available_memory() {
  const auto text = read_text_file("/proc/meminfo", 1 << 16);
  if (!text) return std::nullopt;
  const auto place = text->find("MemAvailable:");
  if (place == std::string::npos) return std::nullopt;
  const auto digit = text->find_first_of("0123456789", place);
  if (digit == std::string::npos) return std::nullopt;
  std::uint64_t kib = 0, pages = 0;
  (void)std::from_chars(text->data() + digit, text->data() + text->size(), kib);
  if (const auto own = read_text_file("/proc/self/statm", 4096))
    if (const auto second = own->find(' '); second != std::string::npos)
      (void)std::from_chars(own->data() + second + 1, own->data() + own->size(), pages);
  return kib * 1024 + pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

std::string gib(std::uint64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f GiB", static_cast<double>(bytes) / (1ull << 30));
  return text;
}

}  // namespace

MemoryPlan plan_memory(const model::Config& c, const TrainOptions& options, std::int64_t trained_values,
                       const PassSize& size) {
  const std::int64_t element = options.precision == model::Precision::bf16 ? 2 : 4;
  MemoryPlan plan;
  plan.weights = unsigned_of(base_bytes(c, options.weights, element));
  if (options.method == Method::lora && !options.lora.magnitude) plan.weights += model::CausalModel::training_pack_bytes(c, options.precision, options.weights);
  // Sums of accumulated batches hold one gradient for each halving.
  std::int64_t gradients = 1;
  for (std::int64_t batches = options.accumulation_steps; batches > 1; batches = (batches + 1) / 2) ++gradients;
  plan.values = unsigned_of(trained_values * (4 + 4 * gradients + 8 + element + 4));
  const std::int64_t layer = row_elements(c, options) * element;
  const bool keeps = !options.gradient_checkpointing && size.rows <= options.pass_rows_max;
  const std::int64_t per_row = keeps ? c.layers * layer : c.layers * c.hidden * element + layer;
  // On the way back a layer's gradients stand beside what it kept.
  plan.activations = unsigned_of(size.rows * (per_row + layer) + size.met * 2 * c.key_width() * 4);
  plan.head =
      unsigned_of(std::min(kHeadSlice, size.rows) * c.vocabulary * (element + 4) + 2 * size.rows * c.hidden * element);
  const auto stored = options.precision == model::Precision::bf16 ? at::kBFloat16 : at::kFloat, computed = model::product_type(stored);
  const auto computed_element = static_cast<std::int64_t>(at::elementSize(computed));
  if (options.weights != model::WeightFormat::as_loaded || computed != stored)
    plan.weights += unsigned_of(std::max(largest_product(c), c.vocabulary * c.hidden) * computed_element);
  // And what a product reads and answers.
  if (computed != stored) plan.activations += unsigned_of(size.rows * (c.hidden + model::outputs_of(c, model::kFeedIn)) * computed_element);
  plan.program = kProgramBytes + unsigned_of(size.tokens * 4);
  return plan;
}

std::optional<MemoryLimit> memory_limit() {
  std::optional<MemoryLimit> least;
  const auto take = [&](std::optional<std::uint64_t> bytes, const char* source) {
    if (bytes && (!least || *bytes < least->bytes)) least = MemoryLimit{*bytes, source};
  };
  take(number_in_file("/sys/fs/cgroup/memory.max"), "the cgroup's limit");
  take(number_in_file(own_group_file().c_str()), "the cgroup's limit");
  take(number_in_file("/sys/fs/cgroup/memory/memory.limit_in_bytes"), "the cgroup's limit");
  for (const auto resource : {RLIMIT_AS, RLIMIT_DATA}) {
    rlimit limit{};
    if (::getrlimit(resource, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) take(limit.rlim_cur, "the process's limit");
  }
  take(available_memory(), "the machine's free memory");
  return least;
}

Status check_memory(const MemoryPlan& plan, std::size_t processes, const std::optional<MemoryLimit>& limit) {
  if (!limit || plan.total() * processes <= limit->bytes) return {};
  std::string each = "weights " + gib(plan.weights) + ", trained values and optimiser " + gib(plan.values) +
                     ", activations " + gib(plan.activations) + ", logits " + gib(plan.head) + ", program " +
                     gib(plan.program);
  if (processes > 1) each += "; for each of " + std::to_string(processes) + " processes";
  return fail(ErrorCode::limit_exceeded,
              "this training needs about " + gib(plan.total() * processes) + " of memory and " + limit->source + " is " +
                  gib(limit->bytes),
              each,
              "not enough memory: set gradient_checkpointing: true, a smaller pass_tokens_max or max_length, weights: int8 or "
              "int4 (with method: lora), or give it more (memory_gib_max)");
}

}  // namespace redoubt::engine::train
