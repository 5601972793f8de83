// SPDX-License-Identifier: Apache-2.0
#include "engine/evaluate/report.h"

#include <cmath>
#include <numbers>

namespace redoubt::engine::evaluate {
namespace {

struct Metric {
  const char* name;
  statistics::Statistic value;
};

std::string hex(std::uint64_t value) {
  std::string text(16, '0');
  for (auto digit = text.rbegin(); value > 0; ++digit, value >>= 4) *digit = "0123456789abcdef"[value & 15];
  return text;
}

// What metrics are computed from, by row, and the metrics.
struct Group {
  statistics::Sums sums;
  std::vector<Metric> metrics;
};

using Sums = std::span<const double>;

Group likelihoods(const std::vector<RowScore>& rows) {
  enum { kNats, kTokens, kCorrect, kWords, kBytes, kWidth };
  Group group{{.width = kWidth, .values = {}},
              {{"eval_loss", [](Sums s) { return s[kNats] / s[kTokens]; }},
               {"perplexity", [](Sums s) { return std::exp(s[kNats] / s[kTokens]); }},
               {"word_perplexity", [](Sums s) { return std::exp(s[kNats] / s[kWords]); }},
               {"byte_perplexity", [](Sums s) { return std::exp(s[kNats] / s[kBytes]); }},
               {"bits_per_byte", [](Sums s) { return s[kNats] / s[kBytes] / std::numbers::ln2; }},
               {"accuracy", [](Sums s) { return s[kCorrect] / s[kTokens]; }}}};
  for (const auto& [score, is_choice, right, by_characters, by_bytes] : rows) {
    for (const double value : {-score.log_likelihood, static_cast<double>(score.tokens), static_cast<double>(score.correct), static_cast<double>(score.words), static_cast<double>(score.bytes)})
      group.sums.values.push_back(value);
  }
  return group;
}

Group choices(const std::vector<RowScore>& rows) {
  enum { kRows, kRight, kByCharacters, kByBytes, kWidth };
  Group group{{.width = kWidth, .values = {}},
              {{"acc", [](Sums s) { return s[kRight] / s[kRows]; }},
               {"acc_norm", [](Sums s) { return s[kByCharacters] / s[kRows]; }},
               {"acc_bytes", [](Sums s) { return s[kByBytes] / s[kRows]; }}}};
  for (const auto& row : rows) {
    if (!row.is_choice) continue;
    for (const bool value : {true, row.right, row.right_by_characters, row.right_by_bytes}) group.sums.values.push_back(value ? 1 : 0);
  }
  return group;
}

Group generated(const std::vector<Generation>& generations) {
  enum { kRows, kExact, kRouge, kBleu };
  constexpr std::size_t kChrf = kBleu + std::tuple_size_v<metrics::BleuCounts>, kWidth = kChrf + std::tuple_size_v<metrics::ChrfCounts>;
  Group group{{.width = kWidth, .values = {}},
              {{"exact_match", [](Sums s) { return s[kExact] / s[kRows]; }},
               {"rouge_l", [](Sums s) { return s[kRouge] / s[kRows]; }},
               {"bleu", [](Sums s) { return metrics::bleu(s.subspan(kBleu)); }},
               {"chrf", [](Sums s) { return metrics::chrf(s.subspan(kChrf)); }}}};
  auto& values = group.sums.values;
  for (const auto& one : generations) {
    values.insert(values.end(), {1.0, one.exact_match ? 1.0 : 0.0, one.rouge_l});
    values.insert(values.end(), one.bleu.begin(), one.bleu.end());
    values.insert(values.end(), one.chrf.begin(), one.chrf.end());
  }
  return group;
}

void add(const Group& group, const statistics::BootstrapOptions& bootstrap, Json& result) {
  if (group.sums.examples() == 0) return;
  const auto total = group.sums.total();
  for (const auto& metric : group.metrics) {
    result[metric.name] = metric.value(total);
    if (bootstrap.resamples == 0) continue;
    const auto interval = statistics::bootstrap(group.sums, metric.value, bootstrap);
    result["intervals"][metric.name] = interval ? Json::array({interval->low, interval->high}) : Json(nullptr);
  }
}

}  // namespace

Json evaluation_json(const Measured& measured, const statistics::BootstrapOptions& bootstrap) {
  std::int64_t tokens = 0;
  for (const auto& row : measured.rows) tokens += row.score.tokens;
  const auto& counts = measured.data.pieces.counts();
  Json result = {{"examples", measured.rows.size()}, {"tokens", tokens}, {"truncated", counts.truncated}};
  if (counts.dropped > 0) result["dropped"] = counts.dropped;
  add(likelihoods(measured.rows), bootstrap, result);
  add(choices(measured.rows), bootstrap, result);
  if (!measured.generations.empty()) result["generated"] = measured.generations.size();
  add(generated(measured.generations), bootstrap, result);
  if (bootstrap.resamples > 0) result["bootstrap"] = {{"resamples", bootstrap.resamples}, {"confidence", bootstrap.confidence}, {"seed", bootstrap.seed}};
  return result;
}

std::string per_example_lines(const Measured& measured) {
  std::string lines;
  auto generation = measured.generations.begin();
  for (std::size_t i = 0; i < measured.rows.size(); ++i) {
    const auto& row = measured.data.rows[i];
    const auto& [score, is_choice, right, by_characters, by_bytes] = measured.rows[i];
    Json line = {{"index", i}, {"line", row.line}, {"example", hex(row.hash)}, {"tokens", score.tokens}, {"correct", score.correct},
                 {"log_likelihood", score.log_likelihood}};
    if (row.file) line["file"] = *row.file;
    if (is_choice) {
      line.update({{"acc", right ? 1 : 0}, {"acc_norm", by_characters ? 1 : 0}, {"acc_bytes", by_bytes ? 1 : 0}});
      for (const auto& piece : measured.pieces.subspan(row.first, row.pieces)) line["choices"].push_back(piece.log_likelihood);
    }
    if (generation != measured.generations.end() && generation->row == i) {
      line.update({{"exact_match", generation->exact_match ? 1 : 0}, {"rouge_l", generation->rouge_l}});
      ++generation;
    }
    lines += dump_json(line) + "\n";
  }
  return lines;
}

std::string generation_lines(const Measured& measured) {
  std::string lines;
  for (const auto& one : measured.generations) {
    const auto& row = measured.data.rows[one.row];
    Json line = {{"index", one.row}, {"line", row.line}, {"prompt", one.prompt}, {"expected", one.expected}, {"generated", one.generated},
                 {"exact_match", one.exact_match ? 1 : 0}, {"rouge_l", one.rouge_l}};
    if (row.file) line["file"] = *row.file;
    lines += dump_json(line) + "\n";
  }
  return lines;
}

}  // namespace redoubt::engine::evaluate
