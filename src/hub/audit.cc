// SPDX-License-Identifier: Apache-2.0
#include "hub/audit.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <utility>

#include "base/write_all.h"
#include "crypto/hash.h"

namespace redoubt::hub {
namespace {

constexpr std::size_t kAuditLineBytesMax = 16 << 10;
constexpr std::size_t kProblemsMax = 100;
constexpr std::size_t kCountsMax = 256;
const std::string kFirst(64, '0');

// Calls `body` with each line without its end; the last may have none.
Status for_each_line(Source& source, const std::function<void(std::string_view line, bool is_whole)>& body) {
  std::string rest;
  Bytes piece(1 << 20);
  while (const std::size_t count = TRY(source.read(piece))) {
    rest += text_of(ByteView(piece).first(count));
    std::size_t begin = 0;
    for (auto end = rest.find('\n'); end != rest.npos; end = rest.find('\n', begin)) {
      body(std::string_view(rest).substr(begin, end - begin), true);
      begin = end + 1;
    }
    rest.erase(0, begin);
    if (rest.size() > kAuditLineBytesMax) return fail(ErrorCode::limit_exceeded, "a line of the audit file is too long");
  }
  if (!rest.empty()) body(rest, false);
  return {};
}

}  // namespace

Result<std::shared_ptr<AuditLog>> AuditLog::open(const std::filesystem::path& file, const Clock& clock) {
  TRY(make_folder(file.parent_path()));
  auto lock = FileLock::try_acquire(file.string() + ".lock");
  if (!lock) return fail(lock.error().code, "another process writes the audit file", file.string(), "one mirror serves a folder at a time; name another file with '--audit-file'");
  Fd fd(::open(file.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return fail_errno(errno, "open the audit file", file.string());
  AuditHead head{0, kFirst};
  bool is_torn = false;
  const auto reader = TRY(FileReader::open_regular(file, Links::refuse));
  TRY(for_each_line(*reader, [&](std::string_view line, bool is_whole) {
    head = {head.lines + 1, crypto::sha256(line).hex()};
    is_torn = !is_whole;
  }));
  // What a power cut tore stays as it is, a line of its own.
  if (is_torn && !write_all(fd.get(), view_of("\n"))) return fail_errno(errno, "write the audit file", file.string());
  return std::shared_ptr<AuditLog>(new AuditLog(std::move(fd), std::move(*lock), std::move(head), file.string(), clock));
}

Status AuditLog::append(Json event, Wait wait) {
  const std::scoped_lock lock(mutex_);
  const auto time = clock_.now();
  event["time"] = to_rfc3339(time);
  event["previous"] = head_.last;
  const std::string line = dump_json(event);
  if (line.size() > kAuditLineBytesMax) return fail(ErrorCode::limit_exceeded, "an audit event is too long", path_);
  if (!append_all(fd_.get(), view_of(line + "\n"))) return fail_errno(errno, "write the audit file", path_);
  head_ = {head_.lines + 1, crypto::sha256(line).hex()};
  count(event, time);
  const auto now = std::chrono::steady_clock::now();
  if (wait == Wait::never || now - synced_ < std::chrono::seconds(1)) return {};
  synced_ = now;
  return ::fdatasync(fd_.get()) == 0 ? Status() : fail_errno(errno, "sync the audit file", path_);
}

void AuditLog::count(const Json& event, TimePoint now) {
  if (json_or(event, "event", "") != "download") return;
  std::tuple key(json_or(event, "token", ""), json_or(event, "repository", ""), json_or(event, "commit", ""));
  if (counts_.size() >= kCountsMax && !counts_.contains(key)) key = {"others", "others", "others"};
  const auto [at, is_new] = counts_.try_emplace(key, DownloadCount{std::get<0>(key), std::get<1>(key), std::get<2>(key), 0, 0, now, now});
  ++at->second.files;
  at->second.bytes += static_cast<std::uint64_t>(json_or(event, "bytes", std::int64_t{0}));
  at->second.last = now;
}

AuditLog::Since AuditLog::take() {
  const std::scoped_lock lock(mutex_);
  Since since{head_, {}};
  for (auto& [key, count] : std::exchange(counts_, {})) since.downloads.push_back(std::move(count));
  return since;
}

Result<AuditCheck> check_audit(const std::filesystem::path& file, const AuditHead& known) {
  const auto reader = TRY(FileReader::open_regular(file, Links::refuse));
  AuditCheck check{{0, kFirst}, {}};
  auto& head = check.head;
  const auto tell = [&](std::uint64_t line, const char* problem) {
    if (check.problems.size() < kProblemsMax) check.problems.push_back({"chain", fmt::format("line {}", line), problem});
  };
  TRY(for_each_line(*reader, [&](std::string_view line, bool) {
    const auto json = parse_json(line, "line", {.bytes_max = kAuditLineBytesMax, .depth_max = 4});
    const bool follows = json && json->is_object() && json_or(*json, "previous", "") == head.last;
    head = {head.lines + 1, crypto::sha256(line).hex()};
    if (!follows) tell(head.lines, !json || !json->is_object() ? "not a line that the mirror wrote" : "does not follow the line before it");
    if (head.lines == known.lines && head.last != known.last) tell(head.lines, "not the line that was known before");
  }));
  if (head.lines < known.lines) tell(known.lines, "was there before, and is missing");
  return check;
}

}  // namespace redoubt::hub
