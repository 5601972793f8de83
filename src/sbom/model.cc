// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "base/file.h"
#include "base/yaml.h"
#include "crypto/hash.h"
#include "packages/package.h"
#include "sbom/document.h"
#include "sbom/sbom.h"

namespace redoubt::sbom {
namespace fs = std::filesystem;
namespace {

constexpr std::uint64_t kDocumentBytesMax = 16 << 20;

Result<Json> read_json_file(const fs::path& file) {
  if (!is_plain_file(file)) return Json::object();
  return parse_json(TRY(read_text_file(file, kDocumentBytesMax)), file.string());
}

// The YAML between the first two lines "---" of a model's card.
Result<Json> read_front_matter(const fs::path& file) {
  if (!is_plain_file(file)) return Json::object();
  const std::string text = TRY(read_text_file(file, kDocumentBytesMax));
  if (!text.starts_with("---\n") && !text.starts_with("---\r\n")) return Json::object();
  const auto end = text.find("\n---", 3);
  if (end == text.npos) return fail(ErrorCode::invalid_argument, "the card's front matter never ends", file.string(), "close it with a line '---'");
  Json value = TRY(parse_yaml(text.substr(text.find('\n') + 1, end - text.find('\n')), file.string())).value;
  return value.is_object() ? value : Json::object();
}

// A text or a list of texts.
std::vector<std::string> texts_of(const Json& object, const char* key) {
  std::vector<std::string> out;
  if (!object.contains(key)) return out;
  const Json& value = object[key];
  if (value.is_string()) out.push_back(value.get<std::string>());
  if (value.is_array()) {
    for (const auto& item : value) {
      if (item.is_string()) out.push_back(item.get<std::string>());
    }
  }
  return out;
}

// "owner/name" of the Hub.
bool is_repository(const std::string& name) { return std::count(name.begin(), name.end(), '/') == 1 && !name.starts_with('/') && !name.starts_with('.') && !name.ends_with('/'); }

std::string hub_purl(const std::string& repository) {
  const auto slash = repository.find('/');
  return packages::make_purl("huggingface", repository.substr(0, slash), repository.substr(slash + 1), "");
}

struct ModelFacts {
  Json card, config, adapter;
  std::string name;
};

std::vector<std::string> base_models(const ModelFacts& facts) {
  auto names = texts_of(facts.card, "base_model");
  const std::string adapted = json_or(facts.adapter, "base_model_name_or_path", "");
  if (!adapted.empty() && std::find(names.begin(), names.end(), adapted) == names.end()) names.push_back(adapted);
  return names;
}

// Metrics of the card's "model-index".
Json metrics_of(const Json& card) {
  Json out = Json::array();
  for (const auto& model : json_or(card, "model-index", Json::array())) {
    for (const auto& result : json_or(model, "results", Json::array())) {
      const Json dataset = json_or(result, "dataset", Json::object());
      for (const auto& metric : json_or(result, "metrics", Json::array())) {
        if (!metric.is_object() || !metric.contains("value")) continue;
        const Json& value = metric["value"];
        Json one = {{"type", json_or(metric, "type", "metric")}, {"value", value.is_string() ? value.get<std::string>() : value.dump()}};
        if (const std::string slice = json_or(dataset, "name", ""); !slice.empty()) one["slice"] = slice;
        out.push_back(std::move(one));
      }
    }
  }
  return out;
}

Json model_card(const ModelFacts& facts) {
  Json parameters = Json::object();
  const auto set = [&](const char* key, const std::string& value) {
    if (!value.empty()) parameters[key] = value;
  };
  set("task", json_or(facts.card, "pipeline_tag", facts.adapter.contains("task_type") ? json_or(facts.adapter, "task_type", "").c_str() : ""));
  set("architectureFamily", json_or(facts.config, "model_type", json_or(facts.adapter, "peft_type", "").c_str()));
  const auto architectures = texts_of(facts.config, "architectures");
  set("modelArchitecture", architectures.empty() ? "" : architectures[0]);
  for (const auto& dataset : texts_of(facts.card, "datasets")) {
    Json one = {{"type", "dataset"}, {"name", dataset}};
    if (is_repository(dataset)) one["contents"] = {{"url", "https://huggingface.co/datasets/" + dataset}};
    parameters["datasets"].push_back(std::move(one));
  }
  parameters["inputs"] = Json::array({{{"format", "text"}}});
  parameters["outputs"] = Json::array({{{"format", "text"}}});
  Json card = {{"modelParameters", parameters}};
  if (Json metrics = metrics_of(facts.card); !metrics.empty()) card["quantitativeAnalysis"] = {{"performanceMetrics", std::move(metrics)}};
  return card;
}

Json pedigree_of(const std::vector<std::string>& bases) {
  Json ancestors = Json::array();
  for (const auto& base : bases) {
    Json one = {{"type", "machine-learning-model"}, {"name", base}};
    if (is_repository(base)) one["purl"] = hub_purl(base);
    ancestors.push_back(std::move(one));
  }
  return {{"ancestors", std::move(ancestors)}};
}

// Of a card: "other" is explained by license_name.
std::vector<std::string> licences_of(const Json& card) {
  auto licences = texts_of(card, "license");
  for (auto& licence : licences) {
    if (licence == "other") licence = json_or(card, "license_name", "other");
  }
  return licences;
}

bool is_model_file(const std::string& name) {
  for (const char* end : {".safetensors", ".gguf", ".bin", ".pt", ".pth", ".onnx", ".h5", ".keras"}) {
    if (name.ends_with(end)) return true;
  }
  return name == "config.json" || name == "adapter_config.json";
}

}  // namespace

Result<Json> model_to_cyclonedx(const fs::path& folder) {
  const auto files = TRY(list_files(folder));
  if (std::none_of(files.begin(), files.end(), is_model_file)) return fail(ErrorCode::not_found, "no model in this folder: neither weights nor a configuration", folder.string(), "name a folder in the layout of Hugging Face");
  ModelFacts facts{TRY(read_front_matter(folder / "README.md")), TRY(read_json_file(folder / "config.json")), TRY(read_json_file(folder / "adapter_config.json")), {}};
  std::error_code error;
  const std::string own = fs::canonical(folder, error).filename().string(), told = json_or(facts.config, "_name_or_path", "");
  facts.name = is_repository(told) ? told : own.empty() ? folder.string() : own;
  Json parts = Json::array();
  std::string list;
  for (const auto& name : files) {
    auto reader = TRY(FileReader::open_regular(folder / name, Links::refuse));
    const Digest digest = TRY(crypto::sha256_of(*reader));
    list += digest.hex() + "  " + name + "\n";
    parts.push_back({{"type", "file"}, {"bom-ref", "file:" + name}, {"name", name}, {"hashes", Json::array({{{"alg", "SHA-256"}, {"content", digest.hex()}}})}});
  }
  // The model's own digest: over the list of its files as sha256sum(1) writes it.
  const Digest whole = crypto::sha256(list);
  Json model = {{"type", "machine-learning-model"}, {"bom-ref", "model"}, {"name", facts.name}, {"version", whole.hex().substr(0, 12)},
                {"hashes", Json::array({{{"alg", "SHA-256"}, {"content", whole.hex()}}})}, {"modelCard", model_card(facts)}, {"components", std::move(parts)}};
  if (is_repository(facts.name)) model["purl"] = hub_purl(facts.name);
  if (const auto licences = licences_of(facts.card); !licences.empty()) model["licenses"] = licences_json(licences);
  if (const auto bases = base_models(facts); !bases.empty()) model["pedigree"] = pedigree_of(bases);
  return Json{{"bomFormat", "CycloneDX"}, {"specVersion", "1.6"}, {"serialNumber", serial_number(whole)}, {"version", 1},
              {"metadata", {{"component", model}, {"tools", tools_json()}}}, {"dependencies", Json::array({{{"ref", "model"}}})}};
}

}  // namespace redoubt::sbom
