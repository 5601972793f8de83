// SPDX-License-Identifier: Apache-2.0
#include "stages/publish/model_card.h"

#include <fmt/format.h>

namespace redoubt::stages::publish {
namespace {

// Text from a configuration must not become markup of the card.
std::string plain(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '\n' || c == '\r') {
      out += ' ';
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '|') {
      out += "\\|";
    } else {
      out += c;
    }
  }
  return out.empty() ? "not stated" : out;
}

// A learning rate of 0.00005 is none of 0.0001.
std::string value_text(const Json& value) {
  if (value.is_number_float()) return fmt::format("{:.6g}", value.get<double>());
  return value.is_string() ? plain(value.get<std::string>()) : plain(dump_json(value));
}

std::string metrics_table(const ModelCard& card) {
  std::string out = "| metric | tuned | base |\n| --- | --- | --- |\n";
  for (const char* metric : {"eval_loss", "perplexity", "word_perplexity", "byte_perplexity", "accuracy", "examples", "tokens"}) {
    const auto cell = [&](const Json& metrics) {
      if (!metrics.contains(metric)) return std::string("-");
      return metrics[metric].is_number_float() ? fmt::format("{:.4f}", metrics[metric].get<double>()) : value_text(metrics[metric]);
    };
    out += fmt::format("| {} | {} | {} |\n", metric, cell(card.metrics), cell(card.base_metrics));
  }
  return out;
}

std::string key_table(const Json& values, const char* key_title, const char* value_title) {
  std::string out = fmt::format("| {} | {} |\n| --- | --- |\n", key_title, value_title);
  for (const auto& [key, value] : values.items()) out += fmt::format("| {} | {} |\n", plain(key), value_text(value));
  return out;
}

bool is_whole(const ModelCard& card) { return std::string(json_or(card.training, "method", "lora")) == "full"; }

}  // namespace

std::string to_markdown(const ModelCard& card) {
  std::string out = fmt::format("---\nlicense: {}\nbase_model: {}\nlibrary_name: {}\n---\n\n# {} {}\n\n{}\n\n", dump_json(card.license),
                                dump_json(card.base_model), is_whole(card) ? "transformers" : "peft", plain(card.name), plain(card.version), plain(card.description));
  out += fmt::format("State at registration: **{}** ({}). Registered {} by {}.\n\n", card.state, plain(card.reason), card.created, plain(card.created_by));
  out += fmt::format("## Model details\n\n{} {} at revision `{}`, license {}.\n\n", is_whole(card) ? "Every weight tuned of" : "LoRA adapter over", plain(card.base_model), plain(card.base_revision), plain(card.license));
  out += "## Intended use\n\n" + plain(card.intended_use) + "\n\n## Limitations\n\n" + plain(card.limitations) + "\n\n";
  out += "## Evaluation\n\nOn held-out rows that no trainer saw; loss in nats per answer token.\n\n" + metrics_table(card);
  out += fmt::format("\nGate: **{}**", json_or(card.gate, "gate", "none"));
  for (const auto& failure : json_or(card.gate, "failures", Json::array())) {
    out += fmt::format("; {} {} is not within {}", json_or(failure, "metric", ""), value_text(failure["value"]), value_text(failure["limit"]));
  }
  out += ".\n\n" + key_table(json_or(card.gate, "thresholds", Json::object()), "threshold", "value");
  out += "\n## Training\n\n" + key_table(card.training, "hyperparameter", "value");
  out += "\n## Data\n\n" + key_table(card.data, "fact", "value");
  out += "\n## Image\n\n" + key_table(card.image, "fact", "value");
  out += "\n## Lineage\n\n" + key_table(card.lineage, "input", "digest");
  return out;
}

Json to_json(const ModelCard& card) {
  return {{"name", card.name}, {"version", card.version}, {"description", card.description}, {"license", card.license},
          {"base_model", card.base_model}, {"base_revision", card.base_revision}, {"intended_use", card.intended_use},
          {"limitations", card.limitations}, {"created", card.created}, {"created_by", card.created_by}, {"state", card.state},
          {"reason", card.reason}, {"training", card.training}, {"metrics", card.metrics}, {"base_metrics", card.base_metrics},
          {"gate", card.gate}, {"lineage", card.lineage}, {"data", card.data}, {"image", card.image}};
}

}  // namespace redoubt::stages::publish
