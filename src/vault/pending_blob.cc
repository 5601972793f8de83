// SPDX-License-Identifier: Apache-2.0
#include "vault/pending_blob.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace redoubt::vault {
namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t kWriteBackBytes = 8 << 20;

}  // namespace

class PendingBlob::File final : public Sink {
 public:
  static Result<std::shared_ptr<File>> create(const fs::path& path) {
    Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!fd) return fail_errno(errno, "make a file for a blob on its way", path.string());
    return std::make_shared<File>(std::move(fd), path.string());
  }
  File(Fd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  Status write(ByteView bytes) override {
    while (!bytes.empty()) {
      const ssize_t count = ::write(fd_.get(), bytes.data(), bytes.size());
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return fail_errno(errno, "write a blob on its way", path_);
      bytes = bytes.subspan(static_cast<std::size_t>(count));
      waiting_ += static_cast<std::uint64_t>(count);
    }
    if (waiting_ >= kWriteBackBytes) write_back();
    return {};
  }

 private:
  // The disk begins while the rest comes, so that little is left for the sync at the end; only that one proves anything.
  void write_back() {
    ::sync_file_range(fd_.get(), static_cast<off64_t>(begun_), static_cast<off64_t>(waiting_), SYNC_FILE_RANGE_WRITE);
    begun_ += std::exchange(waiting_, 0);
  }

  Fd fd_;
  std::string path_;
  std::uint64_t begun_ = 0, waiting_ = 0;  // bytes handed to the disk, and behind them those that wait
};

Result<std::unique_ptr<PendingBlob>> PendingBlob::begin(fs::path file, const SealingKey& key, const provider::EncryptionContext& context, const Digest& expected) {
  std::unique_ptr<PendingBlob> blob(new PendingBlob(std::move(file), expected));
  const fs::path old = blob->file_.string() + ".old";
  // A process that was killed while it took up what another had left has left both: the older file is the longer one.
  if (!is_there(old) && is_there(blob->file_) && ::rename(blob->file_.c_str(), old.c_str()) != 0) {
    return fail_errno(errno, "set aside", blob->file_.string());
  }
  TRY(blob->start(key, context));
  if (is_there(old)) TRY(blob->take_up(old, key, context));
  return blob;
}

Status PendingBlob::start(const SealingKey& key, const provider::EncryptionContext& context) {
  sealed_ = TRY(File::create(file_));
  sink_ = TRY(SealingSink::create(key, context, *sealed_));
  return {};
}

Status PendingBlob::take_up(const fs::path& old, const SealingKey& key, const provider::EncryptionContext& context) {
  const auto reader = TRY(FileReader::open_regular(old, Links::refuse));
  Status written;
  const auto given = read_cut_off(*reader, key, context, [&](ByteView chunk) { return written = write(chunk); });
  TRY(std::move(written));
  // What can't be opened (cut within its header, another key by now) is of no use: it is fetched again.
  if (!given && given.error().code == ErrorCode::unavailable) return fail(given.error());
  return ::unlink(old.c_str()) == 0 ? Status() : fail_errno(errno, "remove", old.string());
}

Status PendingBlob::write(ByteView bytes) {
  hash_.update(bytes);
  TRY(sink_->write(bytes));
  bytes_ += bytes.size();
  return {};
}

Status PendingBlob::finish() {
  TRY(sink_->finish());
  if (hash_.finish() == expected_) return {};
  discard();
  return fail(ErrorCode::tampered, "the contents are not those that the digest names", expected_.tagged());
}

void PendingBlob::discard() { ::unlink(file_.c_str()); }

}  // namespace redoubt::vault
