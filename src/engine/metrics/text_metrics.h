// SPDX-License-Identifier: Apache-2.0
//
// How near a generated answer is to the one that was expected. BLEU and chrF are metrics of a corpus: each pair gives counts,
// the score is computed from their sums. Texts are UTF-8.
#pragma once

#include <array>
#include <span>
#include <string_view>

namespace redoubt::engine::metrics {

// Equal but for white space at the ends.
bool exact_match(std::string_view generated, std::string_view expected);

// The F measure (0 to 1) of the longest common subsequence of words, as the package rouge-score computes rougeL without stemming.
double rouge_l(std::string_view generated, std::string_view expected);

// BLEU (Papineni et al. 2002) as sacrebleu computes it by default: tokenizer 13a, orders 1 to 4, exponential smoothing.
// Lengths of both in words, then matches by order, then n-grams of the generated text by order.
using BleuCounts = std::array<double, 10>;
BleuCounts bleu_counts(std::string_view generated, std::string_view expected);
double bleu(std::span<const double> sums);  // 0 to 100

// chrF2 (Popovic 2015) as sacrebleu computes it by default: characters without white space, orders 1 to 6, beta 2.
// By order: n-grams of the generated text, of the expected one, and those they share.
using ChrfCounts = std::array<double, 18>;
ChrfCounts chrf_counts(std::string_view generated, std::string_view expected);
double chrf(std::span<const double> sums);  // 0 to 100

}  // namespace redoubt::engine::metrics
