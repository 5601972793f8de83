// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/job_archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <set>

#include "base/file.h"

namespace redoubt::provider::aws {
namespace {

constexpr std::size_t kChunk = 256 << 10;
constexpr std::size_t kPathBytesMax = 1024;

class MemoryFile final : public RandomAccess {
 public:
  MemoryFile(std::shared_ptr<const Fd> fd, std::uint64_t size) : fd_(std::move(fd)), size_(size) {}
  std::uint64_t size() const override { return size_; }
  Status read_at(std::uint64_t offset, MutableByteView into) const override {
    if (offset > size_ || into.size() > size_ - offset) return fail(ErrorCode::invalid_argument, "read beyond the end");
    for (std::size_t done = 0; done < into.size();) {
      const ssize_t got = pread(fd_->get(), into.data() + done, into.size() - done, static_cast<off_t>(offset + done));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return fail_errno(got < 0 ? errno : EIO, "reading a job's output", "memory");
      done += static_cast<std::size_t>(got);
    }
    return {};
  }

 private:
  std::shared_ptr<const Fd> fd_;
  std::uint64_t size_;
};

// libarchive asks for bytes through this.
struct Feed {
  Source& source;
  Bytes buffer = Bytes(kChunk);
  Status status = {};
};

la_ssize_t feed_more(archive*, void* context, const void** bytes) {
  Feed& feed = *static_cast<Feed*>(context);
  const auto count = feed.source.read(feed.buffer);
  if (!count) {
    feed.status = fail(count.error());
    return -1;
  }
  *bytes = feed.buffer.data();
  return static_cast<la_ssize_t>(*count);
}

class Unpacker {
 public:
  Unpacker(Source& source, std::string_view where, const ArchiveLimits& limits) : feed_{source}, where_(where), limits_(limits) {
    archive_read_support_filter_gzip(reader_);
    archive_read_support_format_tar(reader_);
  }
  ~Unpacker() { archive_read_free(reader_); }
  Unpacker(const Unpacker&) = delete;
  Unpacker& operator=(const Unpacker&) = delete;

  Result<std::vector<JobFile>> run() {
    if (archive_read_open(reader_, &feed_, nullptr, feed_more, nullptr) != ARCHIVE_OK) return broken();
    for (;;) {
      archive_entry* entry = nullptr;
      const int got = archive_read_next_header(reader_, &entry);
      if (got == ARCHIVE_EOF) return std::move(files_);
      if (got != ARCHIVE_OK) return broken();
      TRY(take(entry));
    }
  }

 private:
  tl::unexpected<Error> broken() {
    if (!feed_.status) return fail(feed_.status.error());
    return fail(ErrorCode::tampered, "not a whole tar archive", where_);
  }
  tl::unexpected<Error> refused(const std::string& what) { return fail(ErrorCode::permission_denied, what, where_, "the job wrote what no job of ours writes"); }

  Status take(archive_entry* entry) {
    if (++entries_ > limits_.files_max) return fail(ErrorCode::limit_exceeded, "the archive holds too many files", where_);
    const char* named = archive_entry_pathname_utf8(entry);
    std::string path = named == nullptr ? "" : named;
    while (path.starts_with("./")) path.erase(0, 2);
    while (path.ends_with('/')) path.pop_back();
    const auto type = archive_entry_filetype(entry);
    if (type == AE_IFDIR && (path.empty() || path == "." || is_safe_relative_path(path))) return {};
    if (type != AE_IFREG || archive_entry_hardlink(entry) != nullptr) return refused("the archive holds what is no plain file");
    if (path.size() > kPathBytesMax || !is_safe_relative_path(path)) return refused("the archive holds a file that leaves its folder");
    if (!seen_.insert(path).second) return refused("the archive holds a file twice");
    return read_file(std::move(path));
  }

  Status read_file(std::string path) {
    auto fd = std::make_shared<Fd>(memfd_create("output", MFD_CLOEXEC));
    if (!*fd) return fail_errno(errno, "making memory for a job's output", where_);
    std::uint64_t size = 0;
    Bytes chunk(kChunk);
    for (;;) {
      const la_ssize_t count = archive_read_data(reader_, chunk.data(), chunk.size());
      if (count < 0) return broken();
      if (count == 0) break;
      bytes_ += static_cast<std::uint64_t>(count);
      if (bytes_ > limits_.bytes_max) return fail(ErrorCode::limit_exceeded, "the archive holds more than the job may give back", where_, "raise the job's output_bytes_max");
      for (la_ssize_t done = 0; done < count;) {
        const ssize_t put = write(fd->get(), chunk.data() + done, static_cast<std::size_t>(count - done));
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return fail_errno(errno, "keeping a job's output in memory", where_);
        done += put;
      }
      size += static_cast<std::uint64_t>(count);
    }
    files_.push_back({std::move(path), [file = std::shared_ptr<const Fd>(fd), size]() -> Result<std::unique_ptr<RandomAccess>> {
                        return std::make_unique<MemoryFile>(file, size);
                      }});
    return {};
  }

  archive* reader_ = archive_read_new();
  Feed feed_;
  std::string where_;
  ArchiveLimits limits_;
  std::vector<JobFile> files_;
  std::set<std::string> seen_;
  std::size_t entries_ = 0;
  std::uint64_t bytes_ = 0;
};

}  // namespace

Result<std::vector<JobFile>> unpack_archive(Source& archive, std::string_view where, const ArchiveLimits& limits) {
  return Unpacker(archive, where, limits).run();
}

}  // namespace redoubt::provider::aws
