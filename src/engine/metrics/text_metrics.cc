// SPDX-License-Identifier: Apache-2.0
#include "engine/metrics/text_metrics.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "engine/metrics/text.h"

namespace redoubt::engine::metrics {
namespace {

constexpr std::size_t kBleuOrders = 4, kChrfOrders = 6;

using Counts = std::unordered_map<std::u32string, std::int64_t>;

double shared(const Counts& generated, const Counts& expected) {
  std::int64_t count = 0;
  for (const auto& [gram, times] : generated) {
    const auto found = expected.find(gram);
    if (found != expected.end()) count += std::min(times, found->second);
  }
  return static_cast<double>(count);
}

double grams(std::size_t length, std::size_t order) { return length < order ? 0 : static_cast<double>(length - order + 1); }

Counts word_grams(const std::vector<std::u32string>& words, std::size_t order) {
  Counts counts;
  for (std::size_t i = 0; i + order <= words.size(); ++i) {
    std::u32string gram = words[i];
    for (std::size_t k = 1; k < order; ++k) gram += U' ' + words[i + k];
    ++counts[gram];
  }
  return counts;
}

Counts character_grams(const std::u32string& text, std::size_t order) {
  Counts counts;
  for (std::size_t i = 0; i + order <= text.size(); ++i) ++counts[text.substr(i, order)];
  return counts;
}

std::u32string without_spaces(std::string_view utf8) {
  auto text = code_points(utf8);
  std::erase_if(text, is_space);
  return text;
}

std::u32string_view trimmed(std::u32string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

std::size_t common_subsequence(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  std::vector<std::size_t> above(b.size() + 1), row(b.size() + 1);
  for (const auto& word : a) {
    for (std::size_t j = 0; j < b.size(); ++j) row[j + 1] = word == b[j] ? above[j] + 1 : std::max(above[j + 1], row[j]);
    std::swap(above, row);
  }
  return above.back();
}

}  // namespace

bool exact_match(std::string_view generated, std::string_view expected) {
  const auto a = code_points(generated), b = code_points(expected);
  return trimmed(a) == trimmed(b);
}

double rouge_l(std::string_view generated, std::string_view expected) {
  const auto a = words_rouge(generated), b = words_rouge(expected);
  if (a.empty() || b.empty()) return 0;
  const auto length = static_cast<double>(common_subsequence(a, b));
  const double precision = length / static_cast<double>(a.size()), recall = length / static_cast<double>(b.size());
  return precision + recall > 0 ? 2 * precision * recall / (precision + recall) : 0;
}

BleuCounts bleu_counts(std::string_view generated, std::string_view expected) {
  const auto a = words_13a(generated), b = words_13a(expected);
  BleuCounts counts{static_cast<double>(a.size()), static_cast<double>(b.size())};
  for (std::size_t order = 1; order <= kBleuOrders; ++order) {
    counts[1 + order] = shared(word_grams(a, order), word_grams(b, order));
    counts[1 + kBleuOrders + order] = grams(a.size(), order);
  }
  return counts;
}

double bleu(std::span<const double> sums) {
  const auto matches = sums.subspan(2, kBleuOrders), all = sums.subspan(2 + kBleuOrders, kBleuOrders);
  if (std::all_of(matches.begin(), matches.end(), [](double count) { return count == 0; })) return 0;
  double logarithms = 0, halves = 1;
  for (std::size_t i = 0; i < kBleuOrders; ++i) {
    if (all[i] == 0) return 0;  // no text is long enough for this order
    if (matches[i] == 0) halves *= 2;
    logarithms += std::log(matches[i] == 0 ? 100 / (halves * all[i]) : 100 * matches[i] / all[i]);
  }
  const double brevity = sums[0] < sums[1] ? std::exp(1 - sums[1] / sums[0]) : 1;
  return brevity * std::exp(logarithms / kBleuOrders);
}

ChrfCounts chrf_counts(std::string_view generated, std::string_view expected) {
  const auto a = without_spaces(generated), b = without_spaces(expected);
  ChrfCounts counts{};
  for (std::size_t order = 1; order <= kChrfOrders; ++order) {
    const double theirs = grams(b.size(), order);
    counts[3 * order - 3] = theirs > 0 ? grams(a.size(), order) : 0;  // an order that the expected text lacks counts nowhere
    counts[3 * order - 2] = theirs;
    counts[3 * order - 1] = shared(character_grams(a, order), character_grams(b, order));
  }
  return counts;
}

double chrf(std::span<const double> sums) {
  double precision = 0, recall = 0, orders = 0;
  for (std::size_t i = 0; i < kChrfOrders; ++i) {
    const double ours = sums[3 * i], theirs = sums[3 * i + 1], both = sums[3 * i + 2];
    if (ours == 0 || theirs == 0) continue;
    precision += both / ours;
    recall += both / theirs;
    ++orders;
  }
  if (precision + recall == 0) return 0;
  precision /= orders;
  recall /= orders;
  constexpr double kBetaSquared = 4;
  return 100 * (1 + kBetaSquared) * precision * recall / (kBetaSquared * precision + recall);
}

}  // namespace redoubt::engine::metrics
