// SPDX-License-Identifier: Apache-2.0
//
// Has the model itself read a prompt before it is answered, for the guards that need it (guards/reading.h): through the same workers and
// protocol, beside their slots. Without an answer in time a request is refused or let pass, as the guards' options choose; nothing is let pass
// by mistake.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "gateway/request_run.h"
#include "guards/guards.h"
#include "guards/reading.h"

namespace redoubt::gateway {

// What may become of a request that was looked at.
struct PromptVerdict {
  enum class May { pass, not_pass, not_be_read } may = May::pass;
  std::vector<guards::Hit> hits = {};
};

// Safe from several threads.
class PromptGuard {
 public:
  using Told = std::function<void(const PromptVerdict&)>;
  explicit PromptGuard(std::shared_ptr<const guards::Guards> guards) : guards_(std::move(guards)) {}

  // Whether there is anything to look for.
  bool looks() const { return guards_ != nullptr && guards_->reading().looks(); }
  // `told` is called once, from any thread, perhaps before this returns. The texts of an embedding are not looked at: nothing is generated from
  // them. `run` is where the request is being answered: when it is stopped reading ends too.
  void look(const std::shared_ptr<WorkerPool>& pool, const GenerateRequest& request, const std::shared_ptr<RequestRun>& run, Told told);

 private:
  class Model;
  class Reading;
  std::shared_ptr<Model> model_of(const std::shared_ptr<WorkerPool>& pool);

  const std::shared_ptr<const guards::Guards> guards_;
  std::mutex mutex_;
  std::map<const WorkerPool*, std::shared_ptr<Model>> models_;  // what is known of those that serve
};

}  // namespace redoubt::gateway
