// SPDX-License-Identifier: Apache-2.0
//
// Adapters on disk, as PEFT reads and writes them.
#include <charconv>
#include <cmath>
#include <cstdio>
#include <set>

#include "base/file.h"
#include "base/terminal.h"
#include "engine/model/lora.h"
#include "engine/model/tensor_file.h"

namespace redoubt::engine::model {
namespace {

constexpr const char* kWeightsFile = "adapter_model.safetensors";
constexpr const char* kPickledFile = "adapter_model.bin";  // of older versions of PEFT
constexpr const char* kConfigFile = "adapter_config.json";
constexpr const char* kDigestKey = "redoubt_base_digest";  // of the weights file's metadata

std::string tensor_name(const std::string& path, const char* matrix) {
  return "base_model.model." + path + ".lora_" + matrix + ".weight";
}

std::string magnitude_name(const std::string& path) { return "base_model.model." + path + ".lora_magnitude_vector"; }

// Initialisations that leave the base as it is. The others take a part of its weights out or round them when the adapter is made, and PEFT does so
// again when it reads such an adapter: over the whole weights it would be another model.
bool keeps_base(const Json& init) {
  static const std::set<std::string> plain = {"true", "gaussian", "eva", "orthogonal", "mica"};
  return init.is_null() || init.is_boolean() || (init.is_string() && plain.contains(init.get<std::string>()));
}

// Members of adapter_config.json that would change the computation must be absent or empty.
Status refuse_variants(const Json& config, const std::string& where) {
  for (const auto& [key, value] : config.items()) {
    static const std::set<std::string> variants = {
        "modules_to_save",         "megatron_config",   "lora_bias",  "layer_replication",
        "trainable_token_indices", "target_parameters", "use_qalora", "alora_invocation_tokens",
        "use_bdlora",              "velora_config",     "kasa_config", "arrow_config", "monteclora_config"};
    if (variants.contains(key) && !value.is_null() && value != false && !(value.is_structured() && value.empty()))
      return fail(ErrorCode::unsupported, "the adapter uses " + key, where);
  }
  if (config.value("peft_type", Json()) != "LORA") return fail(ErrorCode::unsupported, "peft_type is not LORA", where);
  if (const Json bias = config.value("bias", Json("none")); bias != "none")
    return fail(ErrorCode::unsupported, "the adapter trains biases", where);
  if (const Json init = config.value("init_lora_weights", Json(true)); !keeps_base(init))
    return fail(ErrorCode::unsupported, "init_lora_weights " + init.dump() + ": the adapter goes with changed weights of its base", where,
                "save it as plain LoRA: save_pretrained(..., path_initial_model_for_weight_conversion=...)");
  return {};
}

Json config_of(const LoraOptions& options, const std::vector<std::string>& targets, bool transposed,
               const std::string& base_model) {
  Json config = {{"peft_type", "LORA"},
                 {"task_type", "CAUSAL_LM"},
                 {"base_model_name_or_path", base_model},
                 {"r", options.rank},
                 {"lora_alpha", options.alpha},
                 {"lora_dropout", options.dropout},
                 {"bias", "none"},
                 {"target_modules", targets},
                 {"inference_mode", true},
                 {"fan_in_fan_out", transposed},
                 {"use_rslora", options.stabilised},
                 {"use_dora", options.magnitude},
                 {"init_lora_weights", true},
                 {"modules_to_save", nullptr},
                 {"rank_pattern", options.rank_pattern},
                 {"alpha_pattern", options.alpha_pattern},
                 {"layers_to_transform", nullptr},
                 {"revision", nullptr}};
  if (options.alpha == std::floor(options.alpha)) config["lora_alpha"] = static_cast<std::int64_t>(options.alpha);
  return config;
}

std::string base_of(const Json& adapter_config) {
  const std::string name = json_or(adapter_config, "base_model_name_or_path", "");
  return name.empty() ? "no base model" : "the base model '" + name + "'";
}

// The same model lies in folders and under owners of many names.
std::string last_part(std::string_view name) {
  while (name.ends_with('/')) name.remove_suffix(1);
  return std::string(name.substr(name.rfind('/') + 1));
}

void warn_of_name(const Json& adapter_config, const Config& config) {
  const std::string name = json_or(adapter_config, "base_model_name_or_path", "");
  if (name.empty() || config.name.empty() || last_part(name) == last_part(config.name)) return;
  const auto line = "redoubt-engine: the adapter names " + base_of(adapter_config) + ", this model calls itself '" + config.name + "'; nothing in the adapter tells whether it is the same\n";
  std::fputs(without_control_characters(line).c_str(), stderr);
}

std::string description_of(const Config& config) {
  return (config.name.empty() ? "" : "'" + config.name + "', ") + config.architecture + " with " +
         std::to_string(config.layers) + " layers of width " + std::to_string(config.hidden);
}

}  // namespace

Status Adapter::save(const std::filesystem::path& folder, const std::string& base_model, const std::string& digest) const {
  c10::InferenceMode guard;
  TRY(make_folder(folder));
  std::map<std::string, at::Tensor> tensors;
  for (const auto& part : parts_) {
    tensors[tensor_name(part.path, "A")] = a_of(part);
    tensors[tensor_name(part.path, "B")] = b_of(part);
    if (part.magnitude >= 0) tensors[magnitude_name(part.path)] = magnitude_of(part);
  }
  std::map<std::string, std::string> metadata = {{"format", "pt"}};
  if (!digest.empty()) metadata[kDigestKey] = digest;
  TRY(write_tensors(folder / kWeightsFile, tensors, metadata));
  return write_file(folder / kConfigFile,
                    config_of(options_, target_names(), transposed_, base_model).dump(2) + "\n",
                    FileMode::readable_by_all);
}

Result<Adapter> Adapter::load(const std::filesystem::path& folder, const Config& config, const Weights* base, const std::string& digest) {
  c10::InferenceMode guard;
  const std::string where = (folder / kConfigFile).string();
  const Json json = TRY(parse_json(TRY(read_text_file(folder / kConfigFile, 1 << 20)), where));
  if (!json.is_object()) return fail(ErrorCode::invalid_argument, "not a JSON object", where);
  TRY(refuse_variants(json, where));
  const auto options = TRY(parse_lora_options(json, where));

  if (!is_there(folder / kWeightsFile) && is_there(folder / kPickledFile))
    return fail(ErrorCode::unsupported, "the adapter's weights are a pickle, which is not read", (folder / kPickledFile).string(),
                "let PEFT read the adapter and save it again: it then writes safetensors");
  auto file =
      TRY(weights::SafetensorsFile::open(TRY(FileReader::open(folder / kWeightsFile)), (folder / kWeightsFile).string()));
  const auto other = [&](const std::string& what, const std::string& tensor) {
    return fail(ErrorCode::invalid_argument, "the adapter was made for another base model: " + what,
                file.where() + ": " + tensor, "it names " + base_of(json) + "; this model is " + description_of(config));
  };
  // PEFT also adapts heads and embeddings, which are not computed with an adapter here.
  for (const auto& tensor : file.header().tensors)
    for (const std::string& outside : {std::string("lm_head"), config.names.embedding, config.names.positions})
      if (!outside.empty() && tensor.name.find("." + outside + ".") != std::string::npos)
        return fail(ErrorCode::unsupported, "the adapter adapts " + outside + ", which is not computed",
                    file.where() + ": " + tensor.name, "adapt linear modules of the blocks");
  std::vector<std::string> adapted;
  for (const auto& module : module_paths(config))
    if (file.find(tensor_name(module.path, "A"))) adapted.push_back(module.path);
  if (adapted.empty()) return other("none of its modules is in this one", "modules");
  const auto targets = TRY(size_targets(adapted, options, UnusedPatterns::passed_over));
  auto adapter = TRY(lay_out(config, options, targets, base));

  std::map<std::string, at::Tensor> places;
  for (const auto& part : adapter.parts_) {
    places[tensor_name(part.path, "A")] = adapter.a_of(part);
    places[tensor_name(part.path, "B")] = adapter.b_of(part);
    if (part.magnitude >= 0) places[magnitude_name(part.path)] = adapter.magnitude_of(part);
  }
  for (const auto& tensor : file.header().tensors)
    if (!places.contains(tensor.name))
      return other("it holds a tensor for a module that this one does not have", tensor.name);
  for (auto& [name, place] : places) {
    const auto* info = TRY(file.find(name));
    auto tensor = TRY(read_tensor(file, *info));
    if (tensor.sizes() != place.sizes()) return other("shapes differ", name);
    place.copy_(tensor);
  }
  const auto recorded = file.header().metadata.find(kDigestKey);
  if (recorded == file.header().metadata.end()) warn_of_name(json, config);
  else if (!digest.empty() && recorded->second != digest) return other("it was trained over other weights of these shapes", kDigestKey);
  return adapter;
}

}  // namespace redoubt::engine::model
