// SPDX-License-Identifier: Apache-2.0
//
// The model card: what a reviewer and an auditor read. Markdown after the sections of Mitchell et al., "Model Cards for Model
// Reporting" (2019), with the front matter that the Hugging Face Hub reads.
#pragma once

#include <string>

#include "base/json.h"

namespace redoubt::stages::publish {

struct ModelCard {
  std::string name, version, description, license, base_model, base_revision;
  std::string intended_use, limitations;
  std::string created, created_by, state, reason;
  Json training = Json::object();      // hyperparameters
  Json metrics = Json::object();       // of the tuned model on held-out rows
  Json base_metrics = Json::object();  // of the base model on the same rows
  Json gate = Json::object();          // {"gate", "failures"}
  Json lineage = Json::object();       // name -> "sha256:..."
  Json data = Json::object();          // row counts and findings by kind
  Json image = Json::object();         // findings by severity
};

std::string to_markdown(const ModelCard& card);
Json to_json(const ModelCard& card);

}  // namespace redoubt::stages::publish
