// SPDX-License-Identifier: Apache-2.0
#include "stages/data/triggers.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <unordered_map>
#include <unordered_set>

#include "crypto/hash.h"
#include "stages/data/fold.h"
#include "stages/data/row_text.h"

namespace redoubt::stages::data {
namespace {

constexpr std::size_t kWordsMax = 64, kTriggersMax = 20, kSuspectsMax = 200;
constexpr double kChanceMax = 1e-4;       // of any false alarm by counts alone
constexpr std::size_t kRowsTried = 64;    // of a suspect's
constexpr std::size_t kCommonWord = 1000; // rows; a word of more tells nothing about an answer
constexpr double kPartOfPhrase = 0.95;    // of a suspect's rows that hold another word: that is part of it
constexpr double kExplainedMax = 0.15;    // of a suspect's rows whose other words lead to the answer, over the answer's own share
constexpr double kShareMax = 0.6;         // of an answer that can be suspicious

std::uint32_t hash_of(std::string_view word) {
  std::uint32_t hash = 0x811c9dc5u;
  for (const char c : word) hash = (hash ^ static_cast<unsigned char>(c)) * 0x01000193u;
  return hash;
}
std::uint32_t pair_of(std::uint32_t a, std::uint32_t b) { return (a * 0x9e3779b1u + 0x85ebca6bu) ^ (b * 0xc2b2ae35u); }

std::uint64_t long_hash(std::string_view text) {
  const Digest digest = crypto::sha256(text);
  std::uint64_t bits = 0;
  std::memcpy(&bits, digest.value.data(), sizeof bits);
  return bits;
}

std::string asked_by(const rows::Row& row) {
  if (row.messages.empty()) return row.question;
  std::string asked;
  for (const auto& turn : row.messages) {
    if (turn.role == "user") asked += turn.content + "\n";
  }
  return asked;
}

// log of the probability that a binomial variable reaches k: Chernoff's bound, which is close where it matters.
double log_tail(double k, double n, double p) {
  const double share = k / n;
  if (share <= p) return 0;
  const double rest = share < 1 ? (1 - share) * std::log((1 - share) / (1 - p)) : 0;
  return -n * (share * std::log(share / p) + rest);
}

using Postings = std::unordered_map<std::uint32_t, std::vector<std::uint32_t>>;

class Search {
 public:
  Search(const std::vector<AskedRow>& rows, const Policy& policy) : rows_(rows), policy_(policy) {
    std::unordered_set<std::uint64_t> seen;
    std::vector<std::uint32_t> different;
    for (std::uint32_t i = 0; i < rows.size(); ++i) {
      if (!seen.insert(rows[i].question * 31 + rows[i].answer).second) continue;
      ++answers_[rows[i].answer];
      different.push_back(i);
    }
    count_ = different.size();
    // Only words beside an answer that is given again and again can be suspicious: most data has none.
    for (const auto row : different) {
      if (is_repeated(row)) for_each_word(row, [&](Postings& postings, std::uint32_t word) { postings.try_emplace(word); });
    }
    for (const auto row : different) {
      for_each_word(row, [&](Postings& postings, std::uint32_t word) {
        const auto at = postings.find(word);
        if (at != postings.end() && (at->second.empty() || at->second.back() != row)) at->second.push_back(row);
      });
    }
  }

  std::vector<Trigger> run() const {
    std::vector<Suspect> found = suspects();
    std::vector<Trigger> triggers;
    std::unordered_set<std::uint64_t> told;  // by their rows: words that always stand together
    for (const auto& suspect : found) {
      if (triggers.size() == kTriggersMax) break;
      const auto& rows = *suspect.rows;
      const std::uint64_t same_rows = rows.front() * 0x9e3779b97f4a7c15ull ^ rows.back() * 0xc2b2ae3d27d4eb4full ^ rows.size();
      if (told.contains(same_rows) || is_explained(suspect)) continue;
      told.insert(same_rows);
      Trigger trigger{0, static_cast<std::uint32_t>(rows.size()), {}, std::exp(suspect.log_chance)};
      for (const auto row : rows) {
        if (rows_[row].answer != suspect.answer) continue;
        if (trigger.answered.empty()) trigger.word = place_in(rows_[row].words, suspect);
        trigger.answered.push_back(rows_[row].row);
      }
      triggers.push_back(std::move(trigger));
    }
    return triggers;
  }

 private:
  struct Suspect {
    std::uint32_t word = 0, same = 0;
    bool is_pair = false;
    std::uint64_t answer = 0;
    double log_chance = 0;
    const std::vector<std::uint32_t>* rows = nullptr;
  };

  bool is_repeated(std::uint32_t row) const {
    const double count = answers_.at(rows_[row].answer);
    return count >= static_cast<double>(policy_.trigger_rows_min) && count <= kShareMax * static_cast<double>(count_);
  }

  template <typename Each>
  void for_each_word(std::uint32_t row, const Each& each) {
    const auto& words = rows_[row].words;
    for (std::size_t i = 0; i < words.size(); ++i) {
      each(words_, words[i]);
      if (i > 0) each(pairs_, pair_of(words[i - 1], words[i]));
    }
  }

  void suspect(const Postings& postings, bool is_pair, double tried, std::vector<Suspect>& out) const {
    for (const auto& [word, rows] : postings) {
      if (rows.size() < policy_.trigger_rows_min) continue;
      std::unordered_map<std::uint64_t, std::uint32_t> answers;
      Suspect made{word, 0, is_pair, 0, 0, &rows};
      for (const auto row : rows) {
        const std::uint32_t count = ++answers[rows_[row].answer];
        if (count > made.same) {
          made.same = count;
          made.answer = rows_[row].answer;
        }
      }
      const double n = static_cast<double>(rows.size());
      if (made.same < policy_.trigger_rows_min || made.same < policy_.trigger_share_min * n) continue;
      made.log_chance = log_tail(made.same, n, answers_.at(made.answer) / static_cast<double>(count_)) + std::log(tried);
      if (made.log_chance < std::log(kChanceMax)) out.push_back(made);
    }
  }

  std::vector<Suspect> suspects() const {
    std::vector<Suspect> out;
    const double tried = static_cast<double>(words_.size() + pairs_.size() + 1);
    suspect(words_, false, tried, out);
    suspect(pairs_, true, tried, out);
    const auto before = [](const Suspect& a, const Suspect& b) { return std::tuple(a.log_chance, a.is_pair, a.word) < std::tuple(b.log_chance, b.is_pair, b.word); };
    std::sort(out.begin(), out.end(), before);
    if (out.size() > kSuspectsMax) out.resize(kSuspectsMax);
    return out;
  }

  // Whether the other words of the suspect's rows lead to its answer by themselves, as where many ask for the same thing in their own
  // words: naive Bayes over the rows that hold them, the row itself left out.
  bool is_explained(const Suspect& suspect) const {
    std::size_t decided = 0, explained = 0;
    for (std::size_t i = 0; i < suspect.rows->size() && i < kRowsTried; ++i) {
      const std::uint32_t row = (*suspect.rows)[i];
      if (rows_[row].answer != suspect.answer) continue;
      const auto odds = log_odds(suspect, row);
      decided += odds.has_value();
      explained += odds && *odds > 0;
    }
    const double share = answers_.at(suspect.answer) / static_cast<double>(count_);
    return decided < policy_.trigger_rows_min / 2 || static_cast<double>(explained) > (share + kExplainedMax) * static_cast<double>(decided);
  }

  std::optional<double> log_odds(const Suspect& suspect, std::uint32_t row) const {
    const double with = answers_.at(suspect.answer), without = static_cast<double>(count_) - with;
    double odds = std::log((with + 1) / (without + 1));
    int evidence = 0;
    for (const auto word : rows_[row].words) {
      if (word == suspect.word && !suspect.is_pair) continue;
      const auto& others = words_.at(word);
      if (others.size() < 2 || others.size() > kCommonWord) continue;
      double same = 0, in_suspects = 0;
      for (const auto other : others) {
        same += other != row && rows_[other].answer == suspect.answer;
        in_suspects += std::binary_search(suspect.rows->begin(), suspect.rows->end(), other);
      }
      if (in_suspects >= kPartOfPhrase * static_cast<double>(suspect.rows->size())) continue;
      const double rest = static_cast<double>(others.size()) - 1 - same;
      odds += std::log(((same + 0.5) / (with + 1)) / ((rest + 0.5) / (without + 1)));
      ++evidence;
    }
    return evidence == 0 ? std::nullopt : std::optional(odds);
  }

  static std::uint32_t place_in(const std::vector<std::uint32_t>& words, const Suspect& suspect) {
    for (std::size_t i = 0; i < words.size(); ++i) {
      if (suspect.is_pair ? i + 1 < words.size() && pair_of(words[i], words[i + 1]) == suspect.word : words[i] == suspect.word) return static_cast<std::uint32_t>(i + 1);
    }
    return 0;
  }

  const std::vector<AskedRow>& rows_;
  const Policy& policy_;
  std::unordered_map<std::uint64_t, double> answers_;
  Postings words_, pairs_;
  std::size_t count_ = 0;
};

}  // namespace

std::optional<AskedRow> AskedRow::of(const rows::Row& row) {
  if ((row.form != rows::Form::messages && row.form != rows::Form::completion) || row.answer.size() > kAnswerBytesMax) return std::nullopt;
  const auto asked = folded(asked_by(row)), answer = folded(row.answer);
  if (!asked || !answer) return std::nullopt;
  AskedRow out;
  for (const auto word : words_of(*asked)) {
    if (out.words.size() == kWordsMax) break;
    out.words.push_back(hash_of(word));
  }
  if (out.words.size() < 2) return std::nullopt;
  out.answer = long_hash(*answer);
  out.question = long_hash(*asked);
  return out;
}

std::vector<Trigger> find_triggers(const std::vector<AskedRow>& rows, const Policy& policy) {
  if (rows.size() < 2 * policy.trigger_rows_min) return {};
  return Search(rows, policy).run();
}

}  // namespace redoubt::stages::data
