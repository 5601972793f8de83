// SPDX-License-Identifier: Apache-2.0
//
// Step 2: the image, its SBOM and its scan.
#pragma once

#include "advisories/scan.h"
#include "advisories/vex.h"
#include "base/clock.h"
#include "governance/recorder.h"
#include "stages/image/packages.h"
#include "vault/artifact_store.h"

namespace redoubt::stages::image {

using advisories::AcceptedFinding;
using advisories::ScanReport;

// A VEX document as it was when the pipeline read it; what it accepts depends on the image and the day.
struct VexDocument {
  std::string name;  // its file's, for people
  Digest digest;     // of the text, under which the vault keeps it
  std::string text = {};
};

struct ScanOptions {
  bool apt_security = true;
  std::filesystem::path apt_lists = "/var/lib/apt/lists";
  std::vector<std::filesystem::path> osv, debian_tracker, epss, kev;
  int feed_age_days_max = 14;
  std::vector<AcceptedFinding> accepted;
  std::vector<VexDocument> vex;
  std::optional<TimePoint> vex_until;  // the end of statements that name none
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

// What the configuration and the VEX documents accept for this image; errors of read_vex.
Result<std::vector<AcceptedFinding>> accepted_findings(const ScanOptions& options, const advisories::VexSubject& image);

// Reads the feeds and scans these packages. not_found where no feed knows of any of them.
Result<ScanReport> scan(packages::Inventory inventory, const ScanOptions& options, const advisories::VexSubject& image, TimePoint now);

// All but the database and the documents' texts, with whole paths; of a document {"name", "digest"}.
Json to_json(const ScanOptions& options);
Json to_json(const std::vector<VexDocument>& documents);
// What an earlier version wrote has no documents, no feeds but OSV's, and blocks what is known to be exploited.
Result<ScanOptions> scan_options_from_json(const Json& value);

// Outputs: image (OCI manifest), sbom (CycloneDX JSON), vex-1 and on (the documents). Result: tag, packages, vulnerabilities by severity, exploited, scanned, accepted (which
// findings by which document or configuration), vex. gate_refused names the first finding that blocks.
//
// The image's digest is not known before it is built, so a statement that names the image by it counts from admission on.
Result<governance::BuiltImage> build(const BuildOptions& build_options, const ScanOptions& scan_options, StepDeps& deps);

}  // namespace redoubt::stages::image
