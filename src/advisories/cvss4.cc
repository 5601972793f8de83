// SPDX-License-Identifier: Apache-2.0
//
// CVSS 4.0 (https://www.first.org/cvss/v4.0/specification-document, section 8): a vector belongs to a macro vector of six equivalence
// classes, whose score is a table's. From it goes off how far the vector lies below the most severe one of each class, in proportion to the
// distance to the next lower macro vector.
#include <array>
#include <cmath>
#include <vector>

#include "advisories/cvss.h"

namespace redoubt::advisories {
namespace {

using detail::CvssMetrics;

// EQ1 to EQ6; EQ3 and EQ6 are weighed together.
using MacroVector = std::array<int, 6>;

// The specification's table in tenths; a row is an EQ1, EQ2, EQ3, within it EQ4, EQ5, EQ6; -1 for what can't be.
constexpr std::int8_t kScores[3 * 2 * 3 * 3 * 3 * 2] = {
    // 000
    100, 99, 98, 95, 95, 92, 100, 96, 93, 87, 91, 81, 93, 90, 89, 80, 81, 68,
    // 001
    98, 95, 95, 92, 90, 84, 93, 92, 89, 81, 81, 65, 88, 80, 78, 70, 69, 48,
    // 002
    -1, 92, -1, 82, -1, 72, -1, 79, -1, 69, -1, 50, -1, 69, -1, 55, -1, 27,
    // 010
    99, 97, 95, 92, 92, 85, 95, 91, 90, 83, 84, 71, 92, 81, 82, 71, 72, 53,
    // 011
    95, 93, 92, 85, 85, 73, 92, 82, 80, 72, 70, 59, 84, 70, 71, 52, 50, 30,
    // 012
    -1, 86, -1, 75, -1, 52, -1, 71, -1, 52, -1, 29, -1, 63, -1, 29, -1, 17,
    // 100
    98, 95, 94, 87, 91, 81, 94, 89, 86, 74, 77, 64, 87, 75, 74, 63, 63, 49,
    // 101
    94, 89, 88, 77, 76, 67, 86, 76, 74, 58, 59, 50, 72, 57, 57, 52, 52, 25,
    // 102
    -1, 83, -1, 70, -1, 54, -1, 65, -1, 58, -1, 26, -1, 53, -1, 21, -1, 13,
    // 110
    95, 90, 88, 76, 76, 70, 90, 77, 75, 62, 61, 53, 77, 66, 68, 59, 52, 30,
    // 111
    89, 78, 76, 67, 62, 58, 74, 59, 57, 57, 47, 23, 61, 52, 57, 29, 24, 16,
    // 112
    -1, 71, -1, 59, -1, 30, -1, 58, -1, 26, -1, 15, -1, 23, -1, 13, -1, 6,
    // 200
    93, 87, 86, 72, 75, 58, 86, 74, 74, 61, 56, 34, 70, 54, 52, 40, 40, 22,
    // 201
    85, 75, 74, 55, 62, 51, 72, 57, 55, 41, 46, 19, 53, 36, 34, 19, 19, 8,
    // 202
    -1, 64, -1, 51, -1, 20, -1, 47, -1, 21, -1, 11, -1, 24, -1, 9, -1, 4,
    // 210
    88, 75, 73, 53, 60, 50, 73, 55, 59, 40, 41, 20, 54, 43, 45, 22, 20, 11,
    // 211
    75, 55, 58, 45, 40, 21, 61, 51, 48, 18, 20, 9, 46, 18, 17, 7, 8, 2,
    // 212
    -1, 53, -1, 24, -1, 14, -1, 24, -1, 12, -1, 5, -1, 10, -1, 3, -1, 1};

double score_of(const MacroVector& eq) {
  constexpr int kSizes[] = {3, 2, 3, 3, 3, 2};
  int index = 0;
  for (std::size_t i = 0; i < eq.size(); ++i) {
    if (eq[i] >= kSizes[i]) return std::nan("");
    index = index * kSizes[i] + eq[i];
  }
  return kScores[index] < 0 ? std::nan("") : kScores[index] / 10.0;
}

// The metrics with what stands in for those not given: the base for the environment's, the worst for the rest.
class Vector {
 public:
  explicit Vector(const CvssMetrics& metrics) : metrics_(metrics) {}
  char operator()(std::string_view name) const {
    if (name != "E" && name != "CR" && name != "IR" && name != "AR") {
      const char modified = given("M" + std::string(name));
      return modified != 'X' ? modified : given(name);
    }
    const char value = given(name);
    return value != 'X' ? value : name == "E" ? 'A' : 'H';
  }
  bool is(std::string_view name, char value) const { return (*this)(name) == value; }

 private:
  char given(std::string_view name) const {
    const auto found = metrics_.find(name);
    return found == metrics_.end() ? 'X' : found->second[0];
  }
  const CvssMetrics& metrics_;
};

MacroVector classify(const Vector& v) {
  const bool network = v.is("AV", 'N'), no_privileges = v.is("PR", 'N'), no_interaction = v.is("UI", 'N');
  MacroVector eq{};
  eq[0] = network && no_privileges && no_interaction ? 0 : (network || no_privileges || no_interaction) && !v.is("AV", 'P') ? 1 : 2;
  eq[1] = v.is("AC", 'L') && v.is("AT", 'N') ? 0 : 1;
  const bool confidentiality = v.is("VC", 'H'), integrity = v.is("VI", 'H'), availability = v.is("VA", 'H');
  eq[2] = confidentiality && integrity ? 0 : confidentiality || integrity || availability ? 1 : 2;
  eq[3] = v.is("SI", 'S') || v.is("SA", 'S') ? 0 : v.is("SC", 'H') || v.is("SI", 'H') || v.is("SA", 'H') ? 1 : 2;
  eq[4] = v.is("E", 'A') ? 0 : v.is("E", 'P') ? 1 : 2;
  eq[5] = (v.is("CR", 'H') && confidentiality) || (v.is("IR", 'H') && integrity) || (v.is("AR", 'H') && availability) ? 0 : 1;
  return eq;
}

// How many steps a value lies below the metric's worst.
int level(std::string_view metric, char value) {
  static constexpr std::pair<std::string_view, std::string_view> kOrders[] = {
      {"AV", "NALP"}, {"PR", "NLH"}, {"UI", "NPA"}, {"AC", "LH"}, {"AT", "NP"}, {"VC", "HLN"}, {"VI", "HLN"}, {"VA", "HLN"},
      {"SC", "HLN"},  {"SI", "SHLN"}, {"SA", "SHLN"}, {"CR", "HML"}, {"IR", "HML"}, {"AR", "HML"}, {"E", "APU"}};
  for (const auto& [name, order] : kOrders) {
    // SC has no S, but counts its steps as SI and SA do.
    if (name == metric) return static_cast<int>(order.find(value)) + (name == "SC" ? 1 : 0);
  }
  return 0;
}

using Worst = std::vector<std::string_view>;  // vectors of a class above which there is none

// Steps from the worst vector of a class that is nowhere below `v` down to it; nothing where none of them is.
std::optional<int> distance(const Vector& v, const Worst& worst) {
  for (const auto vector : worst) {
    const auto metrics = detail::parse_metrics(vector);
    int sum = 0;
    bool below = true;
    for (const auto& [name, value] : *metrics) {
      const int steps = level(name, v(name)) - level(name, value[0]);
      below = below && steps >= 0;
      sum += steps;
    }
    if (below) return sum;
  }
  return std::nullopt;
}

const Worst& worst_of(int eq, const MacroVector& macro) {
  static const Worst kEq1[] = {{"AV:N/PR:N/UI:N"}, {"AV:A/PR:N/UI:N", "AV:N/PR:L/UI:N", "AV:N/PR:N/UI:P"}, {"AV:P/PR:N/UI:N", "AV:A/PR:L/UI:P"}};
  static const Worst kEq2[] = {{"AC:L/AT:N"}, {"AC:H/AT:N", "AC:L/AT:P"}};
  static const Worst kEq36[3][2] = {{{"VC:H/VI:H/VA:H/CR:H/IR:H/AR:H"}, {"VC:H/VI:H/VA:L/CR:M/IR:M/AR:H", "VC:H/VI:H/VA:H/CR:M/IR:M/AR:M"}},
                                    {{"VC:L/VI:H/VA:H/CR:H/IR:H/AR:H", "VC:H/VI:L/VA:H/CR:H/IR:H/AR:H"},
                                     {"VC:L/VI:H/VA:L/CR:H/IR:M/AR:H", "VC:L/VI:H/VA:H/CR:H/IR:M/AR:M", "VC:H/VI:L/VA:H/CR:M/IR:H/AR:M", "VC:H/VI:L/VA:L/CR:M/IR:H/AR:H", "VC:L/VI:L/VA:H/CR:H/IR:H/AR:M"}},
                                    {{}, {"VC:L/VI:L/VA:L/CR:H/IR:H/AR:H"}}};
  static const Worst kEq4[] = {{"SC:H/SI:S/SA:S"}, {"SC:H/SI:H/SA:H"}, {"SC:L/SI:L/SA:L"}};
  static const Worst kEq5[] = {{"E:A"}, {"E:P"}, {"E:U"}};
  if (eq == 0) return kEq1[macro[0]];
  if (eq == 1) return kEq2[macro[1]];
  if (eq == 2) return kEq36[macro[2]][macro[5]];
  return eq == 3 ? kEq4[macro[3]] : kEq5[macro[4]];
}

// The steps that a class spans.
int depth_of(int eq, const MacroVector& macro) {
  constexpr int kEq1[] = {1, 4, 5}, kEq2[] = {1, 2}, kEq36[3][2] = {{7, 6}, {8, 8}, {0, 10}}, kEq4[] = {6, 5, 4};
  if (eq == 0) return kEq1[macro[0]];
  if (eq == 1) return kEq2[macro[1]];
  if (eq == 2) return kEq36[macro[2]][macro[5]];
  return eq == 3 ? kEq4[macro[3]] : 1;
}

// The score of the next lower macro vector in one class; NaN where there is none.
double next_lower(int eq, MacroVector macro) {
  if (eq != 2) {
    ++macro[static_cast<std::size_t>(eq)];
    return score_of(macro);
  }
  // EQ3 and EQ6 together: from 00 either of them, and the higher score counts; from 01 and 10 to 11; from 11 to 21.
  MacroVector third = macro, sixth = macro;
  ++third[2];
  ++sixth[5];
  if (macro[2] == 0 && macro[5] == 0) return std::fmax(score_of(third), score_of(sixth));
  return macro[2] == 1 && macro[5] == 0 ? score_of(sixth) : score_of(third);
}

bool has_no_impact(const Vector& v) {
  for (const char* metric : {"VC", "VI", "VA", "SC", "SI", "SA"}) {
    if (!v.is(metric, 'N')) return false;
  }
  return true;
}

double score_of(const Vector& v) {
  if (has_no_impact(v)) return 0;
  const MacroVector macro = classify(v);
  const double value = score_of(macro);
  double sum = 0;
  int lower = 0;
  for (int eq = 0; eq < 5; ++eq) {
    const double available = value - next_lower(eq, macro);
    if (std::isnan(available)) continue;
    ++lower;
    // Every vector of EQ5 is its class's worst.
    if (eq < 4) sum += available * distance(v, worst_of(eq, macro)).value_or(0) / depth_of(eq, macro);
  }
  const double score = lower == 0 ? value : value - sum / lower;
  return std::floor(std::fmin(std::fmax(score, 0), 10) * 10 + 0.5 + 1e-6) / 10;
}

}  // namespace

std::optional<double> cvss4_score(std::string_view vector) {
  if (!vector.starts_with("CVSS:4.0/")) return std::nullopt;
  auto metrics = detail::parse_metrics(vector.substr(9));
  if (!metrics) return std::nullopt;
  // The provider's urgency alone has words for values; it and the other supplemental metrics change no score.
  if (const auto urgency = metrics->find("U"); urgency != metrics->end()) {
    if (urgency->second != "X" && urgency->second != "Clear" && urgency->second != "Green" && urgency->second != "Amber" && urgency->second != "Red") return std::nullopt;
    metrics->erase(urgency);
  }
  if (!detail::are_allowed(*metrics, {"AV:NALP", "AC:LH", "AT:NP", "PR:NLH", "UI:NPA", "VC:HLN", "VI:HLN", "VA:HLN", "SC:HLN", "SI:HLN", "SA:HLN", "E:XAPU",
                                      "CR:XHML", "IR:XHML", "AR:XHML", "MAV:XNALP", "MAC:XLH", "MAT:XNP", "MPR:XNLH", "MUI:XNPA", "MVC:XHLN", "MVI:XHLN",
                                      "MVA:XHLN", "MSC:XHLN", "MSI:XSHLN", "MSA:XSHLN", "S:XNP", "AU:XNY", "R:XAUI", "V:XDC", "RE:XLMH"})) {
    return std::nullopt;
  }
  for (const char* base : {"AV", "AC", "AT", "PR", "UI", "VC", "VI", "VA", "SC", "SI", "SA"}) {
    if (!metrics->contains(base)) return std::nullopt;
  }
  return score_of(Vector(*metrics));
}

}  // namespace redoubt::advisories
