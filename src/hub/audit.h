// SPDX-License-Identifier: Apache-2.0
//
// Who was given what (docs/formats/hub.md): JSON lines that are only ever appended, each with the SHA-256 of the line before
// it, so that a line that is changed, moved or taken out breaks the chain. Never holds a token or a query.
#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>
#include <vector>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/problem.h"

namespace redoubt::hub {

// How far the chain goes. Whoever keeps one notices a file that was cut, changed or replaced since.
struct AuditHead {
  std::uint64_t lines = 0;
  std::string last;  // SHA-256 of that line; 64 zeros without any
};

struct DownloadCount {
  std::string token, repository, commit;  // the token's id
  std::uint64_t files = 0, bytes = 0;
  TimePoint first{}, last{};
};

class AuditLog {
 public:
  // Goes on with the chain of a file that is there. unavailable when another process writes it.
  static Result<std::shared_ptr<AuditLog>> open(const std::filesystem::path& file, const Clock& clock);
  enum class Wait { for_disk, never };
  // Adds `time` and `previous`; in the file when it returns. With Wait::for_disk the file is synced if that was not done in the last
  // second; Wait::never is for threads that must not block. Safe to call from several threads.
  Status append(Json event, Wait wait = Wait::for_disk);

  struct Since {
    AuditHead head;
    std::vector<DownloadCount> downloads;  // beyond 256 different ones the rest are counted together, with "others" for each name
  };
  // What was downloaded since the last call, and the line that tells of the newest of it. With the first call, since `open`.
  Since take();

 private:
  AuditLog(Fd fd, FileLock lock, AuditHead head, std::string path, const Clock& clock)
      : fd_(std::move(fd)), lock_(std::move(lock)), head_(std::move(head)), path_(std::move(path)), clock_(clock) {}
  void count(const Json& event, TimePoint now);
  std::mutex mutex_;
  Fd fd_;
  FileLock lock_;
  AuditHead head_;
  std::map<std::tuple<std::string, std::string, std::string>, DownloadCount> counts_;
  std::string path_;
  const Clock& clock_;
  std::chrono::steady_clock::time_point synced_{};
};

struct AuditCheck {
  AuditHead head;
  Problems problems;  // "line N": not JSON, not the one that the chain has there, or not the one that `known` names
};
// `known` is a head that was kept elsewhere.
Result<AuditCheck> check_audit(const std::filesystem::path& file, const AuditHead& known = {});

}  // namespace redoubt::hub
