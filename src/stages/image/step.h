// SPDX-License-Identifier: Apache-2.0
//
// Step 2: the image, its SBOM and its scan.
#pragma once

#include "advisories/scan.h"
#include "base/clock.h"
#include "governance/recorder.h"
#include "stages/image/packages.h"
#include "vault/artifact_store.h"

namespace redoubt::stages::image {

using advisories::AcceptedFinding;
using advisories::ScanReport;

struct ScanOptions {
  bool apt_security = true;
  std::filesystem::path apt_lists = "/var/lib/apt/lists";
  std::vector<std::filesystem::path> osv;
  int feed_age_days_max = 14;
  std::vector<AcceptedFinding> accepted;
  std::shared_ptr<const advisories::AdvisorySet> database;  // beside these feeds; null: none was loaded
  advisories::ScanPolicy policy = {};
};

struct StepDeps {
  vault::ArtifactStore& store;
  provider::ImageStore& images;
  governance::StepRecorder& recorder;
  const Clock& clock;
  Progress& progress;
  provider::ImageFindings* registry_findings = nullptr;  // of the registry that `images` publishes to; null: none scans there
};

// Reads the feeds and scans these packages. not_found where no feed knows of any of them.
Result<ScanReport> scan(packages::Inventory inventory, const ScanOptions& options, TimePoint now);

// All but the database: {"apt_security", "osv", "feed_age_days_max", "accepted_findings"}, as the pipeline file has them with whole paths.
Json to_json(const ScanOptions& options);
Result<ScanOptions> scan_options_from_json(const Json& value);

// Outputs: image (OCI manifest), sbom (CycloneDX JSON). Result: tag, packages, vulnerabilities by severity, scanned.
// gate_refused names the first critical or high finding.
Result<governance::BuiltImage> build(const BuildOptions& build_options, const ScanOptions& scan_options, StepDeps& deps);

}  // namespace redoubt::stages::image
