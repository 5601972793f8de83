// SPDX-License-Identifier: Apache-2.0
//
// Files of pickles: one or several, the five of torch's old format with the tensors' bytes behind them, NumPy's arrays of objects.
#include <fmt/format.h>

#include "model_scan/byte_reader.h"
#include "model_scan/pickle_walk.h"
#include "model_scan/scan.h"

namespace redoubt::model_scan {
namespace {

constexpr std::uint64_t kPicklesMax = 100'000;

using Storages = std::map<std::string, std::uint64_t>;

class PickleFile {
 public:
  PickleFile(Scan& scan, const RandomAccess& object, const Place& place, Storages* storages) : scan_(scan), object_(object), place_(place), storages_(storages) {
    options_.has_storages = storages != nullptr;
    options_.found = [this](const PickleProblem& problem) { scan_.add(place_, "pickle", "pickle/" + problem.rule, problem.severity, problem.detail, problem.offset, problem.opcode); };
    options_.nested = [this](std::uint64_t begin, std::uint64_t bytes) -> Status {
      const Part part(object_, begin, bytes);
      return scan_.look(part, place_.inside(fmt::format("bytes-{}.pt", begin)));
    };
  }

  Status run() {
    if (object_.size() == 0) return refuse("malformed", "an empty file where a pickle should be", 0);
    PickleEnd end = TRY(walk_pickle(object_, 0, object_.size(), options_));
    if (storages_ != nullptr) storages_->insert(end.storages.begin(), end.storages.end());
    if (end.stopped && end.is_torch_magic) return run_torch(end.end);
    for (std::uint64_t count = 1; end.stopped && end.end < object_.size(); ++count) {
      if (count > kPicklesMax) return refuse("malformed", "more pickles in one file than any model needs", end.end);
      if (options_.has_storages) return refuse("trailing-data", "bytes stand behind the pickle", end.end);
      const std::uint64_t begin = end.end;
      const std::size_t before = scan_.findings();
      end = TRY(walk_pickle(object_, begin, object_.size(), options_));
      if (!end.stopped && scan_.findings() == before + 1) return refuse("trailing-data", "bytes that are no pickle stand behind the pickle", begin);
    }
    return {};
  }

 private:
  Status refuse(const char* rule, const char* detail, std::uint64_t offset) {
    scan_.add(place_, "pickle", std::string("pickle/") + rule, "high", detail, offset);
    return {};
  }

  // Behind the magic number: the protocol, facts about the machine, the object, the keys of its storages, and their bytes, each
  // with eight bytes of length before them.
  Status run_torch(std::uint64_t at) {
    Storages storages;
    for (int part = 0; part < 4; ++part) {
      options_.has_storages = part == 2;
      const PickleEnd end = TRY(walk_pickle(object_, at, object_.size(), options_));
      if (!end.stopped) return {};  // told
      if (part == 0 && end.integer != 1001) return refuse("malformed", "a protocol of torch.save that is not known", at);
      if (part == 2) storages = end.storages;
      at = end.end;
    }
    std::uint64_t expected = 0;
    for (const auto& [key, bytes] : storages) expected += bytes + 8;
    if (expected != object_.size() - at) return refuse("trailing-data", "the bytes behind the pickles are not those of its tensors", at);
    return {};
  }

  Scan& scan_;
  const RandomAccess& object_;
  const Place& place_;
  Storages* storages_;
  PickleOptions options_;
};

}  // namespace

Status Scan::look_at_pickle(const RandomAccess& object, const Place& place, std::map<std::string, std::uint64_t>* storages) { return PickleFile(*this, object, place, storages).run(); }

}  // namespace redoubt::model_scan
