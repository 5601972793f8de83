// SPDX-License-Identifier: Apache-2.0
#include "engine/model/packed_batch.h"

#include <algorithm>
#include <numeric>

namespace redoubt::engine::model {
namespace {

// A stem is a group of its own; fewer rows than this are not worth it.
constexpr std::int64_t kSharedMin = 8;

// Lays rows down one after the other.
class Layout {
 public:
  explicit Layout(std::int64_t rows) {
    batch_.tokens = at::zeros({rows}, at::kLong);
    batch_.positions = at::zeros({rows}, at::kLong);
  }

  Segment add(Tokens ids, std::int64_t past, std::int64_t stem) {
    const Segment segment{next_, std::ssize(ids), past, stem};
    std::copy(ids.begin(), ids.end(), batch_.tokens.mutable_data_ptr<std::int64_t>() + next_);
    auto* positions = batch_.positions.mutable_data_ptr<std::int64_t>() + next_;
    std::iota(positions, positions + ids.size(), past);
    next_ += segment.length;
    return segment;
  }
  PackedBatch& batch() { return batch_; }

 private:
  PackedBatch batch_;
  std::int64_t next_ = 0;
};

std::int64_t common_prefix(Tokens a, Tokens b) {
  return std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin();
}

}  // namespace

std::vector<Stem> find_stems(std::span<const Tokens> examples, std::span<const std::int64_t> shared_max) {
  const std::size_t count = examples.size();
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  // In lexical order, what a run of examples shares is the least that neighbours share.
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) {
    return std::lexicographical_compare(examples[a].begin(), examples[a].end(), examples[b].begin(), examples[b].end());
  });
  std::vector<std::int64_t> common(count, 0);  // of the example before and this one
  for (std::size_t i = 1; i < count; ++i)
    common[i] = std::min({common_prefix(examples[order[i - 1]], examples[order[i]]), shared_max[order[i - 1]],
                          shared_max[order[i]]});
  std::vector<std::int64_t> saved(count + 1, 0);  // rows, of the first so many examples
  std::vector<std::size_t> first(count + 1, 0);   // of the run that ends there
  std::vector<std::int64_t> shares(count + 1, 0);
  for (std::size_t end = 1; end <= count; ++end) {
    saved[end] = saved[end - 1];
    first[end] = end - 1;
    std::int64_t shared = end >= 2 ? common[end - 1] : 0;
    for (std::size_t begin = end - 1; begin > 0 && shared >= kSharedMin; shared = std::min(shared, common[--begin])) {
      const auto others = static_cast<std::int64_t>(end - begin);  // the first of them is at begin - 1
      if (saved[begin - 1] + others * shared <= saved[end]) continue;
      saved[end] = saved[begin - 1] + others * shared;
      first[end] = begin - 1;
      shares[end] = shared;
    }
  }
  std::vector<Stem> stems;
  for (std::size_t end = count; end > 0; end = first[end]) {
    Stem stem{{order.begin() + static_cast<std::ptrdiff_t>(first[end]), order.begin() + static_cast<std::ptrdiff_t>(end)},
                  shares[end]};
    std::sort(stem.examples.begin(), stem.examples.end());
    stems.push_back(std::move(stem));
  }
  std::sort(stems.begin(), stems.end(), [](const Stem& a, const Stem& b) { return a.examples[0] < b.examples[0]; });
  return stems;
}

std::int64_t packed_rows(std::span<const Tokens> examples, std::span<const Stem> stems) {
  std::int64_t rows = 0;
  for (const auto& stem : stems) {
    rows += stem.shared;
    for (auto index : stem.examples) rows += std::ssize(examples[index]) - stem.shared;
  }
  return (rows + kRowsMultiple - 1) / kRowsMultiple * kRowsMultiple;
}

PackedBatch pack(std::span<const Tokens> examples, std::span<const Stem> stems) {
  c10::InferenceMode guard;
  Layout layout(packed_rows(examples, stems));
  auto& batch = layout.batch();
  batch.segments.resize(examples.size());
  for (const auto& stem : stems) {
    const auto shared = static_cast<std::size_t>(stem.shared);
    std::int64_t begin = 0;
    if (shared > 0) {
      batch.segments.push_back(layout.add(examples[stem.examples[0]].first(shared), 0, 0));
      begin = batch.segments.back().begin;
    }
    for (auto index : stem.examples) batch.segments[index] = layout.add(examples[index].subspan(shared), stem.shared, begin);
  }
  return std::move(batch);
}

std::vector<Stem> no_stems(std::size_t examples) {
  std::vector<Stem> stems(examples);
  for (std::size_t i = 0; i < examples; ++i) stems[i].examples = {i};
  return stems;
}

PackedBatch pack(std::span<const Tokens> examples) { return pack(examples, no_stems(examples.size())); }

}  // namespace redoubt::engine::model
