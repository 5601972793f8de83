// SPDX-License-Identifier: Apache-2.0
//
// POST /api/models/OWNER/NAME/commit/REV: what huggingface_hub's create_commit sends, a JSON object a line.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/bytes.h"

namespace redoubt::hub {

struct AddedFile {
  std::string path;
  Bytes content;
};
struct AddedLargeFile {
  std::string path;
  Digest sha256;
  std::uint64_t size = 0;  // 0: not said
};
struct RemovedFile {
  std::string path;
};
struct RemovedFolder {
  std::string path;  // "": everything
};
using CommitOperation = std::variant<AddedFile, AddedLargeFile, RemovedFile, RemovedFolder>;

struct CommitRequest {
  std::string summary, description;
  std::optional<std::string> parent;
  std::vector<CommitOperation> operations;
};

inline constexpr std::size_t kOperationsMax = 25'000;

// invalid_argument with the line for anything else than a header and then operations on safe paths that are not hidden, each
// path at most once.
Result<CommitRequest> parse_commit_request(std::string_view body);

}  // namespace redoubt::hub
