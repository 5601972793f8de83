// SPDX-License-Identifier: Apache-2.0
//
// Which files of a model repository are taken, left out or refused, by name and by content. An allow-list decides: what is
// neither known to be safe nor known to be of no use is refused.
#pragma once

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
// What the first bytes say, where they say something that a name must not hide: pickle, archive, code; else unknown.
FileKind kind_by_content(ByteView first_bytes);

}  // namespace redoubt::stages::acquire
