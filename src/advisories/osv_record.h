// SPDX-License-Identifier: Apache-2.0
//
// One record in the OSV schema (https://ossf.github.io/osv-schema/).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "advisories/advisory.h"

namespace redoubt::advisories {

inline constexpr std::size_t kRecordBytesMax = 64 << 20;

struct OsvRecord {
  TimePoint modified{};
  std::vector<Advisory> advisories;  // none where the record was withdrawn
};

// Keeps its memory from record to record; one a thread.
class OsvParser {
 public:
  OsvParser();
  ~OsvParser();
  // `text` may grow its capacity. invalid_argument for what is no record; members that stand twice are refused where they count.
  Result<OsvRecord> parse(std::string& text, const std::string& where);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace redoubt::advisories
