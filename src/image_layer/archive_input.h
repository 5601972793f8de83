// SPDX-License-Identifier: Apache-2.0
//
// A Source as libarchive reads it. The source's own error comes back as it was, not as libarchive's text for it.
#pragma once

#include <archive.h>

#include <optional>

#include "base/stream.h"

namespace redoubt::image_layer {

class ArchiveInput {
 public:
  explicit ArchiveInput(Source& from) : from_(from), reader_(archive_read_new(), archive_read_free), chunk_(256 << 10) {}
  ArchiveInput(const ArchiveInput&) = delete;

  archive* reader() { return reader_.get(); }
  // ARCHIVE_OK or an error that `failure` explains.
  int open() {
    return archive_read_open(reader_.get(), this, nullptr, &ArchiveInput::read, nullptr);
  }
  // Whether the source failed, which libarchive may not mind where it has all that it needs.
  bool source_failed() const { return error_.has_value(); }
  // What went wrong: the source's error, or invalid_argument with libarchive's words.
  tl::unexpected<Error> failure(const char* what) {
    if (error_) return fail(*error_);
    const char* why = archive_error_string(reader_.get());
    return fail(ErrorCode::invalid_argument, std::string(what) + ": " + (why != nullptr ? why : "it ends early"), "image layer");
  }

 private:
  static la_ssize_t read(archive* reader, void* self, const void** bytes) {
    auto& input = *static_cast<ArchiveInput*>(self);
    auto got = input.from_.read(input.chunk_);
    if (!got) {
      input.error_ = got.error();
      archive_set_error(reader, EIO, "%s", got.error().message.c_str());
      return -1;
    }
    *bytes = input.chunk_.data();
    return static_cast<la_ssize_t>(*got);
  }

  Source& from_;
  std::unique_ptr<archive, int (*)(archive*)> reader_;
  Bytes chunk_;
  std::optional<Error> error_;
};

}  // namespace redoubt::image_layer
