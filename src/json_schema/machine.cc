// SPDX-License-Identifier: Apache-2.0
#include "json_schema/machine.h"

#include <algorithm>
#include <set>

namespace redoubt::json_schema {
namespace {

constexpr std::uint32_t kRootFrame = 0;

std::uint64_t mixed(std::uint64_t hash, std::uint64_t value) {
  hash = (hash ^ value) * 0x9E3779B97F4A7C15u;
  return hash ^ hash >> 29;
}

}  // namespace

std::size_t Machine::FrameHash::operator()(const Frame& frame) const {
  return mixed(mixed(frame.caller, frame.back), std::uint64_t{frame.count} << 32 | frame.depth);
}

std::size_t Machine::NodeHash::operator()(const std::vector<Way>& ways) const {
  std::uint64_t hash = ways.size();
  for (const auto& way : ways) hash = mixed(hash, std::uint64_t{way.state} << 32 | way.frame);
  return hash;
}

Machine::Machine(std::shared_ptr<const Grammar> grammar, MachineLimits limits) : grammar_(std::move(grammar)), limits_(limits) {
  clear();
  start_ = settle({{grammar_->rule(grammar_->root()).start, kRootFrame}});
}

void Machine::clear() {
  frames_.clear(), frame_ids_.clear(), nodes_.clear(), tables_.clear(), situations_.clear();
  (void)frame_of({kRootFrame, 0, 0, 0});
  (void)intern({});  // kDead
  tables_[kDead].fill(kDead);
}

Machine::FrameId Machine::frame_of(const Frame& frame) {
  const auto [found, fresh] = frame_ids_.try_emplace(frame, static_cast<FrameId>(frames_.size()));
  if (fresh) frames_.push_back(frame);
  return found->second;
}

Machine::Situation Machine::intern(Node node) {
  auto [found, fresh] = situations_.try_emplace(node.ways, std::array<Situation, 2>{kUnknown, kUnknown});
  auto& number = found->second[node.accepts];
  if (number != kUnknown) return number;
  number = static_cast<Situation>(nodes_.size());
  nodes_.push_back(std::move(node));
  tables_.emplace_back().fill(kUnknown);
  return number;
}

// A state from which the rule can't be ended within the depth that is left is no way.
bool Machine::fits(StateId state, const Frame& frame) const {
  const auto height = grammar_->state(state).height;
  return height != kUnbounded && height <= grammar_->depth_max() - std::min(frame.depth, grammar_->depth_max());
}

// All that is reached without a byte.
void Machine::follow(const Way& way, std::vector<Way>& to) {
  const auto& state = grammar_->state(way.state);
  const Frame frame = frames_[way.frame];
  for (const auto& edge : state.free) {
    if (frame.count < edge.least || frame.count > edge.most || !fits(edge.to, frame)) continue;
    Frame counted = frame;
    if (edge.add > 0) counted.count = std::min(frame.count + edge.add, std::max(edge.cap, frame.count));
    to.push_back({edge.to, edge.add > 0 ? frame_of(counted) : way.frame});
  }
  for (const auto& edge : state.calls) {
    const Frame inner{way.frame, edge.to, 0, frame.depth + (edge.nesting == Nesting::deeper)};
    const auto start = grammar_->rule(edge.rule).start;
    if (inner.depth <= grammar_->depth_max() && fits(edge.to, frame) && fits(start, inner)) to.push_back({start, frame_of(inner)});
  }
  if (state.ends && way.frame != kRootFrame) to.push_back({frame.back, frame.caller});
}

Machine::Situation Machine::settle(std::vector<Way> pending) {
  Node node;
  std::set<Way> seen;
  while (!pending.empty()) {
    const auto way = pending.back();
    pending.pop_back();
    if (!seen.insert(way).second) continue;
    if (++work_ > limits_.work_max || seen.size() > 8 * limits_.ways_max || node.ways.size() > limits_.ways_max || nodes_.size() > limits_.situations_max) {
      exhausted_ = true;
      return kDead;
    }
    const auto& state = grammar_->state(way.state);
    if (!state.bytes.empty()) node.ways.push_back(way);
    if (state.ends && way.frame == kRootFrame) node.accepts = true;
    follow(way, pending);
  }
  if (node.ways.empty() && !node.accepts) return kDead;
  std::ranges::sort(node.ways);
  return intern(std::move(node));
}

Machine::Situation Machine::step(Situation from, std::uint8_t byte) {
  std::vector<Way> ways;
  for (const auto& way : nodes_[from].ways) {
    work_ += grammar_->state(way.state).bytes.size();
    for (const auto& edge : grammar_->state(way.state).bytes)
      if (edge.low <= byte && byte <= edge.high && fits(edge.to, frames_[way.frame])) ways.push_back({edge.to, way.frame});
  }
  const auto to = ways.empty() ? kDead : settle(std::move(ways));
  tables_[from][byte] = to;
  return to;
}

Machine::Situation Machine::forget_all_but(Situation kept) {
  const auto frames = std::move(frames_);
  const auto nodes = std::move(nodes_);
  const auto start = start_;
  clear();
  std::unordered_map<FrameId, FrameId> moved = {{kRootFrame, kRootFrame}};
  const auto move_frame = [&](FrameId id) {
    std::vector<FrameId> chain;
    for (auto at = id; !moved.contains(at); at = frames[at].caller) chain.push_back(at);
    for (; !chain.empty(); chain.pop_back()) {
      auto frame = frames[chain.back()];
      frame.caller = moved.at(frame.caller);
      moved[chain.back()] = frame_of(frame);
    }
    return moved.at(id);
  };
  const auto move_node = [&](Situation id) {
    Node node = nodes[id];
    for (auto& way : node.ways) way.frame = move_frame(way.frame);
    std::ranges::sort(node.ways);
    return intern(std::move(node));
  };
  start_ = move_node(start);
  return move_node(kept);
}

}  // namespace redoubt::json_schema
