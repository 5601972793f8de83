// SPDX-License-Identifier: Apache-2.0
//
// The engine's text metrics for tests in other languages. One JSON object a line on standard input, {"generated": [...],
// "expected": [...]}; a JSON object a line out: exact_match and rouge_l by pair, bleu and chrf of the corpus and by pair.
#include <iostream>

#include "base/json.h"
#include "engine/metrics/text_metrics.h"

using namespace redoubt;
using namespace redoubt::engine;

namespace {

template <class Counts>
void add(Counts& sums, const Counts& counts) {
  for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += counts[i];
}

Json score(const Json& task) {
  Json out = {{"exact_match", Json::array()}, {"rouge_l", Json::array()}, {"bleu_pairs", Json::array()}, {"chrf_pairs", Json::array()}};
  metrics::BleuCounts bleu{};
  metrics::ChrfCounts chrf{};
  for (std::size_t i = 0; i < task.at("generated").size(); ++i) {
    const auto generated = task["generated"][i].get<std::string>(), expected = task["expected"][i].get<std::string>();
    out["exact_match"].push_back(metrics::exact_match(generated, expected));
    out["rouge_l"].push_back(metrics::rouge_l(generated, expected));
    const auto bleu_counts = metrics::bleu_counts(generated, expected);
    const auto chrf_counts = metrics::chrf_counts(generated, expected);
    out["bleu_pairs"].push_back(metrics::bleu(bleu_counts));
    out["chrf_pairs"].push_back(metrics::chrf(chrf_counts));
    add(bleu, bleu_counts);
    add(chrf, chrf_counts);
  }
  out["bleu"] = metrics::bleu(bleu);
  out["chrf"] = metrics::chrf(chrf);
  return out;
}

}  // namespace

int main() {
  for (std::string line; std::getline(std::cin, line);) std::cout << score(Json::parse(line)).dump() << std::endl;
  return 0;
}
