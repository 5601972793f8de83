// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "crypto/hash.h"
#include "sbom/licences.h"
#include "sbom/references.h"
#include "sbom/sbom.h"

namespace redoubt::sbom {
namespace {

constexpr const char* kNothing = "NOASSERTION";

// Letters, digits, '.' and '-' alone.
std::string slug(std::string_view text) {
  std::string out;
  for (const char c : text) out += std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' ? c : '-';
  return out;
}

// Licences that SPDX does not list, each with the words that stand for it.
class Licences {
 public:
  std::string declare(const std::vector<std::string>& licences) {
    std::string out;
    for (const auto& licence : licences) {
      const auto known = spdx_expression(licence);
      const std::string one = known ? (licences.size() > 1 && known->find(' ') != known->npos ? "(" + *known + ")" : *known) : reference(licence);
      out += (out.empty() ? "" : " AND ") + one;
    }
    return out.empty() ? kNothing : out;
  }
  Json extracted() const {
    Json out = Json::array();
    for (const auto& [words, id] : ids_) out.push_back({{"licenseId", id}, {"extractedText", words}, {"name", words}});
    return out;
  }

 private:
  std::string reference(const std::string& words) {
    const auto [at, is_new] = ids_.try_emplace(words);
    if (is_new) at->second = fmt::format("LicenseRef-{}-{}", ids_.size(), slug(words.substr(0, 40)));
    return at->second;
  }
  std::map<std::string, std::string> ids_;
};

// "Organization: Debian GCC Maintainers", without the address, which SPDX puts elsewhere.
std::string supplier_of(const std::string& text) {
  std::string name = text.substr(0, text.find_first_of("<("));
  while (name.ends_with(' ')) name.pop_back();
  return name.empty() ? kNothing : "Organization: " + name;
}

bool is_address(const std::string& text) {
  return (text.starts_with("https://") || text.starts_with("http://")) && text.size() > 8 && std::none_of(text.begin(), text.end(), [](char c) { return c <= ' ' || c == '<' || c == '>' || c == '"'; });
}

Json package_json(const packages::Package& package, const std::string& id, Licences& licences) {
  Json out = {{"SPDXID", id}, {"name", package.name}, {"downloadLocation", kNothing}, {"filesAnalyzed", false}, {"supplier", supplier_of(package.supplier)},
              {"licenseConcluded", kNothing}, {"licenseDeclared", licences.declare(package.licences)}, {"copyrightText", kNothing}, {"primaryPackagePurpose", "LIBRARY"},
              {"externalRefs", Json::array({{{"referenceCategory", "PACKAGE-MANAGER"}, {"referenceType", "purl"}, {"referenceLocator", packages::purl_of(package)}}})}};
  if (!package.version.empty()) out["versionInfo"] = package.version;
  if (is_address(package.homepage)) out["homepage"] = package.homepage;
  if (!package.places.empty()) out["sourceInfo"] = "found in " + package.places.front();
  for (const auto& [algorithm, content] : package.hashes) {
    std::string name = algorithm;
    name.erase(std::remove(name.begin(), name.end(), '-'), name.end());
    out["checksums"].push_back({{"algorithm", name}, {"checksumValue", content}});
  }
  return out;
}

Json plain_package(const std::string& id, const std::string& name, const std::string& version, const char* purpose) {
  Json out = {{"SPDXID", id}, {"name", name}, {"downloadLocation", kNothing}, {"filesAnalyzed", false}, {"supplier", kNothing}, {"licenseConcluded", kNothing}, {"licenseDeclared", kNothing},
              {"copyrightText", kNothing}, {"primaryPackagePurpose", purpose}};
  if (!version.empty()) out["versionInfo"] = version;
  return out;
}

Json relation(const std::string& from, const char* kind, const std::string& to) { return {{"spdxElementId", from}, {"relationshipType", kind}, {"relatedSpdxElement", to}}; }

// SPDX' times have no fractions.
std::string seconds_of(TimePoint time) { return to_rfc3339(time).substr(0, 19) + "Z"; }

}  // namespace

Json to_spdx(const Subject& subject, const packages::Inventory& inventory, const packages::Distribution& distribution, TimePoint created) {
  const std::string image = "SPDXRef-Image";
  Licences licences;
  Json packages = Json::array(), relations = Json::array({relation("SPDXRef-DOCUMENT", "DESCRIBES", image)});
  Json about = plain_package(image, subject.name, subject.version, "CONTAINER");
  if (subject.digest) about["checksums"] = Json::array({{{"algorithm", "SHA256"}, {"checksumValue", subject.digest->hex()}}});
  packages.push_back(std::move(about));
  if (!distribution.id.empty()) {
    packages.push_back(plain_package("SPDXRef-OperatingSystem", distribution.id, distribution.version, "OPERATING-SYSTEM"));
    relations.push_back(relation(image, "CONTAINS", "SPDXRef-OperatingSystem"));
  }
  const auto id_of = [&](std::size_t i) { return fmt::format("SPDXRef-Package-{}-{}", i + 1, slug(inventory.packages[i].name)); };
  const auto needs = resolve_needs(inventory.packages);
  for (std::size_t i = 0; i < inventory.packages.size(); ++i) {
    packages.push_back(package_json(inventory.packages[i], id_of(i), licences));
    relations.push_back(relation(image, "CONTAINS", id_of(i)));
    for (const auto other : needs[i]) relations.push_back(relation(id_of(i), "DEPENDS_ON", id_of(other)));
  }
  Json document = {{"spdxVersion", "SPDX-2.3"}, {"dataLicense", "CC0-1.0"}, {"SPDXID", "SPDXRef-DOCUMENT"}, {"name", subject.name}, {"packages", std::move(packages)}, {"relationships", std::move(relations)},
                   {"creationInfo", {{"created", seconds_of(created)}, {"creators", Json::array({"Tool: redoubt"})}}}};
  if (Json extracted = licences.extracted(); !extracted.empty()) document["hasExtractedLicensingInfos"] = std::move(extracted);
  std::string comment;
  for (const auto& problem : inventory.problems) comment += problem.place + ": " + problem.detail + "\n";
  if (!comment.empty()) document["comment"] = "Some records could not be read, so packages may be missing:\n" + comment;
  // A name for these contents, not an address where they can be had.
  document["documentNamespace"] = "https://redoubt.invalid/spdx/" + slug(subject.name) + "-" + crypto::sha256(dump_json(document)).hex();
  return document;
}

}  // namespace redoubt::sbom
