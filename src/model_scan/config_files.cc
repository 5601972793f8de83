// SPDX-License-Identifier: Apache-2.0
//
// JSON and texts: configurations that ask for code, chat templates, Keras configurations.
#include <fmt/format.h>

#include <algorithm>

#include "base/file.h"
#include "model_scan/pickle_walk.h"
#include "model_scan/scan.h"
#include "weights/gguf_reader.h"

namespace redoubt::model_scan {
namespace {

constexpr std::uint64_t kConfigBytesMax = 64 << 20;

bool is_empty(const Json& value) { return value.is_null() || value.empty() || value == "" || (value.is_boolean() && !value.get<bool>()); }

// What PEFT writes of itself for a model without a task: the class and its module within the installed Transformers, nothing of the repository.
bool names_a_model_of_transformers(const Json& mapping) {
  if (!mapping.is_object() || mapping.size() != 2 || !mapping.contains("base_model_class") || !mapping["base_model_class"].is_string()) return false;
  if (!mapping.contains("parent_library") || !mapping["parent_library"].is_string()) return false;
  const std::string library = mapping["parent_library"];
  return library.starts_with("transformers.models.") && library.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_.") == library.npos;
}

// "owner/name": a library of another repository that transformers fetches, for the whole model or by its parts.
bool names_a_kernel(const Json& value) {
  if (value.is_string()) return value.get_ref<const std::string&>().find('/') != std::string::npos;
  return value.is_object() && std::any_of(value.begin(), value.end(), names_a_kernel);
}

// What sentence-transformers imports by its whole name and calls; other libraries write plain words there.
bool names_a_function(const Json& value) {
  if (!value.is_string()) return false;
  const auto& path = value.get_ref<const std::string&>();
  return path.find('.') != path.npos && !path.starts_with("torch.nn.");
}

// A configuration's wish to run code of a repository: transformers' auto_map and kernels, PEFT's auto_mapping, diffusers' custom_pipelines, the
// functions of sentence-transformers. In a vocabulary the same words are tokens, and their values numbers.
bool asks_for_code(const std::string& key, const Json& value) {
  if (key == "trust_remote_code") return value.is_boolean() && value.get<bool>();
  if (key == "megatron_core") return value.is_string() && !value.get_ref<const std::string&>().starts_with("megatron.");  // PEFT imports it
  if (key == "attn_implementation" || key == "_attn_implementation") return names_a_kernel(value);
  for (const char* function : {"activation_function", "activation_fn", "default_activation_function", "sbert_ce_default_activation_function"}) {
    if (key == function) return names_a_function(value);
  }
  if (key != "auto_map" && key != "custom_pipelines" && key != "custom_pipeline" && key != "auto_mapping") return false;
  if (key == "auto_mapping" && names_a_model_of_transformers(value)) return false;
  return (value.is_object() || value.is_array() || value.is_string()) && !is_empty(value);
}

// diffusers: "component": ["module_of_the_repository", "Class"] names a file beside the configuration, unless it is a library's.
bool names_own_module(const Json& value) {
  if (!value.is_array() || value.size() != 2 || !value[0].is_string() || !value[1].is_string()) return false;
  const std::string library = value[0];
  for (const char* known : {"diffusers", "transformers", "onnxruntime.training", "optimum.onnxruntime", "flax", "stable_diffusion"}) {
    if (library == known) return false;
  }
  return !library.empty();
}

// sentence-transformers imports the classes of its modules: "type" in modules.json, and in a router's or Asym's configuration.
bool names_a_foreign_module(const Json& json, std::string_view name) {
  const auto is_foreign = [](const Json& type) { return !type.is_string() || !type.get_ref<const std::string&>().starts_with("sentence_transformers."); };
  if (name == "modules.json" || name.ends_with("/modules.json")) {
    return json.is_array() && std::any_of(json.begin(), json.end(), [&](const Json& module) { return module.is_object() && module.contains("type") && is_foreign(module["type"]); });
  }
  if (!json.is_object() || !json.contains("structure") || !json.contains("types") || !json["types"].is_object()) return false;
  return std::any_of(json["types"].begin(), json["types"].end(), is_foreign);
}

// The first key, at any depth, that asks for code; empty when none does. parse_json has bounded the depth.
std::string code_wish(const Json& value) {
  if (!value.is_structured()) return "";
  for (const auto& [key, member] : value.items()) {
    if (value.is_object() && asks_for_code(key, member)) return key;
    if (auto below = code_wish(member); !below.empty()) return below;
  }
  return "";
}

void judge_templates(const Json& json, const Place& place, Scan& scan) {
  if (!json.is_object()) return;
  for (const char* key : {"chat_template", "default_chat_template", "template", "generation_template"}) {
    const auto found = json.find(key);
    if (found == json.end()) continue;
    if (found->is_string()) scan.judge_template(found->get<std::string>(), place, key);
    if (!found->is_structured()) continue;
    for (const auto& [name, member] : found->items()) {
      const Json text = member.is_object() ? json_or(member, "template", Json()) : member;
      if (text.is_string() && (member.is_object() || found->is_object())) scan.judge_template(text.get<std::string>(), place, key);
    }
  }
}

// Python's JSON has numbers that JSON has not, and configurations of real models hold them.
std::string without_infinities(std::string_view text) {
  std::string out;
  bool is_text = false;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '"') is_text = !is_text;
    if (is_text && text[at] == '\\' && at + 1 < text.size()) out += text[at++];
    std::size_t word = 0;
    for (const std::string_view number : {"-Infinity", "Infinity", "NaN"}) {
      if (!is_text && word == 0 && text.substr(at).starts_with(number)) word = number.size();
    }
    if (word == 0) out += text[at];
    else out += "null", at += word - 1;
  }
  return out;
}

// Keras builds what stands in its own configuration at any depth, also where the whole is no object of a class. It loads folders of any name.
bool holds_keras_object(const Json& json) {
  if (json.is_object() && json.contains("class_name") && json.contains("config")) return true;
  return json.is_structured() && std::any_of(json.begin(), json.end(), holds_keras_object);
}

bool is_keras_config(const Json& json, const Place& place) {
  if (place.member.ends_with(".keras!config.json") || place.path.ends_with(".keras/config.json")) return true;
  return (place.name() == "config.json" || place.name().ends_with("/config.json")) && holds_keras_object(json);
}

Result<std::string> text_of_file(const RandomAccess& contents) {
  RandomAccessSource source(contents);
  return to_text(TRY(read_all(source, kConfigBytesMax)));
}

}  // namespace

Status Scan::look_at_json(const RandomAccess& object, const Place& place) {
  const std::string name(place.name());
  const auto text = text_of_file(object);
  if (!text) return settle(text.error(), place, "malformed", "json/malformed");
  auto json = parse_json(*text, name, {.bytes_max = kConfigBytesMax});
  if (!json) json = parse_json(without_infinities(*text), name, {.bytes_max = kConfigBytesMax});
  if (!json) return settle(json.error(), place, "malformed", "json/malformed");
  if (const auto wish = code_wish(*json); !wish.empty()) add(place, "remote-code", "config/remote-code", "critical", fmt::format("'{}' asks for code of a repository to be run", wish));
  if (names_a_foreign_module(*json, name)) add(place, "remote-code", "config/remote-code", "critical", "a module's type is no class of sentence-transformers, and is imported by its name");
  if (name == "model_index.json" || name.ends_with("/model_index.json")) {
    for (const auto& [key, value] : json->items()) {
      if (json->is_object() && names_own_module(value)) add(place, "remote-code", "config/remote-code", "critical", fmt::format("'{}' is made by a module of the repository", key));
    }
  }
  if (const Json files = json_or(*json, "weight_map", Json::object()); !files.empty()) {
    const auto leaves = std::find_if(files.begin(), files.end(), [](const Json& file) { return !file.is_string() || !is_safe_relative_path(file.get<std::string>()); });
    if (leaves != files.end()) add(place, "malformed", "config/path", "critical", "the index of the weights names a file outside of the model's folder");
  }
  judge_templates(*json, place, *this);
  if ((json->is_object() && json->contains("class_name")) || is_keras_config(*json, place)) judge_keras_config(*json, place);
  return {};
}

Status Scan::look_at_text(const RandomAccess& object, const Place& place) {
  const auto text = text_of_file(object);
  if (!text) return settle(text.error(), place, "malformed", "text/malformed");
  if (const auto nul = text->find('\0'); nul != text->npos) {
    add(place, "malformed", "text/malformed", "high", "a text with a NUL byte", nul);
  } else if (!weights::is_utf8(*text)) {
    add(place, "malformed", "text/malformed", "high", "a text that is not UTF-8");
  } else if (kind_by_name(place.name()) == FileKind::template_text) {
    judge_template(*text, place, place.name());
  }
  return look_for_late_pickle(object, place);
}

// A program may do nothing for longer than the look at a file's start lasts. A text whose first lines happen to be opcodes calls nothing, and
// is not a program for long.
Status Scan::look_for_late_pickle(const RandomAccess& object, const Place& place) {
  constexpr std::uint64_t kOpcodesByChance = 10'000;
  std::optional<PickleProblem> first;
  PickleOptions options;
  options.found = [&](PickleProblem problem) {
    if (!first || (first->rule == "malformed" && problem.rule != "malformed")) first = std::move(problem);
  };
  options.nested = [](std::uint64_t, std::uint64_t) { return Status{}; };
  const PickleEnd end = TRY(walk_pickle(object, 0, object.size(), options));
  // pickle alone loads none by its name, and a zip archive begins with that opcode.
  if (!first || first->rule == "persistent-id") return {};
  const bool is_program = (end.calls > 0 && first->rule != "malformed") || end.opcodes > kOpcodesByChance;
  if (is_program) add(place, "pickle", "pickle/" + first->rule, first->severity, first->detail, first->offset, first->opcode);
  return {};
}

}  // namespace redoubt::model_scan
