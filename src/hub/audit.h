// SPDX-License-Identifier: Apache-2.0
//
// Who was given what (docs/formats/hub.md): JSON lines that are only ever appended, each with the SHA-256 of the line before
// it, so that a line that is changed, moved or taken out breaks the chain. Never holds a token or a query.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/problem.h"

namespace redoubt::hub {

class AuditLog {
 public:
  // Goes on with the chain of a file that is there. unavailable when another process writes it.
  static Result<std::shared_ptr<AuditLog>> open(const std::filesystem::path& file, const Clock& clock);
  enum class Wait { for_disk, never };
  // Adds `time` and `previous`; in the file when it returns. With Wait::for_disk the file is synced if that was not done in the last
  // second; Wait::never is for threads that must not block. Safe to call from several threads.
  Status append(Json event, Wait wait = Wait::for_disk);

 private:
  AuditLog(Fd fd, FileLock lock, std::string previous, std::string path, const Clock& clock)
      : fd_(std::move(fd)), lock_(std::move(lock)), previous_(std::move(previous)), path_(std::move(path)), clock_(clock) {}
  std::mutex mutex_;
  Fd fd_;
  FileLock lock_;
  std::string previous_;
  std::string path_;
  const Clock& clock_;
  std::chrono::steady_clock::time_point synced_{};
};

struct AuditCheck {
  std::uint64_t lines = 0;
  std::string last;   // SHA-256 of the last line: whoever keeps it notices a file that was cut
  Problems problems;  // "line N": not JSON, or not the one that the chain has there
};
Result<AuditCheck> check_audit(const std::filesystem::path& file);

}  // namespace redoubt::hub
