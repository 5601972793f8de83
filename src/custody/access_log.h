// SPDX-License-Identifier: Apache-2.0
//
// Who read which stored object in clear, and by which command: a file of JSON lines, each authenticated together with all before it
// (docs/formats/access-log.md). A read is written down before its first byte is given. Guarantee: a line that was changed, moved,
// taken out or forged is found, and so is an end that was cut off, unless the sealed head beside it was put back too; what stood
// there when the ledger's newest entry was made is safe from that as well.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/problem.h"
#include "base/secret.h"
#include "vault/sealed_file.h"

namespace redoubt::custody {

struct Access {
  std::uint64_t number = 0;  // from 0
  TimePoint time{};
  std::string identity, command;
  std::string object;  // "blobs/<hex>", with its place's prefix
  std::uint64_t bytes = 0;
  std::string mac;  // 64 hexadecimal digits

  bool operator==(const Access&) const = default;
};

// One line without its newline, and the MAC that it has behind another one's ("" for the first).
std::string encode_access(const Access& access);
// Takes exactly what encode_access writes; tampered for anything else.
Result<Access> parse_access(std::string_view line);
std::string access_mac(const Secret& key, std::string_view before, const Access& access);

struct AccessHead {
  std::uint64_t entries = 0;
  std::string mac;  // of the last one; "" without any
};

class AccessLog {
 public:
  struct Options {
    std::filesystem::path file;
    Secret key;              // of the MACs
    vault::SealedFile head;  // the newest head
  };
  explicit AccessLog(Options options) : options_(std::move(options)) {}

  // Durable when it returns. Takes away what a power cut left of a line.
  Status append(Access access);
  Result<AccessHead> head() const;
  // Calls `visit` for each line in order; tampered at the first that is not as it was written.
  Status for_each(const std::function<void(const Access&)>& visit) const;
  // What is wrong with it; `anchored` is the newest head that the ledger tells of.
  Problems verify(const AccessHead& anchored) const;

 private:
  Options options_;
};

// Appends one line for each object that a process opens, the first time it does.
class AccessRecorder {
 public:
  AccessRecorder(AccessLog& log, const Clock& clock, std::string identity, std::string command)
      : log_(log), clock_(clock), identity_(std::move(identity)), command_(std::move(command)) {}
  Status record(const std::string& object, std::uint64_t bytes);
  // Which step of a pipeline reads from now on; "" is none.
  void step(const std::string& name);

 private:
  AccessLog& log_;
  const Clock& clock_;
  std::string identity_, command_, step_;
  std::mutex mutex_;
  std::set<std::string> seen_;  // objects, behind the step
};

}  // namespace redoubt::custody
