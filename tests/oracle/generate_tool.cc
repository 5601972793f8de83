// SPDX-License-Identifier: Apache-2.0
//
// The engine's sampling for tests in other languages. One JSON object a line on standard input, one JSON value a line out:
// {"logits", "prompt", "answer", "options"} answers the ids that the next token is drawn from and their probabilities.
#include <iostream>
#include <numeric>

#include "base/json.h"
#include "engine/generate/request_fields.h"

using namespace redoubt;
using namespace redoubt::engine;

namespace {

Result<Json> distribution(const Json& task) {
  const auto logits = task.at("logits").get<std::vector<float>>();
  const auto options = TRY(generate::read_options(TRY(generate::request_values(task.at("options"))))).sampling;
  TRY(generate::check_sampling(options, std::ssize(logits)));
  generate::Sampler sampler(options, task.at("prompt").get<std::vector<std::int32_t>>());
  for (const auto& token : task.at("answer")) sampler.note(token);
  const auto candidates = TRY(sampler.candidates(logits));
  const double total = std::accumulate(candidates.begin(), candidates.end(), 0.0, [](double sum, const auto& one) { return sum + one.weight; });
  Json ids = Json::array(), probabilities = Json::array();
  for (const auto& one : candidates) ids.push_back(one.id), probabilities.push_back(one.weight / total);
  return Json{{"ids", ids}, {"probabilities", probabilities}};
}

}  // namespace

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    const auto result = distribution(Json::parse(line));
    if (!result) return std::cerr << result.error().message << "\n", 1;
    std::cout << result->dump() << std::endl;
  }
  return 0;
}
