// SPDX-License-Identifier: Apache-2.0
//
// Runs a step, or finds that it was run before. A step's input key is the hash of everything that decides its result; when
// the ledger holds a verified statement with that key and its outputs are still there, the step is not run again. This is
// how a killed run resumes and how an unchanged one takes seconds.
#pragma once

#include <functional>
#include <set>

#include "base/clock.h"
#include "crypto/sign.h"
#include "governance/chain.h"
#include "ledger/evidence.h"

namespace redoubt::governance {

// What decides a step's result.
struct StepPlan {
  std::map<std::string, Digest> inputs;
  Json parameters = Json::object();
};

// What a step's body answers.
struct StepProduct {
  std::map<std::string, Digest> outputs;
  Json result = Json::object();
};

class StepRecorder {
 public:
  struct Options {
    std::string identity;  // who runs the step
    std::function<void(const std::string& step)> on_step = {};  // told which step's body runs; empty: none
    // Told of outputs that were gone and were made again the same, for which no new statement is written.
    std::function<Status(const std::map<std::string, Digest>& outputs)> on_remade = {};
  };
  // Whether an output of an earlier run is still in its store. A store that does not say so is an error: nothing is run again for it.
  using StillThere = std::function<Result<bool>(const std::string& name, const Digest& digest)>;

  StepRecorder(ledger::EvidenceLog& evidence, crypto::SigningKey key, const Clock& clock, StillThere still_there, Options options)
      : evidence_(evidence), key_(std::move(key)), clock_(clock), still_there_(std::move(still_there)), options_(std::move(options)) {}

  const std::string& identity() const { return options_.identity; }
  static Digest input_key(std::string_view step, const StepPlan& plan);

  // Runs `body` unless an earlier statement answers for it.
  template <class Step>
  Result<Recorded<Step>> run(const StepPlan& plan, const std::function<Result<StepProduct>()>& body) {
    if (auto earlier = TRY(find(Step::kName, plan))) {
      return Recorded<Step>(std::move(earlier->first), earlier->second, true);
    }
    auto made = TRY(perform(Step::kName, plan, body));
    return Recorded<Step>(std::move(made.first), made.second, false);
  }

  // An earlier statement of this step with this plan, verified; nothing when there is none.
  template <class Step>
  Result<std::optional<Recorded<Step>>> earlier(const StepPlan& plan) {
    auto found = TRY(find(Step::kName, plan));
    if (!found) return std::optional<Recorded<Step>>();
    return std::optional(Recorded<Step>(std::move(found->first), found->second, true));
  }

  // Everybody who signed that statement or one that it stands on ("statement:..." inputs), as far as it goes back.
  Result<std::set<std::string>> who_ran(const Digest& statement);

  // The verified statement with that digest; not_found, or tampered when it is of another step.
  template <class Step>
  Result<Recorded<Step>> load(const Digest& statement) {
    auto record = TRY(read(Step::kName, statement));
    return Recorded<Step>(std::move(record), statement, true);
  }

 private:
  using Found = std::pair<attest::StepRecord, Digest>;
  Result<std::optional<Found>> find(const char* step, const StepPlan& plan);
  Result<Found> perform(const char* step, const StepPlan& plan, const std::function<Result<StepProduct>()>& body);
  Result<attest::StepRecord> read(const char* step, const Digest& statement);

  ledger::EvidenceLog& evidence_;
  crypto::SigningKey key_;
  const Clock& clock_;
  StillThere still_there_;
  Options options_;
};

}  // namespace redoubt::governance
