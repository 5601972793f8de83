// SPDX-License-Identifier: Apache-2.0
#include "gateway/fair_queue.h"

#include <algorithm>
#include <tuple>

#include "base/check.h"

namespace redoubt::gateway {
namespace {
constexpr std::size_t kPayersMax = 4096;
}

bool FairQueue::holds_one_of(const std::string& payer) const {
  const auto found = payers_.find(payer);
  return found != payers_.end() && !found->second.waiting.empty();
}

std::vector<std::uint64_t> FairQueue::waiting() const {
  std::vector<std::uint64_t> all;
  for (const auto* payer : in_line_) all.insert(all.end(), payer->waiting.begin(), payer->waiting.end());
  return all;
}

// When those are forgotten who neither wait nor run, they count as never served.
void FairQueue::forget_idle() {
  std::erase_if(payers_, [](const auto& entry) { return entry.second.is_idle(); });
}

FairQueue::Payer& FairQueue::payer_of(const std::string& name) {
  if (payers_.size() >= kPayersMax && !payers_.contains(name)) forget_idle();
  return payers_[name];
}

void FairQueue::add(std::uint64_t id, const std::string& payer) {
  auto& own = payer_of(payer);
  if (own.waiting.empty()) in_line_.push_back(&own);
  own.waiting.push_back(id);
  ++size_;
}

void FairQueue::add_again(std::uint64_t id, const std::string& payer) {
  auto& own = payer_of(payer);
  if (own.waiting.empty()) in_line_.push_back(&own);
  own.waiting.push_front(id);
  ++size_;
}

// One of the payer's requests waits no longer.
void FairQueue::left(Payer& payer) {
  --size_;
  if (payer.waiting.empty()) std::erase(in_line_, &payer);
}

void FairQueue::remove(std::uint64_t id, const std::string& payer) {
  const auto found = payers_.find(payer);
  if (found == payers_.end() || std::erase(found->second.waiting, id) == 0) return;
  left(found->second);
}

std::uint64_t FairQueue::take() {
  CHECK(!in_line_.empty());
  const auto turn = [](const Payer* payer) { return std::tuple(payer->running, payer->served, payer->waiting.front()); };
  auto& next = **std::min_element(in_line_.begin(), in_line_.end(), [&](const auto* a, const auto* b) { return turn(a) < turn(b); });
  const auto id = next.waiting.front();
  next.waiting.pop_front();
  next.served = ++turns_;
  ++next.running;
  left(next);
  return id;
}

void FairQueue::end(const std::string& payer) {
  const auto found = payers_.find(payer);
  CHECK(found != payers_.end() && found->second.running > 0);
  --found->second.running;
}

std::optional<std::uint64_t> FairQueue::make_room(const std::string& payer) {
  if (in_line_.empty()) return std::nullopt;
  auto& most = **std::max_element(in_line_.begin(), in_line_.end(), [](const auto* a, const auto* b) { return a->waiting.size() < b->waiting.size(); });
  const auto found = payers_.find(payer);
  const std::size_t own = found == payers_.end() ? 0 : found->second.waiting.size();
  if (own + 1 >= most.waiting.size()) return std::nullopt;
  const auto id = most.waiting.back();
  most.waiting.pop_back();
  left(most);
  return id;
}

}  // namespace redoubt::gateway
