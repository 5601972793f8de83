// SPDX-License-Identifier: Apache-2.0
//
// Looks at every file of a model before anything reads it; executes nothing. Whatever can't be read to its end is unsafe. Kinds:
// pickle, code, archive, unknown (a type of file that no model needs), malformed, remote-code, symlink, special-file, unreadable.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/stream.h"
#include "sarif/sarif.h"

namespace redoubt::stages::acquire {

struct ScanFinding {
  std::string path, kind, severity, detail;
  std::uint64_t offset = 0;  // of the byte where it begins, where that is known
};

struct ModelScan {
  bool safe() const { return findings.empty(); }
  std::vector<ScanFinding> findings;
  std::uint64_t files = 0, bytes = 0;
  Json to_json() const;
  sarif::Report to_sarif() const;
};

struct ScannedFile {
  std::string path;  // relative
  std::function<Result<std::unique_ptr<RandomAccess>>()> open;
};

// Errors of reading are errors; whatever is wrong with the files is a finding.
Result<ModelScan> scan_model(const std::vector<ScannedFile>& files);
// A folder, in which links and special files are findings and never followed or opened, or a single file. not_found for
// nothing and for a folder without files, since nothing was looked at.
Result<ModelScan> scan_model(const std::filesystem::path& path);

}  // namespace redoubt::stages::acquire
