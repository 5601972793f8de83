// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <set>

#include "crypto/hash.h"
#include "sbom/document.h"
#include "sbom/licences.h"
#include "sbom/references.h"
#include "sbom/sbom.h"

namespace redoubt::sbom {
namespace {

Json file_component(const std::string& name, const Digest& digest) {
  return {{"type", "file"}, {"bom-ref", "file:" + name}, {"name", name}, {"hashes", Json::array({{{"alg", "SHA-256"}, {"content", digest.hex()}}})}};
}

Json property(const char* name, const std::string& value) { return {{"name", name}, {"value", value}}; }

Json component_of(const packages::Package& package) {
  const std::string purl = packages::purl_of(package);
  Json files = Json::array(), properties = Json::array();
  for (const auto& [name, digest] : package.files) files.push_back(file_component(name, digest));
  properties.push_back(property("redoubt:ecosystem", package.ecosystem));
  properties.push_back(property("redoubt:source", package.source));
  properties.push_back(property("redoubt:source_version", package.source_version));
  if (!package.owner.empty()) properties.push_back(property("redoubt:owner", package.owner));
  for (const auto& place : package.places) properties.push_back(property("redoubt:place", place));
  Json component = {{"type", "library"}, {"bom-ref", purl}, {"name", package.name}, {"purl", purl}, {"properties", properties}};
  if (!package.version.empty()) component["version"] = package.version;
  if (!files.empty()) component["components"] = files;
  if (!package.licences.empty()) component["licenses"] = licences_json(package.licences);
  if (!package.supplier.empty()) component["supplier"] = {{"name", package.supplier}};
  for (const auto& [algorithm, content] : package.hashes) component["hashes"].push_back({{"alg", algorithm}, {"content", content}});
  return component;
}

}  // namespace

Json licences_json(const std::vector<std::string>& licences) {
  if (licences.size() == 1) {
    if (const auto identifier = spdx_identifier(licences[0])) return Json::array({{{"license", {{"id", *identifier}}}}});
    if (const auto expression = spdx_expression(licences[0])) return Json::array({{{"expression", *expression}}});
  }
  Json out = Json::array();
  std::set<std::string> seen;
  for (const auto& licence : licences) {
    if (!seen.insert(licence).second) continue;
    const auto identifier = spdx_identifier(licence);
    out.push_back({{"license", identifier ? Json{{"id", *identifier}} : Json{{"name", licence}}}});
  }
  return out;
}

// RFC 9562 version 8: a UUID of the maker's own bits.
std::string serial_number(const Digest& digest) {
  std::string hex = digest.hex().substr(0, 32);
  hex[12] = '8';
  hex[16] = "89ab"[(hex[16] % 4)];
  return fmt::format("urn:uuid:{}-{}-{}-{}-{}", hex.substr(0, 8), hex.substr(8, 4), hex.substr(12, 4), hex.substr(16, 4), hex.substr(20));
}

Json tools_json() { return {{"components", Json::array({{{"type", "application"}, {"name", "redoubt"}}})}}; }

Json to_cyclonedx(const Subject& subject, const packages::Inventory& inventory, const packages::Distribution& distribution) {
  Json components = Json::array(), dependencies = Json::array(), all = Json::array();
  if (!distribution.id.empty()) {
    Json system = {{"type", "operating-system"}, {"bom-ref", "os:" + distribution.qualifier()}, {"name", distribution.id}, {"properties", Json::array()}};
    if (!distribution.version.empty()) system["version"] = distribution.version;
    if (!distribution.name.empty()) system["description"] = distribution.name;
    components.push_back(std::move(system));
  }
  const auto needs = resolve_needs(inventory.packages);
  for (std::size_t i = 0; i < inventory.packages.size(); ++i) {
    components.push_back(component_of(inventory.packages[i]));
    Json on = Json::array();
    for (const auto other : needs[i]) on.push_back(packages::purl_of(inventory.packages[other]));
    const std::string purl = packages::purl_of(inventory.packages[i]);
    dependencies.push_back({{"ref", purl}, {"dependsOn", std::move(on)}});
    all.push_back(purl);
  }
  dependencies.push_back({{"ref", "image"}, {"dependsOn", std::move(all)}});
  Json about = {{"type", "container"}, {"bom-ref", "image"}, {"name", subject.name}};
  if (!subject.version.empty()) about["version"] = subject.version;
  if (subject.digest) about["hashes"] = Json::array({{{"alg", "SHA-256"}, {"content", subject.digest->hex()}}});
  const Digest digest = subject.digest ? *subject.digest : crypto::sha256(dump_json({{"subject", about}, {"components", components}}));
  Json sbom = {{"bomFormat", "CycloneDX"}, {"specVersion", "1.6"}, {"serialNumber", serial_number(digest)}, {"version", 1},
               {"metadata", {{"component", std::move(about)}, {"tools", tools_json()}}}, {"components", std::move(components)}, {"dependencies", std::move(dependencies)}};
  // Whoever reads it must know that a package may be missing.
  for (const auto& problem : inventory.problems) sbom["properties"].push_back(property("redoubt:problem", problem.place + ": " + problem.detail));
  return sbom;
}

Result<std::vector<packages::Package>> packages_of_cyclonedx(const Json& sbom) {
  std::vector<packages::Package> packages;
  for (const auto& component : TRY(json_array(sbom, "components", "SBOM"))) {
    if (json_or(component, "type", "") == "operating-system") continue;
    packages::Package package;
    package.name = TRY(json_string(component, "name", "SBOM"));
    package.version = json_or(component, "version", "");
    package.purl = json_or(component, "purl", "");
    for (const auto& property : TRY(json_array(component, "properties", "SBOM"))) {
      const std::string name = TRY(json_string(property, "name", "SBOM")), value = TRY(json_string(property, "value", "SBOM"));
      if (name == "redoubt:ecosystem") package.ecosystem = value;
      if (name == "redoubt:source") package.source = value;
      if (name == "redoubt:source_version") package.source_version = value;
      if (name == "redoubt:owner") package.owner = value;
      if (name == "redoubt:place") package.places.push_back(value);
    }
    // Earlier versions wrote the binary's version alone.
    if (package.source_version.empty() && !package.source.empty()) package.source_version = package.version;
    packages.push_back(std::move(package));
  }
  return packages;
}

}  // namespace redoubt::sbom
