// SPDX-License-Identifier: Apache-2.0
#include "engine/generate/cached_sequences.h"

#include <sys/resource.h>

#include <algorithm>
#include <charconv>
#include <limits>

#include "base/file.h"

namespace redoubt::engine::generate {
namespace {

constexpr std::size_t kReusedTokensMin = 16;  // fewer are computed sooner than found

// The number of kB behind a name in a file of /proc.
std::uint64_t proc_bytes(const char* file, std::string_view name) {
  const auto text = read_text_file(file);
  const auto at = text ? text->find(std::string(name) + ":") : std::string::npos;
  if (at == std::string::npos) return std::numeric_limits<std::uint64_t>::max();
  const auto digits = text->find_first_of("0123456789", at);
  std::uint64_t kilobytes = 0;
  if (digits != std::string::npos) std::from_chars(text->data() + digits, text->data() + text->size(), kilobytes);
  return kilobytes << 10;
}

std::uint64_t cgroup_bytes() {
  const auto read = [](const char* file) {
    std::uint64_t value = 0;
    const auto text = read_text_file(file);
    if (!text || std::from_chars(text->data(), text->data() + text->size(), value).ec != std::errc{}) return std::numeric_limits<std::uint64_t>::max();
    return value;
  };
  const auto most = read("/sys/fs/cgroup/memory.max"), used = read("/sys/fs/cgroup/memory.current");
  return most == std::numeric_limits<std::uint64_t>::max() || used > most ? std::numeric_limits<std::uint64_t>::max() : most - used;
}

class CachedSequences final : public SequenceModel {
 public:
  CachedSequences(const LoadedModel& model, const SequenceOptions& options)
      : model_(model), context_(options.context), slots_(options.slots), prefixes_(options.prefix_bytes_max) {}

  std::int64_t context_length() const override { return context_; }
  std::size_t slots() const override { return slots_.size(); }
  std::int64_t vocabulary() const override { return model_.base->config().vocabulary; }
  std::size_t adapters() const override { return model_.adapters.size(); }

  Result<std::size_t> open(std::size_t number, std::int64_t capacity, std::span<const std::int32_t> prompt, const PrefixOwner& owner) override {
    auto& slot = slots_[number] = {};
    slot.owner = owner;
    slot.prompt_tokens = prompt.size();
    slot.cache = make_cache(capacity);
    if (!slot.cache) return fail(ErrorCode::limit_exceeded, "not enough memory for a sequence of " + std::to_string(capacity) + " tokens");
    // The last token is always computed: its logits are wanted.
    const auto found = prefixes_.find(owner, prompt.first(prompt.size() - 1), kReusedTokensMin);
    if (found.value == nullptr) return std::size_t{0};
    slot.cache->copy_prefix(*found.value, static_cast<std::int64_t>(found.tokens));
    slot.tokens.assign(prompt.begin(), prompt.begin() + static_cast<std::ptrdiff_t>(found.tokens));
    return found.tokens;
  }

  void close(std::size_t number) override {
    auto& slot = slots_[number];
    if (slot.cache) keep_prefix(slot);
    slot = {};
  }

  Result<std::span<const float>> extend(std::span<const PromptPiece> pieces) override {
    std::vector<model::Prompt> prompts;
    for (const auto& piece : pieces) {
      const auto& slot = slots_[piece.slot];
      prompts.push_back({piece.tokens, slot.cache.get(), lora(slot), static_cast<std::int64_t>(slot.prompt_tokens)});
    }
    const auto logits = keep([&] { return model_.base->prefill(prompts); });
    if (!logits) return logits;
    for (const auto& piece : pieces) {
      auto& slot = slots_[piece.slot];
      slot.tokens.insert(slot.tokens.end(), piece.tokens.begin(), piece.tokens.end());
      // The prompt is there as soon as others may ask for it, not only when the answer is done.
      if (slot.tokens.size() >= slot.prompt_tokens) keep_prefix(slot);
    }
    return logits;
  }

  Result<std::span<const float>> step(std::span<const NextToken> tokens) override {
    std::vector<model::DecodeStep> steps;
    for (const auto& token : tokens) {
      auto& slot = slots_[token.slot];
      steps.push_back({token.token, slot.cache.get(), lora(slot)});
    }
    const auto logits = keep([&] { return model_.base->decode(steps); });
    if (logits)
      for (const auto& token : tokens) slots_[token.slot].tokens.push_back(token.token);
    return logits;
  }

 private:
  struct Slot {
    std::unique_ptr<model::KeyValueCache> cache = {};
    PrefixOwner owner = {};
    std::vector<std::int32_t> tokens = {};  // that the cache holds
    std::size_t prompt_tokens = 0;
  };

  const model::LoraWeights* lora(const Slot& slot) const { return slot.owner.adapter == 0 ? nullptr : &model_.adapters[slot.owner.adapter - 1].weights; }

  std::unique_ptr<model::KeyValueCache> make_cache(std::int64_t capacity) const {
    try {
      return std::make_unique<model::KeyValueCache>(model_.base->config(), model_.base->precision(), capacity);
    } catch (const std::exception&) {
      return nullptr;
    }
  }

  void keep_prefix(const Slot& slot) {
    const auto length = static_cast<std::int64_t>(slot.tokens.size());
    const auto bytes = static_cast<std::size_t>(model::KeyValueCache::bytes(model_.base->config(), model_.base->precision(), length));
    if (slot.tokens.size() < kReusedTokensMin || !prefixes_.wants(slot.owner, slot.tokens, bytes)) return;
    auto kept = make_cache(length);
    if (!kept) return;
    kept->copy_prefix(*slot.cache, length);
    prefixes_.put(slot.owner, slot.tokens, std::move(kept), bytes);
  }

  template <class Compute>
  Result<std::span<const float>> keep(Compute compute) {
    c10::InferenceMode guard;
    try {
      logits_ = TRY(compute()).contiguous();
    } catch (const std::bad_alloc&) {
      return fail(ErrorCode::limit_exceeded, "not enough memory to compute the sequences", "", "give more memory, or fewer slots or a shorter context");
    } catch (const std::exception& error) {
      return fail(ErrorCode::internal, "the model could not be computed");
    }
    return std::span<const float>(logits_.const_data_ptr<float>(), static_cast<std::size_t>(logits_.numel()));
  }

  const LoadedModel& model_;
  const std::int64_t context_;
  std::vector<Slot> slots_;
  PrefixCache<model::KeyValueCache> prefixes_;
  at::Tensor logits_;
};

}  // namespace

std::uint64_t available_bytes() {
  auto least = std::min(proc_bytes("/proc/meminfo", "MemAvailable"), cgroup_bytes());
  rlimit data{};
  if (::getrlimit(RLIMIT_DATA, &data) == 0 && data.rlim_cur != RLIM_INFINITY)
    least = std::min<std::uint64_t>(least, data.rlim_cur - std::min<std::uint64_t>(data.rlim_cur, proc_bytes("/proc/self/status", "VmData")));
  return least;
}

std::uint64_t sequence_bytes(const LoadedModel& model, const SequenceOptions& options) {
  const auto context = options.context > 0 ? options.context : model.base->config().context_length;
  return (options.slots + (options.leaves_room_to_read ? 1 : 0)) * model::KeyValueCache::bytes(model.base->config(), model.base->precision(), context) + options.prefix_bytes_max;
}

Result<std::unique_ptr<SequenceModel>> make_sequence_model(const LoadedModel& model, const SequenceOptions& wanted) {
  auto options = wanted;
  const auto context = model.base->config().context_length;
  if (options.context > context)
    return fail(ErrorCode::invalid_argument, "the model's context is " + std::to_string(context) + " tokens, fewer than asked for", "context");
  if (options.context == 0) options.context = context;
  const auto needed = sequence_bytes(model, options), available = available_bytes();
  if (needed > available)
    return fail(ErrorCode::limit_exceeded,
                std::to_string(options.slots) + " slots of " + std::to_string(options.context) + " tokens" + (options.leaves_room_to_read ? ", a text as long" : "") + " and the kept prefixes need " + std::to_string(needed) +
                    " bytes, " + std::to_string(available) + " are available",
                "slots", "lower slots, context or prefix_cache_mib");
  return std::make_unique<CachedSequences>(model, options);
}

}  // namespace redoubt::engine::generate
