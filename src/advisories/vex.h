// SPDX-License-Identifier: Apache-2.0
//
// VEX documents: who looked at a finding and says why it may stay. OpenVEX 0.2 (status not_affected or fixed) and CycloneDX (analysis state
// not_affected, false_positive, resolved or resolved_with_pedigree).
#pragma once

#include "advisories/scan.h"

namespace redoubt::advisories {

struct VexSubject {
  std::string reference;         // of the image, as it was named
  std::optional<Digest> digest;  // of its manifest
};

// What a document accepts for this image. A statement without a reason is invalid_argument, and so is one without an end date: a day or a
// moment under "expires" or "valid_until" of the statement or the document (OpenVEX), or as a property of that name, with or without
// "redoubt:" before it (CycloneDX); else `until`. Statements about other images are left out; those of another status accept nothing.
Result<std::vector<AcceptedFinding>> read_vex(std::string_view text, const std::string& where, const VexSubject& subject, std::optional<TimePoint> until = {});

// "2026-12-31", which counts to its end, or RFC 3339 in UTC.
Result<TimePoint> parse_end_date(const std::string& text, const std::string& where);

}  // namespace redoubt::advisories
