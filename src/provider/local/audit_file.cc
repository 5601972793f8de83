// SPDX-License-Identifier: Apache-2.0
#include "provider/local/audit_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/write_all.h"

namespace redoubt::provider::local {
namespace {

constexpr std::uint64_t kTailBytes = 2 * (kAuditEventBytesMax + 1);  // a whole line and one that was cut off

}  // namespace

Result<std::unique_ptr<AuditFile>> AuditFile::create(Options options) {
  const std::string where = options.file.string();
  if (is_there(options.file) && !is_plain_file(options.file)) return fail(ErrorCode::invalid_argument, "the audit trail is not a plain file", where, "name another file");
  const auto folder = std::filesystem::absolute(options.file).parent_path();
  if (!is_folder(folder)) TRY(make_folder(folder));
  return std::unique_ptr<AuditFile>(new AuditFile(std::move(options)));
}

Result<Fd> AuditFile::open() const {
  const bool is_new = !is_there(options_.file);
  Fd fd(::open(options_.file.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return fail_errno(errno, "open the audit trail", options_.file.string());
  while (::flock(fd.get(), LOCK_EX) != 0) {
    if (errno != EINTR) return fail_errno(errno, "lock the audit trail", options_.file.string());
  }
  if (is_new) TRY(sync_folder(std::filesystem::absolute(options_.file).parent_path()));
  return fd;
}

Result<AuditFile::Tail> AuditFile::read_tail(int fd) const {
  const std::string where = options_.file.string();
  struct stat about {};
  if (::fstat(fd, &about) != 0) return fail_errno(errno, "look at the audit trail", where);
  Tail tail;
  tail.file_bytes = static_cast<std::uint64_t>(about.st_size);
  const std::uint64_t length = std::min(tail.file_bytes, kTailBytes), from = tail.file_bytes - length;
  std::string text(length, '\0');
  for (std::size_t done = 0; done < text.size();) {
    const auto got = ::pread(fd, text.data() + done, text.size() - done, static_cast<off_t>(from + done));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return fail_errno(got < 0 ? errno : EIO, "read the audit trail", where);
    done += static_cast<std::size_t>(got);
  }
  const auto end = text.rfind('\n');
  const auto foreign = [&](const std::string& why) {
    return fail(ErrorCode::tampered, "the file is not the audit trail of this ledger: " + why, where, "move it away, and the trail is written anew");
  };
  if (end == text.npos) {
    if (tail.file_bytes > kAuditEventBytesMax) return foreign("it has no lines");
    return tail;
  }
  const auto start = end == 0 ? text.npos : text.rfind('\n', end - 1);
  const auto entry = parse_event(std::string_view(text).substr(start == text.npos ? 0 : start + 1, end - (start == text.npos ? 0 : start + 1)), where);
  if (!entry) return foreign(entry.error().message);
  if (entry->origin != options_.origin) return foreign("it is the one of " + entry->origin);
  tail.next = entry->index + 1;
  tail.bytes = from + end + 1;
  return tail;
}

Result<std::uint64_t> AuditFile::next_index() {
  const Fd fd = TRY(open());
  return TRY(read_tail(fd.get())).next;
}

Status AuditFile::append(const std::vector<AuditEntry>& entries) {
  const Fd fd = TRY(open());
  const Tail tail = TRY(read_tail(fd.get()));
  std::string lines;
  for (const auto& entry : TRY(entries_to_append(entries, tail.next))) lines += dump_json(to_event(entry)) + "\n";
  if (lines.empty()) return {};
  const std::string where = options_.file.string();
  if (tail.bytes < tail.file_bytes && ::ftruncate(fd.get(), static_cast<off_t>(tail.bytes)) != 0) return fail_errno(errno, "take a broken line off the audit trail", where);
  if (!write_all(fd.get(), view_of(lines))) return fail_errno(errno, "write the audit trail", where);
  if (::fsync(fd.get()) != 0) return fail_errno(errno, "write the audit trail", where);
  return {};
}

}  // namespace redoubt::provider::local
