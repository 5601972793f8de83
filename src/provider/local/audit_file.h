// SPDX-License-Identifier: Apache-2.0
//
// The audit trail as a file of JSON lines that only grows (docs/formats/audit-events.md), for an agent that ships files to the
// firm's monitoring. A line that a kill cut off is taken away before the next is written.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>

#include "base/file.h"
#include "provider/audit_sink.h"

namespace redoubt::provider::local {

class AuditFile final : public AuditSink {
 public:
  struct Options {
    std::filesystem::path file;  // made when it is not there, with its folder; readable by its owner alone
    std::string origin;          // of the ledger whose trail it is; another one's file is tampered
  };
  // invalid_argument when there is something else than a plain file.
  static Result<std::unique_ptr<AuditFile>> create(Options options);

  // Both hold the file's lock, so that processes of one workspace do not write into each other's lines.
  Result<std::uint64_t> next_index() override;
  Status append(const std::vector<AuditEntry>& entries) override;

 private:
  explicit AuditFile(Options options) : options_(std::move(options)) {}
  struct Tail {
    std::uint64_t next = 0;       // index
    std::uint64_t bytes = 0;      // of the file's whole lines
    std::uint64_t file_bytes = 0;
  };
  Result<Fd> open() const;
  Result<Tail> read_tail(int fd) const;
  const Options options_;
};

}  // namespace redoubt::provider::local
