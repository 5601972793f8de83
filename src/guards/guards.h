// SPDX-License-Identifier: Apache-2.0
//
// The guards of an endpoint: what its requests may hold, and what its answers may tell.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "guards/text_filter.h"

namespace redoubt::guards {

// What is left of a JSON text.
struct Checked {
  std::string json = {};  // where it was changed
  bool changed = false;
  bool refused = false;
  std::vector<Hit> hits;
};

// Safe to use from several threads.
class Guards {
 public:
  // `rules`: of all packs; those of the program are added where the options want them. An id that stands twice is invalid_argument.
  static Result<std::unique_ptr<Guards>> create(const GuardOptions& options, std::vector<PatternRule> rules = {});

  // Every text within a request's body, which has parsed as JSON.
  Checked check_request(const std::string& json) const { return check(json, *input_, Looks::at_texts); }
  // The arguments of a call in an answer, which are JSON and stay it: a number that is taken out leaves a text. They are looked at as a
  // whole as well, since a member's name may say what its value is.
  Checked check_call(const std::string& json) const { return check(json, *output_, Looks::at_all); }
  // Of one answer.
  TextFilter answer() const { return TextFilter(*output_); }
  // Whether anything is taken out of answers or refused, so that they are held back; whether they are looked at at all.
  bool holds_answers() const { return output_->strongest() >= Action::redact; }
  bool looks_at_requests() const { return input_->strongest() > Action::ignore; }
  bool looks_at_answers() const { return output_->strongest() > Action::ignore; }
  // What is added to the system's message, and must not stand in an answer; empty: nothing.
  const std::string& marker() const { return marker_; }
  // What the model is to read requests for.
  const ReadingOptions& reading() const { return reading_; }
  std::int64_t answer_characters_max() const { return answer_characters_max_; }

 private:
  Guards() = default;
  enum class Looks { at_texts, at_all };
  static Checked check(const std::string& json, const Scanner& scanner, Looks looks);

  std::unique_ptr<Scanner> input_, output_;
  std::string marker_;
  ReadingOptions reading_;
  std::int64_t answer_characters_max_ = 0;
};

}  // namespace redoubt::guards
