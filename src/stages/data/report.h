// SPDX-License-Identifier: Apache-2.0
//
// What a check of data found. Never holds text of the data.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "detectors/kinds.h"
#include "sarif/sarif.h"

namespace redoubt::stages::data {
using namespace detectors;

struct Finding {
  std::string kind;  // of kinds.h, of a word list, or MORE_FINDINGS
  Action action = Action::stop;
  std::string file;
  // From 1; 0 where it is the whole file or line. A column counts bytes of the line as it stands in the file: of a text that was
  // written with escapes it is where the first of the characters that were matched is written.
  std::uint64_t line = 0, column = 0;
  std::string detail;  // no text of the data
};
// "error" for what refuses the file, else "warning".
const char* severity_of(const Finding& finding);

struct CheckedFile {
  std::string name;
  std::uint64_t rows = 0, bytes_read = 0, bytes_total = 0;
};

struct DataReport {
  std::uint64_t rows = 0;
  std::vector<CheckedFile> files;
  std::vector<Finding> findings;                // by file and place, at most 10,000; the last says so when there were more
  std::map<std::string, std::uint64_t> counts;  // of all findings by kind, listed or not
  std::uint64_t dropped_rows = 0;               // rows that the policy leaves out
  std::map<std::string, std::uint64_t> redacted, dropped;  // findings by kind whose action is that
  std::map<std::string, std::uint64_t> languages;          // rows by language, where the policy expects some and it could be told
  std::uint64_t bytes_read = 0, bytes_total = 0;  // equal, or the report is worth nothing
  Json policy;

  const std::map<std::string, std::uint64_t>& by_kind() const { return counts; }
  // The first finding that refuses the files.
  const Finding* first_blocking() const;
  Json to_json() const;
  // The listed findings. SARIF's columns count code points, so ours stand among the properties.
  sarif::Report to_sarif() const;
};

}  // namespace redoubt::stages::data
