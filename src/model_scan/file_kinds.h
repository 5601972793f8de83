// SPDX-License-Identifier: Apache-2.0
//
// Which files of a model repository are taken, left out or refused, by name and by content. An allow-list decides: what is
// neither known to be safe nor known to be of no use is refused.
#pragma once

#include <string>
#include <string_view>

#include "base/bytes.h"

namespace redoubt::model_scan {

enum class FileKind {
  safetensors,
  gguf,
  json,
  text,           // documentation, licences, chat templates, tokenizer vocabularies
  tokenizer_model,  // SentencePiece's protobuf
  of_no_use,      // pictures, git's own files: not downloaded
  template_text,  // *.jinja
  pickle,         // *.bin, *.pt, *.pkl, *.npy, *.h5...: may execute code when loaded
  saved_model,    // TensorFlow's saved_model.pb
  onnx,
  variables,      // TensorFlow's variables.data-*, the tensors beside an ONNX model: numbers alone
  code,           // *.py, notebooks, scripts, libraries
  archive,
  unknown,
};
const char* to_string(FileKind kind);

FileKind kind_by_name(std::string_view path);
// What the first bytes (kPickleStartBytes of them are enough) say, where they say something that a name must not hide: pickle,
// archive, code; else unknown.
FileKind kind_by_content(ByteView first_bytes);
// The same without the look for a pickle's program, which has no magic.
FileKind kind_by_magic(ByteView first_bytes);
// The same by marks of two or three bytes, which the length at the start of a sound safetensors file may have by chance.
FileKind kind_by_short_magic(ByteView first_bytes);
// HDF5's superblock may stand behind a user block of 512 bytes or a power of two more.
bool is_hdf5(ByteView first_bytes);

}  // namespace redoubt::model_scan
