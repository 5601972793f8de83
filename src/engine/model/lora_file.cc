// SPDX-License-Identifier: Apache-2.0
//
// Adapters on disk, as PEFT reads and writes them.
#include <charconv>
#include <cmath>
#include <set>

#include "base/file.h"
#include "engine/model/lora.h"
#include "engine/model/tensor_file.h"

namespace redoubt::engine::model {
namespace {

constexpr const char* kWeightsFile = "adapter_model.safetensors";
constexpr const char* kConfigFile = "adapter_config.json";

std::string tensor_name(std::int64_t layer, const Module& module, const char* matrix) {
  return "base_model.model.model.layers." + std::to_string(layer) + "." + module.parent + "." + module.name + ".lora_" +
         matrix + ".weight";
}

// Members of adapter_config.json that would change the computation must be absent or empty.
Status refuse_variants(const Json& config, const std::string& where) {
  for (const auto& [key, value] : config.items()) {
    static const std::set<std::string> variants = {"use_dora",          "modules_to_save",   "rank_pattern",
                                                   "alpha_pattern",     "fan_in_fan_out",    "megatron_config",
                                                   "lora_bias",         "layer_replication", "trainable_token_indices",
                                                   "target_parameters", "use_qalora",        "alora_invocation_tokens",
                                                   "use_bdlora"};
    if (variants.contains(key) && !value.is_null() && value != false && !(value.is_structured() && value.empty()))
      return fail(ErrorCode::unsupported, "the adapter uses " + key, where);
  }
  if (config.value("peft_type", Json()) != "LORA") return fail(ErrorCode::unsupported, "peft_type is not LORA", where);
  if (const Json bias = config.value("bias", Json("none")); bias != "none")
    return fail(ErrorCode::unsupported, "the adapter trains biases", where);
  return {};
}

Json config_of(std::int64_t rank, double alpha, double dropout, const std::set<std::string>& targets,
               const std::string& base_model) {
  Json config = {{"peft_type", "LORA"},
                 {"task_type", "CAUSAL_LM"},
                 {"base_model_name_or_path", base_model},
                 {"r", rank},
                 {"lora_alpha", alpha},
                 {"lora_dropout", dropout},
                 {"bias", "none"},
                 {"target_modules", targets},
                 {"inference_mode", true},
                 {"fan_in_fan_out", false},
                 {"use_rslora", false},
                 {"use_dora", false},
                 {"init_lora_weights", true},
                 {"modules_to_save", nullptr},
                 {"rank_pattern", Json::object()},
                 {"alpha_pattern", Json::object()},
                 {"layers_to_transform", nullptr},
                 {"revision", nullptr}};
  if (alpha == std::floor(alpha)) config["lora_alpha"] = static_cast<std::int64_t>(alpha);
  return config;
}

}  // namespace

Status Adapter::save(const std::filesystem::path& folder, const std::string& base_model) const {
  c10::InferenceMode guard;
  TRY(make_folder(folder));
  std::map<std::string, at::Tensor> tensors;
  std::set<std::string> targets;
  for (const auto& part : parts_) {
    tensors[tensor_name(part.layer, part.module, "A")] = a_of(part);
    tensors[tensor_name(part.layer, part.module, "B")] = b_of(part);
    targets.insert(part.module.name);
  }
  TRY(write_tensors(folder / kWeightsFile, tensors, {{"format", "pt"}}));
  return write_file(folder / kConfigFile, config_of(rank_, alpha_, dropout_, targets, base_model).dump(2) + "\n",
                    FileMode::readable_by_all);
}

Result<Adapter> Adapter::load(const std::filesystem::path& folder, const Config& config) {
  c10::InferenceMode guard;
  const std::string where = (folder / kConfigFile).string();
  const Json json = TRY(parse_json(TRY(read_text_file(folder / kConfigFile, 1 << 20)), where));
  if (!json.is_object()) return fail(ErrorCode::invalid_argument, "not a JSON object", where);
  TRY(refuse_variants(json, where));
  const auto rank = TRY(json_integer(json, "r", where));
  const auto alpha = TRY(json_number(json, "lora_alpha", where));
  if (rank < 1 || rank > 4096) return fail(ErrorCode::invalid_argument, "r is out of range", where);
  const bool stabilised = json.value("use_rslora", Json(false)) == true;
  const double scale = alpha / (stabilised ? std::sqrt(static_cast<double>(rank)) : static_cast<double>(rank));

  auto file =
      TRY(weights::SafetensorsFile::open(TRY(FileReader::open(folder / kWeightsFile)), (folder / kWeightsFile).string()));
  std::vector<std::pair<std::int64_t, std::string>> adapted;
  for (std::int64_t layer = 0; layer < config.layers; ++layer)
    for (const auto& module : modules_of(config))
      if (file.find(tensor_name(layer, module, "A"))) adapted.emplace_back(layer, module.name);
  auto adapter = TRY(lay_out(config, rank, scale, adapted));
  // What `save` would write for the same scale.
  adapter.alpha_ = scale * static_cast<double>(rank);
  if (file.header().tensors.size() != 2 * adapter.parts_.size())
    return fail(ErrorCode::unsupported, "the adapter holds tensors for modules that this model does not have", file.where());
  for (const auto& part : adapter.parts_)
    for (const char* matrix : {"A", "B"}) {
      const auto* info = TRY(file.find(tensor_name(part.layer, part.module, matrix)));
      auto target = *matrix == 'A' ? adapter.a_of(part) : adapter.b_of(part);
      auto tensor = TRY(read_tensor(file, *info));
      if (tensor.sizes() != target.sizes())
        return fail(ErrorCode::invalid_argument, "the adapter was made for another base model: shapes differ",
                    file.where() + ": " + info->name);
      target.copy_(tensor);
    }
  return adapter;
}

}  // namespace redoubt::engine::model
