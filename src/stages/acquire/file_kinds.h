// SPDX-License-Identifier: Apache-2.0
//
// Which files of a model repository are taken, left out or refused, by name and by content. An allow-list decides: what is
// neither known to be safe nor known to be of no use is refused.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace redoubt::stages::acquire {

enum class FileKind {
  safetensors,
  gguf,
  json,
  text,           // documentation, licences, chat templates, tokenizer vocabularies
  tokenizer_model,  // SentencePiece's protobuf
  of_no_use,      // pictures, git's own files: not downloaded
  pickle,         // *.bin, *.pt, *.pkl...: executes code when loaded
  code,           // *.py, notebooks, scripts, libraries
  archive,
  unknown,
};
const char* to_string(FileKind kind);

FileKind kind_by_name(std::string_view path);
// What the first bytes (kPickleStartBytes of them are enough) say, where they say something that a name must not hide: pickle,
// archive, code; else unknown.
FileKind kind_by_content(ByteView first_bytes);
// The same by marks of two or three bytes, which the length at the start of a sound safetensors file may have by chance.
FileKind kind_by_short_magic(ByteView first_bytes);
// Where the end record of a zip file stands, whatever the file begins with; `tail` is the last 64 KiB + 22 of its bytes, or all.
inline constexpr std::size_t kZipTailBytes = (64 << 10) + 22;
std::optional<std::uint64_t> zip_directory(ByteView tail, std::uint64_t file_bytes);

}  // namespace redoubt::stages::acquire
