// SPDX-License-Identifier: Apache-2.0
//
// A deployed image scanned again with today's advisories, each scan on record: what is grave now and was not when it was deployed raises an alarm.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cli/session.h"

namespace redoubt::cli {

struct Rescan {
  TimePoint when{};
  std::map<std::string, int> vulnerabilities;  // open ones by severity
  // Open findings that are critical or that the policy refuses for being exploited or likely to be, and high ones that the image did not have when it was built and admitted: the
  // value of CriticalVulnerabilities. What a document accepted until a day counts again from that day on.
  int grave = 0;
  std::vector<std::string> news;  // "<id> in <package>": what blocks, and was not in the scan before
};

// Scans and records it (ledger step "scan"). `options` as stages::image::to_json wrote them; errors of rescan_image.
Result<Rescan> rescan_deployed(Session& session, const std::string& environment, const Digest& image, const Json& options);
// When this image was scanned last in this environment; nothing before the first time.
Result<std::optional<TimePoint>> last_rescan(Session& session, const std::string& environment, const Digest& image);

}  // namespace redoubt::cli
