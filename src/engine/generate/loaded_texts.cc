// SPDX-License-Identifier: Apache-2.0
#include "engine/generate/loaded_texts.h"

#include <algorithm>

#include "engine/model/head_loss.h"
#include "engine/model/layer_math.h"

namespace redoubt::engine::generate {
namespace {

class LoadedTexts final : public TextModel {
 public:
  LoadedTexts(const LoadedModel& model, std::int64_t context) : model_(model), context_(context) {}

  std::int64_t context_length() const override { return context_; }
  std::int64_t vocabulary() const override { return model_.base->config().vocabulary; }
  std::int64_t width() const override { return model_.base->config().hidden; }
  std::size_t adapters() const override { return model_.adapters.size(); }

  Status read(std::span<Text* const> texts, std::size_t tokens_max) override {
    c10::InferenceMode guard;
    try {
      if (texts.size() == 1 && texts.front()->tokens.size() > tokens_max) return read_part(*texts.front(), tokens_max);
      return read_together(texts);
    } catch (const std::bad_alloc&) {
      return fail(ErrorCode::limit_exceeded, "not enough memory to read the texts", "", "give more memory, or shorter texts");
    } catch (const std::exception&) {
      return fail(ErrorCode::internal, "the model could not be computed");
    }
  }

 private:
  const model::LoraWeights* lora(const Text& text) const { return text.adapter == 0 ? nullptr : &model_.adapters[text.adapter - 1].weights; }

  Status read_together(std::span<Text* const> texts) const {
    std::vector<model::Tokens> tokens;
    for (const auto* text : texts) tokens.emplace_back(text->tokens);
    const auto batch = model::pack(tokens);
    const auto residual = model_.base->forward(batch, lora(*texts.front()), {}, nullptr);
    for (std::size_t i = 0; i < texts.size(); ++i) add(*texts[i], residual.narrow(0, batch.segments[i].begin, batch.segments[i].length));
    return {};
  }

  // A text between two calls: what came out of its first layers.
  struct Past {
    model::PackedBatch batch;
    at::Tensor residual;
    std::int64_t layers = 0;
  };

  Status read_part(Text& text, std::size_t tokens_max) const {
    const auto layers = model_.base->config().layers, length = std::ssize(text.tokens);
    if (!text.past) {
      const model::Tokens tokens(text.tokens);
      auto batch = model::pack({&tokens, 1});
      auto residual = model_.base->embed(batch.tokens, batch.positions);
      text.past = std::make_shared<Past>(Past{std::move(batch), std::move(residual)});
    }
    auto& past = *static_cast<Past*>(text.past.get());
    const auto end = std::min(layers, past.layers + std::max<std::int64_t>(1, static_cast<std::int64_t>(tokens_max) * layers / length));
    for (; past.layers < end; ++past.layers) past.residual = model_.base->forward_layer(past.layers, past.residual, past.batch, lora(text), {}, nullptr);
    if (past.layers < layers) {
      text.read = static_cast<std::size_t>(length * past.layers / layers);
      return {};
    }
    add(text, past.residual.narrow(0, 0, length));
    text.past.reset();
    return {};
  }

  // `residual`: after the last layer, a row for each token of the text.
  void add(Text& text, const at::Tensor& residual) const {
    const auto& base = *model_.base;
    const auto states = model::normalise(residual.contiguous(), base.weights().final_norm, base.config().norm_epsilon);
    const auto sums = states.to(at::kDouble).sum(0).contiguous();
    text.sum.assign(sums.const_data_ptr<double>(), sums.const_data_ptr<double>() + width());
    text.read = text.tokens.size();
    // A row expects the token after its own; what comes after the text nobody knows.
    const auto rows = std::ssize(text.tokens) - 1;
    if (!text.wants_losses || rows < 1) return;
    const auto targets = at::empty({rows}, at::kLong);
    std::copy_n(text.tokens.begin() + 1, rows, targets.mutable_data_ptr<std::int64_t>());
    const auto losses = model::head_loss(base, residual.narrow(0, 0, rows).contiguous(), targets, 0).losses;
    text.losses.assign(losses.const_data_ptr<float>(), losses.const_data_ptr<float>() + rows);
  }

  const LoadedModel& model_;
  const std::int64_t context_;
};

}  // namespace

std::unique_ptr<TextModel> make_text_model(const LoadedModel& model, std::int64_t context) { return std::make_unique<LoadedTexts>(model, context); }

}  // namespace redoubt::engine::generate
