// SPDX-License-Identifier: Apache-2.0
#include "provider/model_registry.h"

#include <array>

namespace redoubt::provider {
namespace {
constexpr std::array<const char*, 5> kVersionStates = {"PendingManualApproval", "Approved", "Rejected", "Revoked", "Deployed"};
}

const char* to_string(VersionState state) { return kVersionStates[static_cast<std::size_t>(state)]; }

Result<VersionState> parse_version_state(std::string_view text) {
  for (std::size_t i = 0; i < kVersionStates.size(); ++i) {
    if (text == kVersionStates[i]) return static_cast<VersionState>(i);
  }
  return fail(ErrorCode::invalid_argument, "not a state of a version: " + std::string(text));
}

}  // namespace redoubt::provider
