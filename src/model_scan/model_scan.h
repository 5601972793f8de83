// SPDX-License-Identifier: Apache-2.0
//
// Looks at every file of a model before anything reads it; executes nothing. An allow-list decides: a pickle may ask for the names of
// safe_globals.h, a repository may hold the kinds of file_kinds.h, and whatever can't be read to its end is unsafe. Memory does not
// grow with the files. Kinds of findings: pickle, code, archive, unknown (a type of file that no model needs), malformed, remote-code,
// template, keras, tensorflow, onnx, symlink, special-file, unreadable.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/stream.h"
#include "model_scan/report.h"

namespace redoubt::model_scan {

struct ScannedFile {
  std::string path;  // relative
  std::function<Result<std::unique_ptr<RandomAccess>>()> open;
};

// Errors of reading are errors; whatever is wrong with the files is a finding.
Result<ModelScan> scan_model(const std::vector<ScannedFile>& files);
// One file, or a part of a model that is looked at file by file.
Result<ModelScan> scan_file(const RandomAccess& contents, const std::string& path);
// A folder, in which links and special files are findings and never followed or opened, or a single file. not_found for
// nothing and for a folder without files, since nothing was looked at.
Result<ModelScan> scan_model(const std::filesystem::path& path);

}  // namespace redoubt::model_scan
