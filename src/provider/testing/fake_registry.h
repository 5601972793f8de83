// SPDX-License-Identifier: Apache-2.0
//
// A ModelRegistry in memory.
#pragma once

#include <algorithm>

#include "provider/model_registry.h"

namespace redoubt::provider::testing {

class FakeModelRegistry final : public ModelRegistry {
 public:
  Result<std::uint64_t> entries_applied() override { return applied_; }

  Status apply(const std::vector<RegistryChange>& changes) override {
    FakeModelRegistry next = *this;
    for (const auto& change : changes) {
      if (change.ledger_index < next.applied_) continue;
      TRY(next.apply_one(change));
      next.applied_ = change.ledger_index + 1;
    }
    *this = std::move(next);
    return {};
  }

  Result<ModelVersion> get(std::string_view name, std::string_view version) override {
    const auto found = find(name, version);
    if (found != versions_.end()) return *found;
    return fail(ErrorCode::not_found, "no such version", std::string(name) + "/" + std::string(version));
  }

  Result<std::vector<ModelVersion>> list() override {
    auto versions = versions_;
    std::stable_sort(versions.begin(), versions.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    return versions;
  }

 private:
  std::vector<ModelVersion>::iterator find(std::string_view name, std::string_view version) {
    return std::find_if(versions_.begin(), versions_.end(), [&](const auto& v) { return v.name == name && v.version == version; });
  }
  Status apply_one(const RegistryChange& change) {
    for (const auto& version : change.added) {
      if (find(version.name, version.version) != versions_.end()) return fail(ErrorCode::already_exists, "the version is there", version.name);
      versions_.push_back(version);
    }
    for (const auto& state : change.states) {
      const auto found = find(state.name, state.version);
      if (found == versions_.end()) return fail(ErrorCode::not_found, "no such version", state.name);
      found->state = state.state;
      found->reason = state.reason;
    }
    return {};
  }

  std::uint64_t applied_ = 0;
  std::vector<ModelVersion> versions_;
};

}  // namespace redoubt::provider::testing
