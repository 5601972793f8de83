// SPDX-License-Identifier: Apache-2.0
//
// The archive of a backup: tar in zstd, then a skippable frame with the SHA-256 of all bytes before it, so that any changed,
// missing or added byte is found before anything is unpacked. Whoever forges that digest too meets the signed manifest.
#pragma once

#include <memory>
#include <string>

#include "base/stream.h"

struct archive;

namespace redoubt::governance {

class BackupArchiveWriter {
 public:
  // `to` must outlive it.
  static Result<std::unique_ptr<BackupArchiveWriter>> create(Sink& to);
  ~BackupArchiveWriter();
  // A file whose contents are exactly `size` bytes; invalid_argument when they are not.
  Status add(const std::string& path, std::uint64_t size, Source& contents);
  Status finish();

 private:
  struct Target;
  explicit BackupArchiveWriter(std::unique_ptr<Target> target);
  std::unique_ptr<Target> target_;
};

class BackupArchiveReader {
 public:
  // Reads it all once for the digest at its end; tampered when that does not fit. `from` must outlive it.
  static Result<std::unique_ptr<BackupArchiveReader>> open(const RandomAccess& from);
  ~BackupArchiveReader();
  // The next entry, which has to be a plain file of that name; its contents go to `into`. tampered for anything else, and when
  // it is longer than `bytes_max`.
  Status read(const std::string& path, std::uint64_t bytes_max, Sink& into);
  // tampered unless there is nothing more.
  Status finish();

 private:
  struct Contents;
  explicit BackupArchiveReader(std::unique_ptr<Contents> contents);
  std::unique_ptr<Contents> contents_;
};

}  // namespace redoubt::governance
