// SPDX-License-Identifier: Apache-2.0
//
// The forward pass of a decoder-only model, whichever options its configuration has: over examples laid end to end
// (training, evaluation), and token by token over a cache (generation).
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "engine/model/attention.h"
#include "engine/model/lora.h"
#include "engine/model/packed_batch.h"
#include "engine/model/rotary.h"
#include "engine/model/weights.h"
#include "engine/torch.h"

namespace redoubt::engine::model {

// What the backward pass of one layer needs.
struct LayerState {
  at::Tensor input;             // the residual stream that came in
  at::Tensor attention_normed;  // input of kAttentionIn
  AttentionState attention;
  at::Tensor attended;            // input of kAttentionOut
  at::Tensor attention_out;       // input of the norm after attention, where there is one
  at::Tensor middle;              // the residual stream after attention
  at::Tensor feed_normed;         // input of kFeedIn
  at::Tensor gate_up;             // output of kFeedIn
  at::Tensor activated;           // input of kFeedOut
  at::Tensor feed_out;            // input of the norm after the feed-forward part, where there is one
  at::Tensor reduced[kProducts];  // input times the adapter's a, by product; undefined without one
};

// The keys and values of one sequence. Holds `capacity` tokens; the memory is taken at once.
class KeyValueCache {
 public:
  KeyValueCache(const Config& config, Precision precision, std::int64_t capacity);
  std::int64_t length() const { return length_; }
  std::int64_t capacity() const { return capacity_; }
  // Takes over the first `length` tokens of another sequence of the same model and adapter; what it held is gone.
  void copy_prefix(const KeyValueCache& from, std::int64_t length);
  static std::uint64_t bytes(const Config& config, Precision precision, std::int64_t capacity);
  // Forgets all but the first `length` tokens, so that a shared prefix is computed once.
  void truncate(std::int64_t length);

 private:
  friend class CausalModel;
  std::int64_t capacity_, length_ = 0;
  std::int64_t turned_length_ = 0;    // of the prompt, or of a sequence computed anew, when the keys were turned
  std::vector<std::int32_t> tokens_;  // to turn them anew
  at::Tensor keys_, values_;          // [layers, key heads, capacity, head size]
};

struct DecodeStep {
  std::int32_t token = 0;          // the newest token of the sequence
  KeyValueCache* cache = nullptr;  // its sequence; each cache at most once a call
  const LoraWeights* lora = nullptr;  // its adapter; those of one call may differ
};

struct Prompt {
  std::span<const std::int32_t> tokens = {};
  KeyValueCache* cache = nullptr;  // each at most once a call
  const LoraWeights* lora = nullptr;
  std::int64_t length = 0;  // of the whole prompt, where more of it will follow: what dynamic and longrope go by
};

// Safe to use from several threads as long as each has its own caches.
class CausalModel {
 public:
  // Reads config.json and the weights of a Hugging Face folder, rounded as `quantise` does where another format is asked for.
  static Result<std::unique_ptr<CausalModel>> load(const std::filesystem::path& folder, Precision precision,
                                                   WeightFormat format = WeightFormat::as_loaded);
  // From parts, for tests and tools; the tensors' shapes must fit the configuration.
  CausalModel(Config config, Weights weights, Precision precision);
  // What an adapter of it records (base_digest.h); "" of a model made from parts.
  const std::string& digest() const { return digest_; }

  const Config& config() const { return config_; }
  const Weights& weights() const { return weights_; }
  Precision precision() const { return precision_; }
  // How a layer attends. Valid as long as the model.
  AttentionLayer attention_of(std::int64_t layer) const;

  // Whether examples of up to `length` tokens can share what they begin with (packed_batch.h): their heads are then turned alike.
  bool can_share_up_to(std::int64_t length) const {
    return rotary_.is_fixed_up_to(length) && window_rotary_.is_fixed_up_to(length);
  }

  // The residual stream that goes into the first layer, for int64 [rows] tokens and their positions.
  at::Tensor embed(const at::Tensor& tokens, const at::Tensor& positions) const;

  // The residual stream after the last layer, before the final norm, at `rows` (int64; the last layer computes no others).
  // `lora` may be null. With `keep`, the states that a backward pass needs. Token ids must lie in the vocabulary.
  at::Tensor forward(const PackedBatch& batch, const LoraWeights* lora, const at::Tensor& rows,
                     std::vector<LayerState>* keep) const;
  // One layer; `rows` may be undefined (all), `keep` null.
  at::Tensor forward_layer(std::int64_t layer, const at::Tensor& x, const PackedBatch& batch, const LoraWeights* lora,
                           const at::Tensor& rows, LayerState* keep) const;
  // What the final norm answers times the head, in x's type; without a cap.
  at::Tensor apply_head(const at::Tensor& x) const;
  // The final norm and the head: fp32 logits [rows, vocabulary]. For few rows; training and evaluation use head_loss.
  at::Tensor logits(const at::Tensor& residual) const;

  // Appends `tokens` to the cache and answers the fp32 logits [vocabulary] after the last of them. invalid_argument for no
  // tokens or one outside the vocabulary, limit_exceeded when the cache or the model's context is too short.
  Result<at::Tensor> prefill(std::span<const std::int32_t> tokens, KeyValueCache& cache,
                             const LoraWeights* lora = nullptr) const;
  // The same of several sequences: [prompts, vocabulary].
  Result<at::Tensor> prefill(std::span<const Prompt> prompts) const;
  // Appends one token to each sequence and answers fp32 logits [steps, vocabulary]; errors as prefill. A sequence's logits are the
  // same to the bit whatever the other sequences are.
  Result<at::Tensor> decode(std::span<const DecodeStep> steps) const;

  // Lays the weights out for generation, which is then several times as fast; what they were made from is given up, so there is nothing
  // left to train. Matrices in 4 bits stay as they are.
  void pack();

  // Lays the layers' weights out for training of an adapter beside them, both ways, where that is faster than the framework's products: in
  // bf16 as loaded, on a machine with instructions for it and without tiles. What they were made from is given up, so that DoRA, which
  // reads it, is not for such a model. Answers whether it did.
  bool pack_for_training();
  // Bytes that it adds to what the weights take.
  static std::uint64_t training_pack_bytes(const Config& config, Precision precision, WeightFormat format);

  // Rounds the weights of all products and the head; an adapter beside them can still be trained. int4 is unsupported where a
  // matrix' inputs are no multiple of 32.
  Status quantise(WeightFormat format);

 private:
  enum class Wanted { logits, cache };
  Status check(std::span<const std::int32_t> tokens, const KeyValueCache& cache) const;
  // Appends tokens of a sequence that will have `length` of them; answers the logits [vocabulary] after the last, where wanted.
  at::Tensor append(std::span<const std::int32_t> tokens, std::int64_t length, KeyValueCache& cache,
                    const LoraWeights* lora, Wanted wanted) const;
  at::Tensor append_piece(std::span<const std::int32_t> tokens, std::int64_t length, KeyValueCache& cache,
                          const LoraWeights* lora) const;
  // Computes the cached tokens anew where their keys do not serve in a sequence of `length`, a prompt or one that grew by a token.
  enum class Growth { prompt, token };
  void refresh(KeyValueCache& cache, std::int64_t length, const LoraWeights* lora, Growth growth) const;
  at::Tensor feed(std::int64_t layer, at::Tensor x, const at::Tensor& attended, const LoraWeights* lora) const;
  // What a sequence is continued with, and how long it will be with all of its prompt.
  struct NewTokens {
    std::span<const std::int32_t> tokens;
    KeyValueCache* cache;
    const LoraWeights* lora;
    std::int64_t length;
    bool is_prompt;
  };
  // Appends to each sequence without a call of the framework in the layers; fp32 logits [pieces, vocabulary] after each piece.
  at::Tensor compute_rows(std::span<const NewTokens> pieces, Wanted wanted) const;
  bool reads_by_rows(const LoraWeights* lora) const;

  Config config_;
  Weights weights_;
  Precision precision_;
  std::string digest_ = {};
  RotaryTable rotary_, window_rotary_;
  double embedding_scale_;  // in the model's precision
};

// A product of a layer: x W^T + bias plus the adapter's part. `reduced` may be null; it receives drop(x) A^T.
at::Tensor project(const at::Tensor& x, const LayerWeights& weights, Product product, const LoraPair* lora,
                   at::Tensor* reduced);
const LoraPair* pair_of(const LoraWeights* lora, std::int64_t layer, Product product);

}  // namespace redoubt::engine::model
