// SPDX-License-Identifier: Apache-2.0
//
// Walks a pickle's program to its STOP with the stack and the memo of an unpickler, and without building or calling anything. What
// is wrong or asks for a name that is not on the list (safe_globals.h) is told to `found`, each name once.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>

#include "base/stream.h"

namespace redoubt::model_scan {

struct PickleProblem {
  std::string rule;      // "unsafe-global"
  std::string severity;  // "critical", "high", "medium"
  std::string detail;
  std::string opcode = {};
  std::uint64_t offset = 0;  // of the opcode, in the file
};

struct PickleOptions {
  bool has_storages = false;  // torch's files alone may leave their tensors' bytes beside the pickle
  std::function<void(PickleProblem)> found;
  // A string of bytes that will itself be loaded as a file of torch.save; errors end the walk.
  std::function<Status(std::uint64_t begin, std::uint64_t bytes)> nested;
};

struct PickleEnd {
  bool stopped = false;      // by STOP, with one object left; otherwise a problem was told
  std::uint64_t end = 0;     // behind the STOP, or where the walk broke off
  std::uint64_t opcodes = 0;
  bool is_torch_magic = false;           // the object is the number that torch's old format begins with
  std::optional<std::int64_t> integer = {};  // the object, where it is a small number
  std::map<std::string, std::uint64_t> storages = {};  // bytes of each tensor beside the pickle, by its key
  std::uint64_t calls = 0;
};

// From `begin` to at most `end`. Errors are those of reading `object` and of `nested`.
Result<PickleEnd> walk_pickle(const RandomAccess& object, std::uint64_t begin, std::uint64_t end, const PickleOptions& options);

}  // namespace redoubt::model_scan
