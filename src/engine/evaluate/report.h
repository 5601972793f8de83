// SPDX-License-Identifier: Apache-2.0
//
// What an evaluation leaves behind: evaluation.json, per_example.jsonl, generations.jsonl. docs/evaluation.md describes the members.
#pragma once

#include <string>

#include "engine/evaluate/generations.h"
#include "statistics/bootstrap.h"

namespace redoubt::engine::evaluate {

struct Measured {
  const EvalData& data;
  std::span<const ExampleScore> pieces;
  std::vector<RowScore> rows;
  std::vector<Generation> generations;
};

// Every metric with, under "intervals", its percentile interval over resampled rows; no resamples, no intervals.
Json evaluation_json(const Measured& measured, const statistics::BootstrapOptions& bootstrap);
std::string per_example_lines(const Measured& measured);
std::string generation_lines(const Measured& measured);

}  // namespace redoubt::engine::evaluate
