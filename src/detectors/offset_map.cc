// SPDX-License-Identifier: Apache-2.0
#include "detectors/offset_map.h"

#include <algorithm>

namespace redoubt::detectors {

std::size_t OffsetMap::step_of(std::size_t decoded) const {
  const auto after = std::upper_bound(steps_.begin(), steps_.end(), decoded, [](std::size_t at, const Step& step) { return at < step.decoded; });
  return static_cast<std::size_t>(std::max<std::ptrdiff_t>(after - steps_.begin() - 1, 0));
}

std::size_t OffsetMap::raw(std::size_t decoded) const { return steps_.empty() ? decoded : steps_[step_of(decoded)].raw_of(decoded); }

OffsetMap OffsetMap::through(const OffsetMap& outer) const {
  if (outer.steps_.empty()) return *this;
  if (steps_.empty()) return outer;
  OffsetMap out;
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    const Step& step = steps_[i];
    const bool splits = !step.is_fixed && i + 1 < steps_.size();
    const std::size_t end = splits ? step.raw + (steps_[i + 1].decoded - step.decoded) : step.raw + 1;
    for (std::size_t at = step.raw, j = outer.step_of(at); at < end;) {
      const std::size_t decoded = step.decoded + (at - step.raw);
      const bool is_fixed = step.is_fixed || outer.steps_[j].is_fixed;
      out.add({decoded, outer.steps_[j].raw_of(at), is_fixed});
      at = j + 1 < outer.steps_.size() ? std::max(outer.steps_[++j].decoded, at + 1) : end;
    }
  }
  return out;
}

}  // namespace redoubt::detectors
