// SPDX-License-Identifier: Apache-2.0
#include "governance/job_outcome.h"

#include <fmt/format.h>

#include "base/log.h"

namespace redoubt::governance {
namespace {

constexpr std::size_t kLastLines = 10;

}  // namespace

Status ProgressHandler::on_event(const Json& event) {
  const std::string kind = json_or(event, "event", "");
  if (kind == "plan") {
    progress_.end();
    progress_.begin(label_, json_or(event, "steps", std::int64_t{0}), "steps");
  } else if (kind == "step") {
    remark_ = fmt::format("loss {:.3f}  {:.0f} tokens/s", json_or(event, "loss", 0.0), json_or(event, "tokens_per_second", 0.0));
    progress_.update(json_or(event, "step", std::int64_t{0}), remark_);
  } else if (kind == "epoch") {
    spdlog::info("{}: epoch {} validation loss {:.4f}{}", label_, json_or(event, "epoch", std::int64_t{0}), json_or(event, "eval_loss", 0.0),
                 json_or(event, "best", false) ? " (best so far)" : "");
  } else if (kind == "truncated") {
    spdlog::warn("{}: {} of {} examples are longer than {} tokens and were cut off there; raise max_length to keep them whole", label_,
                 json_or(event, "truncated", std::int64_t{0}), json_or(event, "examples", std::int64_t{0}), json_or(event, "max_length", std::int64_t{0}));
  } else if (kind == "progress") {
    const std::string stretch = label_ + ": " + json_or(event, "label", "");
    if (stretch != stretch_) {
      progress_.end();
      progress_.begin(stretch_ = stretch, json_or(event, "total", std::int64_t{0}), "examples");
    }
    progress_.update(json_or(event, "done", std::int64_t{0}));
  } else if (kind == "result") {
    result_ = event;
    result_.erase("event");
  }
  return {};
}

Status ProgressHandler::on_log(std::string_view line) {
  spdlog::debug("engine: {}", line);
  last_lines_.emplace_back(line);
  if (last_lines_.size() > kLastLines) last_lines_.pop_front();
  return {};
}

Status ProgressHandler::on_state(std::string_view state) {
  progress_.end();
  progress_.begin(fmt::format("{}: {}", label_, state), 0, "");
  return {};
}

Status check_job(const provider::JobResult& result, const std::string& what, const ProgressHandler& handler) {
  if (result.exit_code == 0) return {};
  for (const auto& line : handler.last_lines()) spdlog::warn("{}, of its log's last lines: {}", what, line);
  const std::string why = result.failure.empty() ? fmt::format("exit status {}", result.exit_code) : result.failure;
  if (result.exit_code == 2) return fail(ErrorCode::invalid_argument, fmt::format("{} refused its input: {}", what, why), result.where);
  if (result.exit_code > 128) {
    return fail(ErrorCode::limit_exceeded, fmt::format("{} was ended: {}", what, why), result.where,
                "run the command again: it goes on from the last checkpoint; give it more memory or time if it was ended by a limit");
  }
  return fail(ErrorCode::unavailable, fmt::format("{} failed: {}", what, why), result.where, "run the command again with --verbose for the engine's log");
}

}  // namespace redoubt::governance
