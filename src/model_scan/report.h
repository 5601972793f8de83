// SPDX-License-Identifier: Apache-2.0
//
// What a scan says about a model's files.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "sarif/sarif.h"

namespace redoubt::model_scan {

// critical: runs something or does other harm when the file is loaded as its kind is loaded. high: may, or hides what it is.
// medium: what a model does not need and this scan can't vouch for. low: worth a look.
struct ScanFinding {
  std::string path, kind, severity, detail;
  std::uint64_t offset = 0;  // of the byte where it begins: in the member when there is one, else in the file
  std::string rule = {};     // "pickle/unsafe-global"; docs/model_scan.md lists them
  std::string member = {};   // "a.pt!archive/data.pkl" of what lies in a container, else empty
  std::string opcode = {};   // of a pickle: "STACK_GLOBAL"
};

struct ModelScan {
  bool safe() const { return findings.empty(); }
  std::vector<ScanFinding> findings;
  std::uint64_t files = 0, bytes = 0;
  void add(ModelScan other);  // of more files of the same model
  Json to_json() const;
  sarif::Report to_sarif() const;
};

}  // namespace redoubt::model_scan
