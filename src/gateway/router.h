// SPDX-License-Identifier: Apache-2.0
//
// Which release answers: one that is active, one step back that stays warm, and a candidate that may be tried beside the active one with
// a share of the requests or with copies of them. Each switch is atomic for new requests; those under way finish where they are.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "gateway/release_meter.h"
#include "gateway/worker.h"

namespace redoubt::gateway {

struct Release {
  std::string name;     // the model's name in the registry, as clients name it
  std::string version;  // "3"
  TimePoint since{};
  std::shared_ptr<WorkerPool> pool;
  std::vector<std::string> control_tokens = {};  // texts that the tokenizer reads as control tokens; no message may hold one
  std::string content = {};                      // what its workers run and how: equal texts are the same workers
  std::shared_ptr<ReleaseMeter> meter = std::make_shared<ReleaseMeter>();

  bool answers_to(const std::string& model) const;  // its own names; "" too
};

// How a candidate sees requests: it answers a share of them, or gets copies of that share whose answers nobody is given.
enum class Trial { share, shadow };

class Router {
 public:
  ~Router();
  // New requests go to `release` from now on, once its pool has a ready worker (unavailable if it has none); the active
  // release becomes the previous one and stays warm, the one before that and a candidate finish their requests and end.
  Status activate(Release release);
  // Back to the previous release; the one left becomes previous. not_found when there is none.
  Result<std::string> roll_back();
  // Nothing is served any more, and there is nothing to go back to; requests under way still end.
  void withdraw();

  // `percent` of the requests, in a steady mixture, from now on. unavailable when it has no ready worker, not_found when none is active,
  // already_exists when another is tried.
  Status begin_trial(Release candidate, Trial trial, int percent);
  void set_share(int percent);
  // The candidate becomes the active release, and the active one the previous. not_found without a candidate.
  Status promote();
  // No new request goes to the candidate once this returns. False when there is none.
  bool end_trial();

  struct Choice {
    std::shared_ptr<const Release> release;   // null before the first activate
    std::shared_ptr<const Release> fallback;  // of a candidate's request: who answers when it can't
    std::shared_ptr<const Release> shadow;    // who gets a copy
  };
  // For a request that names this model ("" is any). A version that is named is that version, an adapter goes where it is.
  Choice choose(const std::string& model);

  std::shared_ptr<const Release> active() const;
  std::shared_ptr<const Release> previous() const;
  std::shared_ptr<const Release> candidate() const;

 private:
  void retire(std::shared_ptr<const Release> release);

  mutable std::mutex mutex_;
  std::shared_ptr<const Release> active_, previous_, candidate_;
  Trial trial_ = Trial::share;
  int percent_ = 0, owed_ = 0;  // owed_: hundredths of a request that the candidate still has to get
  std::vector<std::thread> retiring_;
};

}  // namespace redoubt::gateway
