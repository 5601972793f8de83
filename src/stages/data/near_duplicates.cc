// SPDX-License-Identifier: Apache-2.0
#include "stages/data/near_duplicates.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <thread>

namespace redoubt::stages::data {
namespace {

constexpr std::size_t kComparedMax = 64;  // texts of one bucket that another is compared with
constexpr std::uint32_t kNone = UINT32_MAX;
constexpr std::size_t kFewKeys = 10'000;  // that are sorted quicker by comparing them
using Keyed = std::pair<std::uint64_t, std::uint32_t>;

// Sorted by their keys, which are kBandValues bytes long; keys that are the same stay in their order. Two bytes at a time, the lowest
// first.
void sort(std::vector<Keyed>& keys) {
  if (keys.size() < kFewKeys) return std::sort(keys.begin(), keys.end());
  std::vector<Keyed> sorted(keys.size());
  std::vector<std::uint32_t> places(1 << 16);
  static_assert(kBandValues % 2 == 0);
  for (unsigned shift = 0; shift < 8 * kBandValues; shift += 16) {
    const auto digit = [shift](const Keyed& key) { return static_cast<std::uint16_t>(key.first >> shift); };
    std::fill(places.begin(), places.end(), 0);
    for (const auto& key : keys) ++places[digit(key)];
    std::exclusive_scan(places.begin(), places.end(), places.begin(), 0u);
    for (const auto& key : keys) sorted[places[digit(key)]++] = key;
    keys.swap(sorted);
  }
}

std::vector<Keyed> keyed(const std::vector<Sketch>& sketches, std::size_t band) {
  std::vector<Keyed> keys;
  keys.reserve(sketches.size());
  for (std::size_t i = 0; i < sketches.size(); ++i) {
    if (!sketches[i].is_none()) keys.emplace_back(sketches[i].band(band), static_cast<std::uint32_t>(i));
  }
  sort(keys);
  return keys;
}

// The texts of one bucket, in their order.
void compare(const std::vector<Sketch>& sketches, const Keyed* begin, const Keyed* end, double threshold, std::vector<std::uint32_t>& earliest) {
  std::array<std::uint32_t, kComparedMax> leaders{};
  std::size_t count = 0;
  for (const Keyed* at = begin; at != end; ++at) {
    const std::uint32_t text = at->second;
    const auto last = leaders.begin() + static_cast<std::ptrdiff_t>(count);
    const auto near = std::find_if(leaders.begin(), last, [&](std::uint32_t leader) { return sketches[text].similarity(sketches[leader]) >= threshold; });
    if (near != last) earliest[text] = std::min(earliest[text], *near);
    else if (count < kComparedMax) leaders[count++] = text;
  }
}

void compare_band(const std::vector<Sketch>& sketches, std::size_t band, double threshold, std::vector<std::uint32_t>& earliest) {
  const auto keys = keyed(sketches, band);
  const Keyed* const end = keys.data() + keys.size();
  for (const Keyed* at = keys.data(); at != end;) {
    const Keyed* after = at + 1;
    while (after != end && after->first == at->first) ++after;
    if (after - at > 1) compare(sketches, at, after, threshold, earliest);
    at = after;
  }
}

}  // namespace

Sketch Sketch::of(const MinHash& signature) {
  Sketch sketch;
  for (std::size_t i = 0; i < sketch.values.size(); ++i) sketch.values[i] = static_cast<std::uint8_t>(signature[i]);
  return sketch;
}

double Sketch::similarity(const Sketch& other) const {
  unsigned same = 0;
  for (std::size_t i = 0; i < values.size(); ++i) same += values[i] == other.values[i];
  constexpr double kByChance = 1.0 / 256;
  const double share = static_cast<double>(same) / static_cast<double>(values.size());
  return std::max(0.0, (share - kByChance) / (1 - kByChance));
}

std::uint64_t Sketch::band(std::size_t number) const {
  std::uint64_t key = 0;
  std::memcpy(&key, values.data() + number * kBandValues, kBandValues);
  return key;
}

bool Sketch::is_none() const {
  return std::all_of(values.begin(), values.end(), [](std::uint8_t value) { return value == 0; });
}

std::vector<std::optional<NearPair>> near_duplicates(const std::vector<Sketch>& sketches, double threshold, unsigned threads) {
  threads = std::clamp<unsigned>(sketches.size() < 10'000 ? 1 : threads, 1, kBands);
  std::vector<std::vector<std::uint32_t>> earliest(threads, std::vector<std::uint32_t>(sketches.size(), kNone));
  const auto work = [&](unsigned thread) {
    for (std::size_t band = thread; band < kBands; band += threads) compare_band(sketches, band, threshold, earliest[thread]);
  };
  std::vector<std::thread> others;
  for (unsigned thread = 1; thread < threads; ++thread) others.emplace_back(work, thread);
  work(0);
  for (auto& other : others) other.join();
  std::vector<std::optional<NearPair>> pairs(sketches.size());
  for (std::size_t i = 0; i < sketches.size(); ++i) {
    std::uint32_t first = kNone;
    for (const auto& found : earliest) first = std::min(first, found[i]);
    if (first != kNone) pairs[i] = NearPair{first, sketches[i].similarity(sketches[first])};
  }
  return pairs;
}

void NearIndex::add(const Sketch& sketch) { sketches_.push_back(sketch); }

void NearIndex::build() {
  for (std::size_t band = 0; band < kBands; ++band) bands_[band] = keyed(sketches_, band);
}

std::optional<NearPair> NearIndex::nearest(const Sketch& sketch, double threshold) const {
  std::optional<NearPair> best;
  if (sketch.is_none()) return best;
  for (std::size_t band = 0; band < kBands; ++band) {
    const std::uint64_t key = sketch.band(band);
    auto at = std::lower_bound(bands_[band].begin(), bands_[band].end(), Keyed{key, 0});
    for (std::size_t count = 0; at != bands_[band].end() && at->first == key && count < kComparedMax; ++at, ++count) {
      const double similarity = sketch.similarity(sketches_[at->second]);
      if (similarity >= threshold && (!best || similarity > best->similarity)) best = NearPair{at->second, similarity};
    }
  }
  return best;
}

}  // namespace redoubt::stages::data
