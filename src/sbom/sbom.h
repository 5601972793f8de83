// SPDX-License-Identifier: Apache-2.0
//
// Bills of materials: of an image in CycloneDX 1.6 (ECMA-424) and SPDX 2.3, of a model in CycloneDX.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/json.h"
#include "packages/package.h"

namespace redoubt::sbom {

// What a bill of materials is about.
struct Subject {
  std::string name, version;
  std::optional<Digest> digest;  // of an image's manifest
};

// One component a package, with its files as subcomponents, and one for the distribution where it is known. Deterministic: the serial number is
// made of the digest, or of the contents where there is none.
Json to_cyclonedx(const Subject& subject, const packages::Inventory& inventory, const packages::Distribution& distribution = {});
// The packages that to_cyclonedx wrote, without their files: what a later scan needs.
Result<std::vector<packages::Package>> packages_of_cyclonedx(const Json& sbom);

// `created` is in the document, as SPDX asks.
Json to_spdx(const Subject& subject, const packages::Inventory& inventory, const packages::Distribution& distribution, TimePoint created);

// The ML-BOM of a model's or adapter's folder (Hugging Face's layout): a machine-learning-model with its model card, its files and their
// SHA-256, licence, datasets and base models out of README.md's front matter, config.json and adapter_config.json. not_found for a folder
// with neither weights nor a configuration.
Result<Json> model_to_cyclonedx(const std::filesystem::path& folder);

}  // namespace redoubt::sbom
