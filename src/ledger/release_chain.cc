// SPDX-License-Identifier: Apache-2.0
#include "ledger/release_chain.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

namespace redoubt::ledger {
namespace {

constexpr const char* kBuildSteps[] = {"acquire", "data", "image", "train", "evaluate"};

// What each step must have taken from an earlier one.
struct Link {
  const char* consumer;
  const char* input;
  const char* producer;
  const char* output;
};
constexpr Link kLinks[] = {
    {"train", "model", "acquire", "model"},  {"train", "data", "data", "train"},
    {"train", "image", "image", "image"},    {"evaluate", "model", "acquire", "model"},
    {"evaluate", "data", "data", "eval"},    {"evaluate", "image", "image", "image"},
};

std::string text_member(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

class Chain {
 public:
  Chain(const std::vector<ReleaseStep>& steps, const std::vector<ReleaseIdentity>& identities)
      : steps_(steps), identities_(identities) {}

  Problems check() {
    if (!find_register()) return std::move(problems_);
    find_builds();
    for (const auto& link : kLinks) check_link(link);
    check_trained();
    check_gate();
    check_reviews();
    check_deployments();
    check_leftovers();
    return std::move(problems_);
  }

 private:
  void add(const char* kind, std::string object, std::string detail) {
    problems_.push_back({kind, std::move(object), std::move(detail)});
  }

  bool find_register() {
    for (const auto& step : steps_) {
      if (step.record.step != "register") continue;
      if (registered_ != nullptr) add("chain", "register", "more than one version is registered in one release");
      registered_ = &step;
    }
    if (registered_ == nullptr) add("chain", "register", "the release has no register statement");
    return registered_ != nullptr;
  }

  // The statement that `step` names under "statement:<name>", if it is here, of that step, and older.
  const ReleaseStep* named_by(const ReleaseStep& step, const std::string& name) {
    const auto input = step.record.inputs.find("statement:" + name);
    if (input == step.record.inputs.end()) {
      add("chain", step.record.step, fmt::format("the statement does not name the one of the step '{}'", name));
      return nullptr;
    }
    const auto found =
        std::find_if(steps_.begin(), steps_.end(), [&](const ReleaseStep& each) { return each.statement == input->second; });
    if (found == steps_.end() || found->record.step != name) {
      add("chain", name, fmt::format("the statement that '{}' stands on is not in the release", step.record.step));
      return nullptr;
    }
    if (found->index >= step.index)
      add("order", step.record.step, fmt::format("stands in the ledger before '{}', which it names", name));
    used_.insert(&*found);
    return &*found;
  }

  void find_builds() {
    used_.insert(registered_);
    runners_.insert(registered_->record.identity);
    for (const char* name : kBuildSteps) {
      if (const auto* step = named_by(*registered_, name)) {
        builds_[name] = step;
        runners_.insert(step->record.identity);
      }
    }
  }

  void check_link(const Link& link) {
    const auto consumer = builds_.find(link.consumer), producer = builds_.find(link.producer);
    if (consumer == builds_.end() || producer == builds_.end()) return;  // named already
    const auto& inputs = consumer->second->record.inputs;
    const auto& outputs = producer->second->record.outputs;
    const auto input = inputs.find(link.input);
    const auto output = outputs.find(link.output);
    if (input == inputs.end() || output == outputs.end() || input->second != output->second) {
      add("chain", link.consumer,
          fmt::format("its input '{}' is not the output '{}' of the step '{}'", link.input, link.output, link.producer));
    }
    if (producer->second->index >= consumer->second->index) {
      add("order", link.consumer, fmt::format("stands in the ledger before '{}', whose output it used", link.producer));
    }
  }

  // The weights that were trained are those that were evaluated.
  void check_trained() {
    const auto train = builds_.find("train");
    if (train == builds_.end()) return;  // named already
    const auto weights = attest::trained_weights(train->second->record);
    check_link({"evaluate", weights.input, "train", weights.output});
  }

  void check_gate() {
    const auto evaluation = builds_.find("evaluate");
    if (evaluation == builds_.end()) return;
    const auto gate = text_member(evaluation->second->record.result, "gate");
    if (gate != "pass") add("gate", "evaluate", fmt::format("the gate did not pass: '{}'", gate));
  }

  bool may_review(const std::string& name) const {
    return std::any_of(identities_.begin(), identities_.end(), [&](const ReleaseIdentity& identity) {
      return identity.name == name && std::count(identity.roles.begin(), identity.roles.end(), kReviewerRole) > 0;
    });
  }

  void check_reviews() {
    const ReleaseStep* last = nullptr;
    for (const auto& step : steps_) {
      if (step.record.step != "review" || named_by(step, "register") != registered_) continue;
      used_.insert(&step);
      const auto& who = step.record.identity;
      if (!may_review(who)) add("review", "review", fmt::format("'{}' does not have the role '{}'", who, kReviewerRole));
      if (runners_.contains(who)) add("review", "review", fmt::format("'{}' ran the pipeline and may not review it", who));
      if (last == nullptr || step.index > last->index) last = &step;
    }
    if (last == nullptr) return add("review", "review", "nobody has reviewed this version");
    const auto decision = text_member(last->record.result, "decision");
    if (decision != "approve")
      add("review", "review", fmt::format("the last decision about this version is '{}'", decision));
  }

  void check_deployments() {
    for (const auto& step : steps_) {
      if (step.record.step != "deploy") continue;
      const auto* review = named_by(step, "review");
      if (review == nullptr) continue;
      used_.insert(&step);
      if (text_member(review->record.result, "decision") != "approve")
        add("review", "deploy", "deployed on a review that is no approval");
    }
  }

  void check_leftovers() {
    for (const auto& step : steps_) {
      if (!used_.contains(&step))
        add("chain", step.record.step, fmt::format("entry {} does not belong to this release", step.index));
      if (step.record.finished < step.record.started) add("order", step.record.step, "the step ended before it began");
    }
  }

  const std::vector<ReleaseStep>& steps_;
  const std::vector<ReleaseIdentity>& identities_;
  const ReleaseStep* registered_ = nullptr;
  std::map<std::string, const ReleaseStep*> builds_;
  std::set<const ReleaseStep*> used_;
  std::set<std::string> runners_;
  Problems problems_;
};

}  // namespace

Problems check_release_chain(const std::vector<ReleaseStep>& steps, const std::vector<ReleaseIdentity>& identities) {
  return Chain(steps, identities).check();
}

}  // namespace redoubt::ledger
