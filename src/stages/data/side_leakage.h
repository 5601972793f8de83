// SPDX-License-Identifier: Apache-2.0
//
// Whether the sides that one file was divided into hold nearly the same texts. They share no question by how they are divided; two
// questions may still be nearly one. A side that is held out is added row by row, then closed; rows of later sides are compared with all
// that were closed.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "stages/data/leakage.h"

namespace redoubt::stages::data {

class SideLeakage {
 public:
  static Result<std::unique_ptr<SideLeakage>> create(const Policy& policy, rows::Question question);

  enum class Later { compared, none };  // whether rows of later sides are compared with this one's
  // The rows that follow are of this side: "eval", "validation", "train".
  void begin_side(const std::string& side, const std::string& file, Later later);
  // Whether the row, a JSON line, is to be left out of its side. `line` is where it stands in the file. gate_refused for a leak that the policy
  // stops at.
  Result<bool> leaves_out(const std::string& text, std::uint64_t line);

  // {"<kind>": {"<side>": rows}, "dropped_rows": rows}
  Json to_json() const;

 private:
  SideLeakage(const Policy& policy);
  Policy policy_;  // the kinds that are looked for between sides alone
  std::unique_ptr<RowExaminer> examiner_;
  std::deque<HeldOut> held_out_;  // the sides that are compared with
  Later later_ = Later::none;
  std::string side_, file_;
  std::map<std::string, std::map<std::string, std::uint64_t>> counts_;
  std::uint64_t dropped_ = 0;
};

}  // namespace redoubt::stages::data
