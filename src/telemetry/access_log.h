// SPDX-License-Identifier: Apache-2.0
//
// The access log: one JSON object a line for each answered request. The file is turned over when it is full: FILE.1 is the one before, the
// oldest goes.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>

#include "base/file.h"
#include "telemetry/bounded_queue.h"
#include "telemetry/request_record.h"

namespace redoubt::telemetry {

struct AccessLogOptions {
  std::filesystem::path file;
  std::uint64_t bytes_max = 64 << 20;  // of one file
  int files = 8;                       // with the one that is written
  QueueOptions queue = {.wait_ms = 200};
  std::function<void(std::uint64_t)> on_lost = {};  // lines that did not fit the queue or could not be written
};

// The line with its end.
std::string to_access_line(const RequestRecord& record);

class AccessLog final : public RequestSink {
 public:
  // The folder must exist; the file is private to its owner.
  static Result<std::unique_ptr<AccessLog>> create(AccessLogOptions options);
  void tell(const RequestRecord& record) override { queue_.put(to_access_line(record)); }

 private:
  AccessLog(AccessLogOptions options, Fd file, std::uint64_t bytes);
  void write(const std::vector<std::string>& lines);
  Status write_text(const std::string& text);
  Status turn_over();

  const AccessLogOptions options_;
  Fd file_;
  std::uint64_t bytes_ = 0;
  bool failed_ = false;
  BoundedQueue<std::string> queue_;  // of lines, which are less to copy than records; its thread uses what stands above
};

}  // namespace redoubt::telemetry
