// SPDX-License-Identifier: Apache-2.0
#include "provider/model_registry.h"

#include <array>

namespace redoubt::provider {
namespace {
constexpr std::array<const char*, 5> kStates = {"PendingManualApproval", "Approved", "Rejected", "Revoked", "Deployed"};
}

const char* to_string(VersionState state) { return kStates[static_cast<std::size_t>(state)]; }

Result<VersionState> parse_version_state(std::string_view text) {
  for (std::size_t i = 0; i < kStates.size(); ++i) {
    if (text == kStates[i]) return static_cast<VersionState>(i);
  }
  return fail(ErrorCode::invalid_argument, "not a state of a version: " + std::string(text));
}

}  // namespace redoubt::provider
