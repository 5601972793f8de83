// SPDX-License-Identifier: Apache-2.0
//
// A report as a page that a person reads: one HTML file, nothing to load, no script, readable without colours and by a screen reader.
#pragma once

#include <string>

#include "stages/data/report.h"

namespace redoubt::stages::data {

// Names of files are the only text that is not ours; they are escaped.
std::string report_page(const DataReport& report);

}  // namespace redoubt::stages::data
