// SPDX-License-Identifier: Apache-2.0
#include "stages/data/side_leakage.h"

#include <fmt/format.h>

#include <set>

namespace redoubt::stages::data {
namespace {

constexpr std::string_view kNear = "LEAKED_NEAR_DUPLICATE", kRun = "LEAKED_NGRAM";

}  // namespace

// Rows of one file have phrases in common, so runs of words count only where the policy says what is done about them.
SideLeakage::SideLeakage(const Policy& policy) : policy_(policy) {
  const bool wants_runs = policy.actions.contains(kRun);
  policy_.word_lists.clear();
  policy_.languages.clear();
  for (const auto& kind : all_kinds()) {
    const std::string_view name = kind.name;
    policy_.actions[kind.name] = name == kNear || (name == kRun && wants_runs) ? policy.action_of(name) : Action::ignore;
  }
}

Result<std::unique_ptr<SideLeakage>> SideLeakage::create(const Policy& policy, rows::Question question) {
  std::unique_ptr<SideLeakage> made(new SideLeakage(policy));
  made->examiner_ = TRY(RowExaminer::create(made->policy_, question));
  return made;
}

void SideLeakage::begin_side(const std::string& side, const std::string& file, Later later) {
  if (later_ == Later::compared) held_out_.back().build();
  if (later == Later::compared) {
    held_out_.emplace_back(policy_);
    held_out_.back().name = fmt::format("{} ({})", file, side);
  }
  later_ = later;
  side_ = side;
  file_ = file;
}

Result<bool> SideLeakage::leaves_out(const std::string& text, std::uint64_t line) {
  RawRow raw;
  raw.line = line;
  raw.text = text;
  const auto row = examiner_->examine(raw, file_, RowExaminer::Want::findings);
  bool drops = false;
  std::set<std::string> kinds;  // once a row, though it leaks from two sides
  const std::size_t closed = held_out_.size() - (later_ == Later::compared ? 1 : 0);
  for (std::size_t i = 0; i < closed; ++i) {
    for (const auto& leak : held_out_[i].leaks(row, line)) {
      if (leak.action == Action::stop) {
        return fail(ErrorCode::gate_refused, fmt::format("the sides of the data are not apart: {}: {}", leak.kind, leak.detail), fmt::format("{}:{}", file_, line),
                    fmt::format("the row is of the side '{}'; mend or take away one of the two, or have data.policy drop such rows ({}: drop) or tell them (warn)", side_, leak.kind));
      }
      if (kinds.insert(leak.kind).second) ++counts_[leak.kind][side_];
      drops = drops || leak.action == Action::drop;
    }
  }
  dropped_ += drops;
  if (!drops && later_ == Later::compared) held_out_.back().add(row, line);
  return drops;
}

Json SideLeakage::to_json() const {
  Json json = counts_;
  if (json.is_null()) json = Json::object();
  json["dropped_rows"] = dropped_;
  return json;
}

}  // namespace redoubt::stages::data
