// SPDX-License-Identifier: Apache-2.0
//
// What config.json of a Hugging Face folder says about a decoder-only model, as options of one computation. What the engine
// does not compute exactly is refused by name, never run approximately. docs/models.md lists the families.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "engine/model/rope.h"

namespace redoubt::engine::model {

// The four products of a layer.
enum Product : int { kAttentionIn, kAttentionOut, kFeedIn, kFeedOut, kProducts };

enum class NormKind { rms, layer };  // x / rms(x) * w, or (x - mean(x)) / deviation(x) * w + b

// Of the feed-forward part: a gate's activation times the up part, or the activation alone.
enum class Activation { gated_silu, gated_gelu, gelu };  // gelu is the approximation with tanh
inline bool is_gated(Activation activation) { return activation != Activation::gelu; }

// How a family names its tensors. A norm without a name is not there.
struct Names {
  std::string prefix = "model.";  // of all but the head; files of the model without its head leave it out
  std::string embedding = "embed_tokens", positions, layers = "layers", final_norm = "norm";
  std::string attention_norm = "input_layernorm", attention_post_norm;
  std::string feed_norm = "post_attention_layernorm", feed_post_norm;
  std::string query_norm, key_norm;
  std::string attention = "self_attn", feed = "mlp";
  // The linear modules of each product, from its first row on.
  std::array<std::vector<std::string>, kProducts> modules = {
      {{"q_proj", "k_proj", "v_proj"}, {"o_proj"}, {"gate_proj", "up_proj"}, {"down_proj"}}};
  bool transposed = false;  // matrices lie as [inputs, outputs] in the files
};

struct Config {
  std::string architecture = "LlamaForCausalLM", name = {};  // as the model calls itself; for messages
  std::int64_t vocabulary = 0;
  std::int64_t hidden = 0;  // width of the residual stream
  std::int64_t layers = 0;
  std::int64_t heads = 0;         // query heads
  std::int64_t key_heads = 0;     // key and value heads; heads is a multiple of it
  std::int64_t head_size = 0;     // even where heads are turned
  std::int64_t intermediate = 0;  // width of the feed-forward part
  std::int64_t context_length = 0;

  NormKind norm = NormKind::rms;
  double norm_epsilon = 1e-6;
  bool norm_from_one = false;  // the files hold w - 1
  Activation activation = Activation::gated_silu;
  std::array<bool, kProducts> biased = {};
  // Softmax of scale * query key^T. Empty: 1 / sqrt(head size) in every layer.
  std::vector<double> attention_scales = {};
  std::vector<std::int64_t> windows = {};  // keys that a query sees, by layer; 0 and empty: all before it
  double attention_softcap = 0;            // 0: none, else cap * tanh(score / cap)
  double logit_softcap = 0;
  double embedding_scale = 1;
  std::optional<Rope> rope = Rope{};     // none: heads are not turned
  std::optional<Rope> window_rope = {};  // that of layers with a window, where it differs
  bool tied_embeddings = false;
  Names names = {};
  std::vector<std::int32_t> end_tokens = {};  // eos_token_id of config.json
  std::optional<std::int64_t> padding_token = {};  // whose row of the embedding training leaves alone (padding_idx in Transformers)
  std::vector<std::string> dropouts = {};     // options of the file that drop values while the model is trained

  std::int64_t query_width() const { return heads * head_size; }
  std::int64_t key_width() const { return key_heads * head_size; }
  std::int64_t query_group() const { return heads / key_heads; }  // query heads that share a key head
  std::int64_t window(std::int64_t layer) const { return windows.empty() ? 0 : windows[static_cast<std::size_t>(layer)]; }
  double attention_scale(std::int64_t layer) const;
};

// Errors: invalid_argument for a missing or impossible value, unsupported for what is understood but not computed.
Result<Config> parse_config(const Json& config, std::string_view where);
Result<Config> read_config(const std::filesystem::path& model_folder);

// unsupported, by name, for a model whose own dropout training would have to compute.
Status check_trainable(const Config& config);

}  // namespace redoubt::engine::model
