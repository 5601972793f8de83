// SPDX-License-Identifier: Apache-2.0
//
// The engine's model for tests in other languages: model_tool MODEL_FOLDER bf16|fp32 [ADAPTER_FOLDER]. One JSON object a
// line on standard input, one JSON value a line out: {"ids", "logits": FILE} writes the fp32 logits of every position, row
// by row, as evaluation computes them; {"ids", "greedy": N} answers N tokens over a key-value cache, as generation does.
#include <algorithm>
#include <iostream>

#include "base/file.h"
#include "base/json.h"
#include "engine/model/causal_model.h"
#include "engine/model/lora.h"

using namespace redoubt;
using namespace redoubt::engine;

namespace {

struct Loaded {
  std::unique_ptr<model::CausalModel> base;
  std::optional<model::LoraWeights> lora;
  const model::LoraWeights* adapter() const { return lora ? &*lora : nullptr; }
};

Result<Loaded> load(const std::vector<std::string>& arguments) {
  Loaded loaded;
  const auto precision = arguments.at(1) == "bf16" ? model::Precision::bf16 : model::Precision::fp32;
  loaded.base = TRY(model::CausalModel::load(arguments.at(0), precision));
  if (arguments.size() > 2) {
    const auto adapter = TRY(model::Adapter::load(arguments.at(2), loaded.base->config()));
    adapter.write_working(loaded.lora.emplace(), precision);
  }
  return loaded;
}

Result<Json> write_logits(const Loaded& loaded, const std::vector<std::int32_t>& ids, const std::string& file) {
  const std::span<const std::int32_t> all(ids);
  const auto residual = loaded.base->forward(model::pack({&all, 1}), loaded.adapter(), {}, nullptr);
  const auto logits = loaded.base->logits(residual).contiguous();
  TRY(write_file(file, std::string_view(static_cast<const char*>(logits.const_data_ptr()), logits.nbytes())));
  return Json(logits.sizes().vec());
}

Result<Json> continue_greedily(const Loaded& loaded, const std::vector<std::int32_t>& ids, std::int64_t count) {
  model::KeyValueCache cache(loaded.base->config(), loaded.base->precision(), std::ssize(ids) + count);
  auto logits = TRY(loaded.base->prefill(ids, cache, loaded.adapter()));
  Json answer = Json::array();
  for (std::int64_t i = 0; i < count; ++i) {
    const auto token = static_cast<std::int32_t>(logits.argmax().item<std::int64_t>());
    answer.push_back(token);
    const model::DecodeStep step{token, &cache};
    if (i + 1 < count) logits = TRY(loaded.base->decode({&step, 1}, loaded.adapter())).select(0, 0);
  }
  return answer;
}

Result<Json> answer(const Loaded& loaded, const Json& task) {
  const auto ids = task.at("ids").get<std::vector<std::int32_t>>();
  if (task.contains("logits")) return write_logits(loaded, ids, task["logits"]);
  return continue_greedily(loaded, ids, task.at("greedy"));
}

}  // namespace

int main(int argc, char** argv) {
  c10::InferenceMode guard;
  const auto loaded = load({argv + 1, argv + argc});
  if (!loaded) return std::cerr << loaded.error().message << "\n", 1;
  for (std::string line; std::getline(std::cin, line);) {
    const auto result = answer(*loaded, Json::parse(line));
    if (!result) return std::cerr << result.error().message << "\n", 1;
    std::cout << result->dump() << std::endl;
  }
  return 0;
}
