// SPDX-License-Identifier: Apache-2.0
#include "governance/backup_archive.h"

#include <archive.h>
#include <archive_entry.h>

#include <array>
#include <optional>

#include "crypto/hash.h"

namespace redoubt::governance {
namespace {

constexpr std::size_t kChunk = 256 << 10;
// A zstd skippable frame (RFC 8878 section 3.1.2): magic 0x184D2A50, length 32, both little-endian, then the digest.
constexpr std::array<std::uint8_t, 8> kTrailerStart = {0x50, 0x2a, 0x4d, 0x18, 32, 0, 0, 0};
constexpr std::uint64_t kTrailerBytes = kTrailerStart.size() + 32;

tl::unexpected<Error> damaged(std::string what) { return fail(ErrorCode::tampered, "the backup was changed or cut short: " + std::move(what), "backup"); }

struct FreeEntry {
  void operator()(archive_entry* entry) const { archive_entry_free(entry); }
};

}  // namespace

struct BackupArchiveWriter::Target {
  struct FreeWriter {
    void operator()(archive* opened) const { archive_write_free(opened); }
  };

  Sink& to;
  crypto::Sha256 hash;
  std::optional<Error> error;
  // Last, so that what it flushes when freed still has a target.
  std::unique_ptr<archive, FreeWriter> handle;

  explicit Target(Sink& sink) : to(sink), handle(archive_write_new()) {}

  static la_ssize_t write(archive*, void* self, const void* data, std::size_t size) {
    auto& target = *static_cast<Target*>(self);
    if (target.error) return -1;
    const ByteView bytes(static_cast<const std::uint8_t*>(data), size);
    auto written = target.to.write(bytes);
    if (!written) {
      target.error = std::move(written.error());
      return -1;
    }
    target.hash.update(bytes);
    return static_cast<la_ssize_t>(size);
  }

  Status check(la_ssize_t code) {
    if (code >= 0) return {};
    if (error) return fail(*error);
    const char* text = archive_error_string(handle.get());
    return fail(ErrorCode::unavailable, std::string("cannot write the archive: ") + (text == nullptr ? "unknown" : text), "backup");
  }
};

BackupArchiveWriter::BackupArchiveWriter(std::unique_ptr<Target> target) : target_(std::move(target)) {}
BackupArchiveWriter::~BackupArchiveWriter() {
  // Dropped half-way, it must not write the end of an archive.
  if (target_ && target_->handle && !target_->error) target_->error = Error{ErrorCode::unavailable, "dropped"};
}

Result<std::unique_ptr<BackupArchiveWriter>> BackupArchiveWriter::create(Sink& to) {
  auto target = std::make_unique<Target>(to);
  archive* handle = target->handle.get();
  TRY(target->check(archive_write_set_format_pax_restricted(handle)));
  TRY(target->check(archive_write_add_filter_zstd(handle)));
  // What is sealed does not shrink; the ledger and the images do even so.
  TRY(target->check(archive_write_set_filter_option(handle, "zstd", "compression-level", "1")));
  TRY(target->check(archive_write_set_bytes_in_last_block(handle, 1)));
  TRY(target->check(archive_write_open(handle, target.get(), nullptr, &Target::write, nullptr)));
  return std::unique_ptr<BackupArchiveWriter>(new BackupArchiveWriter(std::move(target)));
}

Status BackupArchiveWriter::add(const std::string& path, std::uint64_t size, Source& contents) {
  const std::unique_ptr<archive_entry, FreeEntry> entry(archive_entry_new());
  archive_entry_set_pathname(entry.get(), path.c_str());
  archive_entry_set_size(entry.get(), static_cast<la_int64_t>(size));
  archive_entry_set_filetype(entry.get(), AE_IFREG);
  archive_entry_set_perm(entry.get(), 0600);
  TRY(target_->check(archive_write_header(target_->handle.get(), entry.get())));
  Bytes chunk(kChunk);
  std::uint64_t written = 0;
  while (const std::size_t count = TRY(contents.read(chunk))) {
    written += count;
    if (written > size) break;
    TRY(target_->check(archive_write_data(target_->handle.get(), chunk.data(), count)));
  }
  if (written != size) return fail(ErrorCode::invalid_argument, "a file changed while it was backed up", path);
  return {};
}

Status BackupArchiveWriter::finish() {
  TRY(target_->check(archive_write_close(target_->handle.get())));
  target_->handle.reset();
  Bytes trailer(kTrailerStart.begin(), kTrailerStart.end());
  const Digest digest = target_->hash.finish();
  trailer.insert(trailer.end(), digest.value.begin(), digest.value.end());
  return target_->to.write(trailer);
}

struct BackupArchiveReader::Contents {
  struct FreeReader {
    void operator()(archive* opened) const { archive_read_free(opened); }
  };

  const RandomAccess& from;
  std::uint64_t size, offset = 0;
  Bytes chunk = Bytes(kChunk);
  std::optional<Error> error;
  std::unique_ptr<archive, FreeReader> handle;

  Contents(const RandomAccess& source, std::uint64_t bytes) : from(source), size(bytes), handle(archive_read_new()) {}

  static la_ssize_t read(archive*, void* self, const void** buffer) {
    auto& contents = *static_cast<Contents*>(self);
    const std::size_t count = static_cast<std::size_t>(std::min<std::uint64_t>(kChunk, contents.size - contents.offset));
    if (const auto done = contents.from.read_at(contents.offset, MutableByteView(contents.chunk).first(count)); !done) {
      contents.error = done.error();
      return -1;
    }
    contents.offset += count;
    *buffer = contents.chunk.data();
    return static_cast<la_ssize_t>(count);
  }

  tl::unexpected<Error> failure() const {
    if (error) return fail(*error);
    const char* text = archive_error_string(handle.get());
    return damaged(text == nullptr ? "unreadable" : text);
  }
};

BackupArchiveReader::BackupArchiveReader(std::unique_ptr<Contents> contents) : contents_(std::move(contents)) {}
BackupArchiveReader::~BackupArchiveReader() = default;

Result<std::unique_ptr<BackupArchiveReader>> BackupArchiveReader::open(const RandomAccess& from) {
  if (from.size() <= kTrailerBytes) return damaged("it is too short");
  const std::uint64_t size = from.size() - kTrailerBytes;
  std::array<std::uint8_t, kTrailerBytes> trailer{};
  TRY(from.read_at(size, trailer));
  crypto::Sha256 hash;
  Bytes chunk(kChunk);
  for (std::uint64_t at = 0; at < size; at += chunk.size()) {
    const auto into = MutableByteView(chunk).first(static_cast<std::size_t>(std::min<std::uint64_t>(chunk.size(), size - at)));
    TRY(from.read_at(at, into));
    hash.update(into);
  }
  const Digest digest = hash.finish();
  if (!std::equal(kTrailerStart.begin(), kTrailerStart.end(), trailer.begin()) || !std::equal(digest.value.begin(), digest.value.end(), trailer.begin() + kTrailerStart.size())) {
    return damaged("its digest is not the one at its end");
  }
  auto contents = std::make_unique<Contents>(from, size);
  archive* handle = contents->handle.get();
  if (archive_read_support_filter_zstd(handle) != ARCHIVE_OK || archive_read_support_format_tar(handle) != ARCHIVE_OK) {
    return fail(ErrorCode::unsupported, "this build's libarchive does not read zstd", "backup");
  }
  if (archive_read_open(handle, contents.get(), nullptr, &Contents::read, nullptr) != ARCHIVE_OK) return contents->failure();
  return std::unique_ptr<BackupArchiveReader>(new BackupArchiveReader(std::move(contents)));
}

Status BackupArchiveReader::read(const std::string& path, std::uint64_t bytes_max, Sink& into) {
  archive* handle = contents_->handle.get();
  archive_entry* entry = nullptr;
  if (archive_read_next_header(handle, &entry) != ARCHIVE_OK) return contents_->failure();
  const char* name = archive_entry_pathname(entry);
  if (name == nullptr || path != name || archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry) != nullptr) {
    return damaged("'" + path + "' is not where it belongs");
  }
  Bytes chunk(kChunk);
  std::uint64_t total = 0;
  while (true) {
    const auto count = archive_read_data(handle, chunk.data(), chunk.size());
    if (count < 0) return contents_->failure();
    if (count == 0) return {};
    total += static_cast<std::uint64_t>(count);
    if (total > bytes_max) return damaged("'" + path + "' is longer than it was");
    TRY(into.write(ByteView(chunk).first(static_cast<std::size_t>(count))));
  }
}

Status BackupArchiveReader::finish() {
  archive_entry* entry = nullptr;
  const int code = archive_read_next_header(contents_->handle.get(), &entry);
  if (code == ARCHIVE_EOF) return {};
  return damaged("it holds more than it lists");
}

}  // namespace redoubt::governance
