// SPDX-License-Identifier: Apache-2.0
//
// Decoding: its kernels against double arithmetic, weights in few bits, sequences of several adapters together, prefixes taken over.
#include <gtest/gtest.h>
#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmath>
#include <random>

#include "base/file.h"
#include "engine/model/causal_model.h"
#include "engine/model/packed_matrix.h"
#include "engine/model/quantised.h"
#include "engine/model/row_products.h"

namespace redoubt::engine::model {
namespace {

std::vector<float> random_floats(std::mt19937& random, std::int64_t n) {
  std::normal_distribution<float> normal;
  std::vector<float> out(static_cast<std::size_t>(n));
  for (auto& value : out) value = normal(random);
  return out;
}

double exact_dot(const float* a, const float* b, std::int64_t n) {
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

TEST(RowProducts, are_those_of_double_arithmetic_at_every_width) {
  std::mt19937 random(1);
  for (const std::int64_t inputs : {1, 15, 16, 17, 33, 64, 100, 576})
    for (const std::int64_t rows : {1, 3, 4, 5, 9}) {
      const auto x = random_floats(random, inputs), matrix = random_floats(random, rows * inputs), factors = random_floats(random, rows);
      std::vector<row::bf16> half(matrix.begin(), matrix.end());
      std::vector<float> out(static_cast<std::size_t>(rows)), out_half(out), sums(x.size());
      row::multiply_rows(x.data(), matrix.data(), inputs, rows, out.data());
      row::multiply_rows(x.data(), half.data(), inputs, rows, out_half.data());
      for (std::int64_t r = 0; r < rows; ++r) {
        const std::vector<float> wide(half.begin() + r * inputs, half.begin() + (r + 1) * inputs);
        EXPECT_NEAR(out[static_cast<std::size_t>(r)], exact_dot(x.data(), matrix.data() + r * inputs, inputs), 1e-4) << inputs;
        EXPECT_NEAR(out_half[static_cast<std::size_t>(r)], exact_dot(x.data(), wide.data(), inputs), 1e-4) << inputs;
      }
      row::sum_rows(factors.data(), matrix.data(), rows, inputs, sums.data());
      for (std::int64_t i = 0; i < inputs; ++i) {
        double expected = 0;
        for (std::int64_t r = 0; r < rows; ++r) expected += static_cast<double>(factors[static_cast<std::size_t>(r)]) * matrix[static_cast<std::size_t>(r * inputs + i)];
        EXPECT_NEAR(sums[static_cast<std::size_t>(i)], expected, 1e-5);
      }
    }
}

TEST(RowProducts, a_row_is_summed_alike_wherever_it_stands) {
  std::mt19937 random(2);
  const auto x = random_floats(random, 100), matrix = random_floats(random, 900);
  std::vector<float> together(9), alone(9);
  row::multiply_rows(x.data(), matrix.data(), 100, 9, together.data());
  for (std::int64_t r = 0; r < 9; ++r) row::multiply_rows(x.data(), matrix.data() + r * 100, 100, 1, alone.data() + r);
  EXPECT_EQ(together, alone);
}

// With every set of instructions that this machine has.
TEST(PanelProducts, are_those_of_double_arithmetic_with_whatever_instructions) {
  std::mt19937 random(6);
  constexpr std::int64_t kInputs = 192, kRows = 11;
  const auto x = random_floats(random, kRows * kInputs), matrix = random_floats(random, row::kPanel * kInputs);
  const auto wide_scales = random_floats(random, kInputs / row::kInt8Group * row::kPanel);
  const std::vector<row::bf16> scales(wide_scales.begin(), wide_scales.end());
  std::vector<float> panel(matrix.size());
  std::vector<row::bf16> half(matrix.size()), half_x(x.begin(), x.end());
  std::vector<std::int8_t> bytes(matrix.size());
  const auto byte_of = [&](std::int64_t o, std::int64_t k) { return static_cast<std::int8_t>(std::lround(std::clamp(matrix[static_cast<std::size_t>(o * kInputs + k)] * 40, -127.0f, 127.0f))); };
  for (std::int64_t o = 0; o < row::kPanel; ++o)
    for (std::int64_t k = 0; k < kInputs; ++k) {
      const auto pair = static_cast<std::size_t>((k / 2 * row::kPanel + o) * 2 + k % 2);
      panel[static_cast<std::size_t>(k * row::kPanel + o)] = matrix[static_cast<std::size_t>(o * kInputs + k)];
      half[pair] = matrix[static_cast<std::size_t>(o * kInputs + k)];
      bytes[pair] = byte_of(o, k);
    }
  std::vector<std::int16_t> whole(x.size());
  std::vector<float> whole_scales(x.size() / row::kInt8Group), out(kRows * row::kPanel), out_half(out), out_bytes(out);
  for (std::int64_t r = 0; r < kRows; ++r) row::round_to_int16(x.data() + r * kInputs, kInputs, whole.data() + r * kInputs, whole_scales.data() + r * kInputs / row::kInt8Group);
  const row::Int16Rows rounded{whole.data(), whole_scales.data(), kRows, kInputs, kInputs / row::kInt8Group};
  const auto compare = [&](const std::vector<float>& sums, double near, auto value) {
    for (std::int64_t r = 0; r < kRows; ++r)
      for (std::int64_t o = 0; o < row::kPanel; ++o) {
        double expected = 0;
        for (std::int64_t k = 0; k < kInputs; ++k) expected += static_cast<double>(x[static_cast<std::size_t>(r * kInputs + k)]) * value(o, k);
        EXPECT_NEAR(sums[static_cast<std::size_t>(r * row::kPanel + o)], expected, near);
      }
  };
  const auto exact = [&](std::int64_t o, std::int64_t k) { return static_cast<double>(matrix[static_cast<std::size_t>(o * kInputs + k)]); };
  const auto halved = [&](std::int64_t o, std::int64_t k) { return static_cast<double>(static_cast<float>(row::bf16(matrix[static_cast<std::size_t>(o * kInputs + k)]))); };
  const auto in_bytes = [&](std::int64_t o, std::int64_t k) { return static_cast<double>(byte_of(o, k)) * static_cast<double>(scales[static_cast<std::size_t>(k / row::kInt8Group * row::kPanel + o)]); };
  for (const auto vectors : {row::Vectors::plain, row::Vectors::avx2, row::Vectors::avx512, row::Vectors::avx512_bf16}) {
    if (vectors > row::best_vectors()) break;
    SCOPED_TRACE(static_cast<int>(vectors));
    const row::Rows<float> rows{x.data(), kRows, kInputs};
    row::multiply_panel(vectors, rows, panel.data(), kInputs, {out.data(), row::kPanel});
    row::multiply_panel(vectors, rows, half.data(), kInputs, {out_half.data(), row::kPanel});
    row::multiply_panel(vectors, rounded, bytes.data(), scales.data(), kInputs, {out_bytes.data(), row::kPanel});
    compare(out, 1e-4, exact);
    compare(out_half, 1e-4, halved);
    compare(out_bytes, 0.15, in_bytes);  // sums of about 1,000
  }
  if (row::best_vectors() < row::Vectors::avx512_bf16) return;
  row::multiply_panel({half_x.data(), kRows, kInputs}, half.data(), kInputs, {out_half.data(), row::kPanel});
  compare(out_half, 0.3, halved);  // sums of about 14, of products that are off by up to 1 / 256
}

TEST(PanelProducts, sixteen_bits_of_a_group_lose_little_and_nothing_beyond_it) {
  std::mt19937 random(7);
  auto x = random_floats(random, 100);
  x[3] = 3e4f;  // as some activations are; the others of its group are rounded with it, no more
  std::vector<std::int16_t> values(128, 1);
  std::vector<float> scales(2);
  row::round_to_int16(x.data(), 100, values.data(), scales.data());
  for (std::size_t i = 0; i < 100; ++i) EXPECT_NEAR(x[i], values[i] * scales[i / 64], i < 64 ? 0.5f : 1e-4f) << i;
  for (std::size_t i = 100; i < 128; ++i) EXPECT_EQ(values[i], 0);
  const std::vector<float> nothing(64);
  row::round_to_int16(nothing.data(), 64, values.data(), scales.data());
  EXPECT_EQ(values[0], 0);
  EXPECT_EQ(scales[0], 0);
}

TEST(PackedMatrix, multiplies_as_its_dense_form_does_at_every_width) {
  c10::InferenceMode guard;
  at::manual_seed(8);
  for (const std::int64_t inputs : {1, 33, 64, 96, 130})
    for (const std::int64_t outputs : {1, 31, 64, 70}) {
      const auto matrix = at::randn({outputs, inputs}), half = matrix.to(at::kBFloat16);
      const auto rounded = QuantisedMatrix::of(matrix, WeightFormat::int8);
      PackedMemory memory(PackedMatrix::bytes(matrix) + PackedMatrix::bytes(half) + PackedMatrix::bytes(rounded), Pages::small);
      const PackedMatrix exact(matrix, memory), halved(half, memory), bytes(rounded, memory);
      for (const std::int64_t rows : {1, 5, 8, 9, 300}) {
        const auto x = at::randn({rows, inputs}), half_x = x.to(at::kBFloat16);
        const auto off = [](const at::Tensor& a, const at::Tensor& b) { return (a.to(at::kFloat) - b.to(at::kFloat)).abs().max().item<float>(); };
        EXPECT_LT(off(exact.multiply(x), at::linear(x, matrix)), 1e-4) << inputs << " " << outputs << " " << rows;
        EXPECT_LT(off(bytes.multiply(x), at::linear(x, rounded.dense(at::kFloat))), 3e-3) << inputs << " " << outputs << " " << rows;
        EXPECT_LT(off(halved.multiply(half_x), at::linear(half_x.to(at::kFloat), half.to(at::kFloat))), 0.26) << inputs << " " << outputs << " " << rows;
      }
    }
}

TEST(Quantised, multiplies_as_its_dense_form_does) {
  c10::InferenceMode guard;
  at::manual_seed(3);
  const auto matrix = at::randn({70, 96}), x = at::randn({11, 96});
  for (const auto format : {WeightFormat::int8, WeightFormat::int4}) {
    const auto rounded = QuantisedMatrix::of(matrix, format);
    const auto dense = rounded.dense(at::kFloat);
    for (const std::int64_t rows : {1, 3, 8, 11}) {
      const auto some = x.narrow(0, 0, rows);
      EXPECT_LT((rounded.multiply(some) - at::linear(some, dense)).abs().max().item<float>(), 1e-4) << rows;
    }
    const auto error = (dense - matrix).pow(2).mean().sqrt().item<double>();
    EXPECT_LT(error, format == WeightFormat::int8 ? 0.01 : 0.11);  // of values that deviate by 1
    EXPECT_GT(error, format == WeightFormat::int8 ? 0.002 : 0.05);
  }
}

TEST(Quantised, takes_as_many_bytes_as_it_says_before) {
  c10::InferenceMode guard;
  for (const auto format : {WeightFormat::int8, WeightFormat::int4})
    for (const std::int64_t inputs : {32, 64, 96, 160}) {
      std::size_t bytes = 0;
      for (const auto& tensor : QuantisedMatrix::of(at::ones({5, inputs}), format).tensors()) bytes += tensor.nbytes();
      EXPECT_EQ(QuantisedMatrix::bytes_of(5, inputs, format), static_cast<std::int64_t>(bytes)) << inputs;
    }
}

TEST(Quantised, keeps_what_it_can_write_exactly) {
  c10::InferenceMode guard;
  auto matrix = at::arange(-8, 8).to(at::kFloat).repeat({2, 4}) * 0.25;  // 2 rows of 64: -2 to 1.75
  EXPECT_TRUE(QuantisedMatrix::of(matrix, WeightFormat::int4).dense(at::kFloat).equal(matrix));
  matrix = at::cat({at::arange(-127, -63), at::arange(64, 128), at::arange(-1, 128, 8)}).to(at::kFloat).unsqueeze(0) * 0.5;  // 64, 64 and 17
  EXPECT_TRUE(QuantisedMatrix::of(matrix, WeightFormat::int8).dense(at::kFloat).equal(matrix));
  const auto zeros = at::zeros({4, 32});
  for (const auto format : {WeightFormat::int8, WeightFormat::int4}) EXPECT_TRUE(QuantisedMatrix::of(zeros, format).dense(at::kFloat).equal(zeros));
  EXPECT_EQ(parse_weight_format("fp4").error().code, ErrorCode::invalid_argument);
}

Config small_config(std::int64_t context = 128) {
  const Json config = {{"architectures", {"LlamaForCausalLM"}}, {"model_type", "llama"}, {"vocab_size", 131}, {"hidden_size", 64}, {"num_hidden_layers", 3},
                       {"num_attention_heads", 4}, {"num_key_value_heads", 2}, {"intermediate_size", 96}, {"max_position_embeddings", context}, {"rms_norm_eps", 1e-5},
                       {"rope_theta", 10000.0}, {"tie_word_embeddings", true}};
  return *parse_config(config, "config.json");
}

std::unique_ptr<CausalModel> small_model(Precision precision, const Config& config) {
  c10::InferenceMode guard;
  at::manual_seed(4);
  const auto type = scalar_type(precision);
  Weights weights;
  weights.embedding = weights.head = at::randn({config.vocabulary, config.hidden}).to(type);
  weights.final_norm.weight = at::ones({config.hidden});
  for (std::int64_t i = 0; i < config.layers; ++i) {
    auto& layer = weights.layers.emplace_back();
    layer.attention_norm.weight = at::rand({config.hidden}) + 0.5;
    layer.feed_norm.weight = at::rand({config.hidden}) + 0.5;
    layer.products[kAttentionIn] = (at::randn({config.query_width() + 2 * config.key_width(), config.hidden}) * 0.15).to(type);
    layer.products[kAttentionOut] = (at::randn({config.hidden, config.query_width()}) * 0.15).to(type);
    layer.products[kFeedIn] = (at::randn({2 * config.intermediate, config.hidden}) * 0.15).to(type);
    layer.products[kFeedOut] = (at::randn({config.hidden, config.intermediate}) * 0.15).to(type);
  }
  return std::make_unique<CausalModel>(config, std::move(weights), precision);
}

std::unique_ptr<CausalModel> small_model(Precision precision, std::int64_t context = 128) { return small_model(precision, small_config(context)); }

// With `base` one that has magnitudes.
LoraWeights adapter_of(const Config& config, Precision precision, std::uint64_t seed, const Weights* base = nullptr) {
  auto adapter = *Adapter::create(config, {.rank = 3, .targets = {"q_proj", "v_proj", "down_proj"}, .magnitude = base != nullptr}, seed, base);
  c10::InferenceMode guard;
  at::manual_seed(seed);
  adapter.values().copy_(at::randn_like(adapter.values()) * 0.3);
  LoraWeights weights;
  adapter.write_working(weights, precision);
  return weights;
}

// Sequences of several lengths and adapters, each with its prompt read.
struct Sequences {
  explicit Sequences(const CausalModel& model, std::size_t count, const std::vector<const LoraWeights*>& loras) {
    std::mt19937 random(5);
    for (std::size_t i = 0; i < count; ++i) {
      std::vector<std::int32_t> prompt(3 + random() % 40);
      for (auto& token : prompt) token = static_cast<std::int32_t>(random() % 131);
      caches.push_back(std::make_unique<KeyValueCache>(model.config(), model.precision(), 128));
      EXPECT_TRUE(model.prefill(prompt, *caches[i], loras[i % loras.size()]));
      steps.push_back({static_cast<std::int32_t>(random() % 131), caches[i].get(), loras[i % loras.size()]});
      prompts.push_back(prompt);
    }
  }
  std::vector<std::unique_ptr<KeyValueCache>> caches;
  std::vector<DecodeStep> steps;
  std::vector<std::vector<std::int32_t>> prompts;
};

// Those of the real models in every form in which they are kept.
std::vector<std::unique_ptr<CausalModel>> models_of_all_forms() {
  std::vector<std::unique_ptr<CausalModel>> models;
  for (const auto precision : {Precision::fp32, Precision::bf16})
    for (const auto format : {WeightFormat::as_loaded, WeightFormat::int8, WeightFormat::int4})
      for (const bool packed : {false, true}) {
        auto& model = models.emplace_back(small_model(precision));
        EXPECT_TRUE(model->quantise(format));
        if (packed) model->pack();
      }
  return models;
}

TEST(Decode, is_the_same_to_the_bit_alone_and_among_others) {
  for (const auto& model : models_of_all_forms()) {
    const auto one = adapter_of(model->config(), model->precision(), 1), two = adapter_of(model->config(), model->precision(), 2);
    Sequences together(*model, 9, {nullptr, &one, &two}), alone(*model, 9, {nullptr, &one, &two});
    for (int round = 0; round < 3; ++round) {
      const auto logits = *model->decode(together.steps);
      for (std::size_t i = 0; i < 9; ++i) EXPECT_TRUE(model->decode({&alone.steps[i], 1})->select(0, 0).equal(logits.select(0, static_cast<std::int64_t>(i))));
    }
  }
}

TEST(Decode, continues_a_sequence_as_the_whole_forward_pass_sees_it) {
  const auto model = small_model(Precision::fp32);
  const auto adapter = adapter_of(model->config(), Precision::fp32, 1), scaling = adapter_of(model->config(), Precision::fp32, 1, &model->weights());
  for (const auto* lora : std::initializer_list<const LoraWeights*>{nullptr, &adapter, &scaling}) {
    Sequences some(*model, 3, {lora});
    const auto logits = *model->decode(some.steps);
    for (std::size_t i = 0; i < 3; ++i) {
      auto whole = some.prompts[i];
      whole.push_back(some.steps[i].token);
      const std::span<const std::int32_t> all(whole);
      const auto expected = model->logits(model->forward(pack({&all, 1}), lora, {}, nullptr));
      EXPECT_LT((logits.select(0, static_cast<std::int64_t>(i)) - expected.select(0, std::ssize(whole) - 1)).abs().max().item<float>(), 2e-4);
    }
  }
}

TEST(Decode, with_packed_weights_is_as_near_as_the_products_are) {
  for (const auto precision : {Precision::fp32, Precision::bf16})
    for (const auto format : {WeightFormat::as_loaded, WeightFormat::int8, WeightFormat::int4}) {
      const auto plain = small_model(precision), packed = small_model(precision);
      ASSERT_TRUE(plain->quantise(format));
      ASSERT_TRUE(packed->quantise(format));
      packed->pack();
      const auto one = adapter_of(plain->config(), precision, 1);
      Sequences a(*plain, 9, {nullptr, &one}), b(*packed, 9, {nullptr, &one});
      const auto expected = *plain->decode(a.steps), logits = *packed->decode(b.steps);
      const auto near = (precision == Precision::bf16 ? 0.05f : format == WeightFormat::as_loaded ? 1e-5f : 1e-3f) * expected.std().item<float>();
      EXPECT_LT((logits - expected).pow(2).mean().sqrt().item<float>(), near) << static_cast<int>(precision) << static_cast<int>(format);
    }
}

TEST(PackedMatrix, adds_a_product_of_low_rank_before_it_rounds) {
  c10::InferenceMode guard;
  at::manual_seed(5);
  for (const auto& [rows, outputs, inputs, rank] : {std::array<std::int64_t, 4>{300, 96, 64, 16}, {7, 70, 34, 6}, {1, 32, 2, 2}}) {
    const auto x = at::randn({rows, inputs}).to(at::kBFloat16), w = at::randn({outputs, inputs}).to(at::kBFloat16), low = at::randn({rows, rank}).to(at::kBFloat16),
               factor = at::randn({outputs, rank}).to(at::kBFloat16);
    PackedMemory memory(PackedMatrix::bytes(w), Pages::small);
    const PackedMatrix packed(w, memory);
    if (!packed.can_add(low)) GTEST_SKIP() << "no instructions for bf16";
    const auto expected = at::mm(x.to(at::kDouble), w.to(at::kDouble).t()) + at::mm(low.to(at::kDouble), factor.to(at::kDouble).t());
    const auto sum = packed.multiply(x, {low, factor});
    EXPECT_LT((sum.to(at::kDouble) - expected).abs().max().item<double>(), expected.abs().max().item<double>() / 256);
    EXPECT_TRUE(packed.multiply(x, {low, factor.t().contiguous().t()}).equal(sum));
  }
}

// A sum that is rounded twice would be off by the size of the large part's last bit, which is all of the small part.
TEST(QuantisedMatrix, adds_a_product_of_low_rank_before_it_rounds_forward_and_back) {
  c10::InferenceMode guard;
  at::manual_seed(5);
  const auto doubled = [](const at::Tensor& t) { return t.to(at::kDouble); };
  const auto w = at::randn({96, 64}) * 8, small = at::randn({64, 6}).to(at::kBFloat16) / 64;
  const auto near = [&](const at::Tensor& sum, const at::Tensor& expected) {
    EXPECT_LT(((doubled(sum) - expected).abs() / (expected.abs() + 1)).max().item<double>(), 1.0 / 250);
  };
  for (const auto format : {WeightFormat::int8, WeightFormat::int4})
    for (std::int64_t rows : {3, 40}) {
      const auto matrix = QuantisedMatrix::of(w, format);
      const auto x = at::randn({rows, 64}).to(at::kBFloat16), y = at::randn({rows, 96}).to(at::kBFloat16), low = at::randn({rows, 6}).to(at::kBFloat16);
      const auto factor = at::cat({small, small.narrow(0, 0, 32)});
      const auto multiplied = product_type(x);
      const auto exact = doubled(matrix.dense(rows < 16 ? at::kFloat : multiplied));  // a few rows take the values as they are stored
      near(matrix.multiply(x, {low, factor}), at::mm(doubled(x), exact.t()) + at::mm(doubled(low), doubled(factor).t()));
      near(matrix.multiply_back(y, {low, small}), at::mm(doubled(y), doubled(matrix.dense(multiplied))) + at::mm(doubled(low), doubled(small).t()));
    }
}

TEST(PackedMatrix, of_a_transposed_matrix_is_that_of_its_copy) {
  c10::InferenceMode guard;
  at::manual_seed(5);
  for (const auto& [outputs, inputs] : {std::pair<std::int64_t, std::int64_t>{96, 64}, {70, 34}, {64, 33}}) {
    const auto x = at::randn({5, inputs}).to(at::kBFloat16), w = at::randn({inputs, outputs}).to(at::kBFloat16);
    PackedMemory memory(2 * PackedMatrix::bytes(w.t()) + 4096, Pages::small);
    const PackedMatrix turned(w.t(), memory), copied(w.t().contiguous(), memory);
    EXPECT_TRUE(turned.multiply(x).equal(copied.multiply(x)));
    EXPECT_LT((turned.multiply(x).to(at::kFloat) - at::mm(x.to(at::kFloat), w.to(at::kFloat))).abs().max().item<float>(), 0.2);
  }
}

TEST(Decode, with_rounded_weights_is_near) {
  for (const auto& [format, near] : {std::pair{WeightFormat::int8, 0.05f}, {WeightFormat::int4, 0.8f}}) {
    const auto exact = small_model(Precision::bf16), rounded = small_model(Precision::bf16);
    ASSERT_TRUE(rounded->quantise(format));
    rounded->pack();
    Sequences a(*exact, 9, {nullptr}), b(*rounded, 9, {nullptr});
    const auto expected = *exact->decode(a.steps), logits = *rounded->decode(b.steps);
    EXPECT_LT((logits - expected).pow(2).mean().sqrt().item<float>(), near * expected.std().item<float>());
  }
}

TEST(Prefill, of_several_prompts_and_in_pieces_is_that_of_each_whole_to_the_bit) {
  std::vector<std::vector<std::int32_t>> prompts(3);
  for (std::size_t i = 0; i < prompts.size(); ++i)
    for (std::size_t k = 0; k < 20 + 45 * i; ++k) prompts[i].push_back(static_cast<std::int32_t>((k * k + 7 * i) % 131));
  for (const auto precision : {Precision::fp32, Precision::bf16})
    for (const auto format : {WeightFormat::as_loaded, WeightFormat::int8}) {
      auto model = small_model(precision);
      ASSERT_TRUE(model->quantise(format));
      model->pack();
      std::vector<std::unique_ptr<KeyValueCache>> caches;
      std::vector<Prompt> together;
      for (const auto& prompt : prompts) {
        caches.push_back(std::make_unique<KeyValueCache>(model->config(), precision, 128));
        together.push_back({prompt, caches.back().get(), nullptr});
      }
      const auto logits = *model->prefill(together);
      for (std::size_t i = 0; i < prompts.size(); ++i) {
        KeyValueCache whole(model->config(), precision, 128), cut(model->config(), precision, 128);
        const auto expected = logits.select(0, static_cast<std::int64_t>(i));
        EXPECT_TRUE(model->prefill(prompts[i], whole)->equal(expected));
        ASSERT_TRUE(model->prefill(std::span(prompts[i]).first(13 + i), cut));
        ASSERT_TRUE(model->prefill(std::span(prompts[i]).subspan(13 + i, 1), cut));
        EXPECT_TRUE(model->prefill(std::span(prompts[i]).subspan(14 + i), cut)->equal(expected));
        const DecodeStep after{5, &whole, nullptr}, after_cut{5, &cut, nullptr};
        EXPECT_TRUE(model->decode({&after, 1})->equal(*model->decode({&after_cut, 1})));
      }
    }
}

// The length of a prompt decides how its heads are turned: what was computed before it was known to be so long does not serve.
TEST(Prefill, of_a_model_that_turns_by_length_is_the_same_in_pieces_and_behind_a_prefix) {
  std::vector<std::int32_t> prompt(100);
  for (std::size_t k = 0; k < prompt.size(); ++k) prompt[k] = static_cast<std::int32_t>(k * k % 131);
  auto config = small_config(32);
  config.rope->kind = RopeKind::dynamic, config.rope->factor = 4;
  config.context_length = 128;
  for (const bool packed : {false, true}) {
    auto model = small_model(Precision::fp32, config);
    if (packed) model->pack();
    KeyValueCache whole(config, Precision::fp32, 128), cut(config, Precision::fp32, 128), shorter(config, Precision::fp32, 128), behind(config, Precision::fp32, 128);
    const auto expected = *model->prefill(prompt, whole);
    const auto near = [&](const at::Tensor& logits) { EXPECT_LT((logits - expected).abs().max().item<float>(), 1e-4); };
    for (std::size_t begin = 0; begin < 100; begin += 25) {
      const Prompt piece{std::span(prompt).subspan(begin, 25), &cut, nullptr, 100};
      const auto logits = *model->prefill({&piece, 1});
      if (begin == 75) near(logits.select(0, 0));
    }
    for (const std::size_t length : {20, 60}) {
      ASSERT_TRUE(model->prefill(std::span(prompt).first(length), shorter));
      behind.copy_prefix(shorter, static_cast<std::int64_t>(length));
      near(*model->prefill(std::span(prompt).subspan(length), behind));
      shorter.truncate(0);
    }
    // Tokens that follow keep the keys, as in Transformers.
    const DecodeStep after{5, &whole, nullptr}, after_cut{5, &cut, nullptr}, after_prefix{5, &behind, nullptr};
    const auto next = *model->decode({&after, 1});
    for (const auto* other : {&after_cut, &after_prefix}) EXPECT_LT((*model->decode({other, 1}) - next).abs().max().item<float>(), 1e-4);
  }
}

TEST(Prefill, of_packed_weights_is_as_near_as_the_products_are) {
  std::vector<std::int32_t> prompt(100);
  for (std::size_t k = 0; k < prompt.size(); ++k) prompt[k] = static_cast<std::int32_t>(k * k % 131);
  for (const auto precision : {Precision::fp32, Precision::bf16}) {
    const auto plain = small_model(precision), packed = small_model(precision);
    packed->pack();
    KeyValueCache a(plain->config(), precision, 128), b(plain->config(), precision, 128);
    const auto expected = *plain->prefill(prompt, a), logits = *packed->prefill(prompt, b);
    const auto near = (precision == Precision::bf16 ? 0.06f : 1e-5f) * expected.std().item<float>();
    EXPECT_LT((logits - expected).pow(2).mean().sqrt().item<float>(), near);
  }
}

// A prompt behind 8,192 tokens, first where no thread gets room for the keys of its tile, then where it does. Ends the process.
[[noreturn]] void continue_without_memory() {
  c10::InferenceMode guard;
  mallopt(M_MMAP_THRESHOLD, 64 << 10);  // what is large comes from the kernel, and goes back to it
  mallopt(M_ARENA_MAX, 1);  // each further one holds addresses in reserve
  const auto model = small_model(Precision::fp32, 8200);
  KeyValueCache cache(model->config(), Precision::fp32, 8200);
  if (!model->prefill(std::vector<std::int32_t>(8192, 7), cache)) _exit(2);
  const auto pages = std::strtoull(read_text_file("/proc/self/statm").value().c_str(), nullptr, 10);
  const rlimit narrow{pages * static_cast<rlim_t>(sysconf(_SC_PAGESIZE)) + (400 << 10), RLIM_INFINITY}, wide{RLIM_INFINITY, RLIM_INFINITY};
  setrlimit(RLIMIT_AS, &narrow);
  bool told = false;
  try {
    (void)model->prefill(std::vector<std::int32_t>(3, 9), cache);
  } catch (const std::bad_alloc&) {
    told = true;
  }
  setrlimit(RLIMIT_AS, &wide);
  const auto logits = model->prefill(std::vector<std::int32_t>(3, 9), cache);
  _exit(told && logits && at::isfinite(*logits).all().item<bool>() ? 0 : 1);
}

TEST(Prefill, without_memory_for_a_tile_is_told_to_the_caller_and_leaves_the_sequence_as_it_was) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(continue_without_memory(), ::testing::ExitedWithCode(0), "");
}

TEST(KeyValueCache, a_prefix_that_was_taken_over_serves_as_one_that_was_computed) {
  const auto model = small_model(Precision::fp32);
  const std::vector<std::int32_t> prompt = {5, 9, 77, 3, 21, 8, 100, 4};
  KeyValueCache whole(model->config(), Precision::fp32, 20), copy(model->config(), Precision::fp32, 30);
  const auto expected = *model->prefill(prompt, whole);
  copy.copy_prefix(whole, 5);
  EXPECT_EQ(copy.length(), 5);
  EXPECT_LT((*model->prefill(std::span(prompt).subspan(5), copy) - expected).abs().max().item<float>(), 1e-4);
  EXPECT_EQ(KeyValueCache::bytes(model->config(), Precision::bf16, 10), 2u * 3 * 2 * 16 * 10 * 2);
}

}  // namespace
}  // namespace redoubt::engine::model
