// SPDX-License-Identifier: Apache-2.0
#include "model_scan/file_kinds.h"

#include <algorithm>

#include "base/ends_with_any.h"
#include "model_scan/byte_reader.h"
#include "model_scan/pickle_start.h"

namespace redoubt::model_scan {
namespace {

using Magics = std::initializer_list<std::string_view>;

bool starts_with_any(ByteView bytes, Magics magics) {
  return std::any_of(magics.begin(), magics.end(), [&](std::string_view magic) { return starts_with(bytes, magic); });
}

bool stands_at(ByteView bytes, std::size_t offset, std::string_view magic) {
  return bytes.size() >= offset + magic.size() && text_of(bytes).substr(offset, magic.size()) == magic;
}

// What exporters call the tensors beside an ONNX model: "model.onnx.data", "model.onnx_data", "model.onnx_data_1".
bool is_onnx_data(std::string_view name) {
  const auto part = name.find_last_not_of("0123456789");
  if (part != name.npos && name.substr(0, part + 1).ends_with(".onnx_data_") && part + 1 < name.size()) return true;
  return name.ends_with(".onnx_data") || name.ends_with(".onnx.data");
}

}  // namespace

bool is_hdf5(ByteView bytes) {
  constexpr std::string_view kMagic = "\x89HDF\r\n\x1a\n";
  if (starts_with(bytes, "\x89HDF")) return true;
  for (std::size_t offset = 512; offset <= bytes.size(); offset *= 2) {
    if (stands_at(bytes, offset, kMagic)) return true;
  }
  return false;
}

const char* to_string(FileKind kind) {
  switch (kind) {
    case FileKind::safetensors: return "safetensors";
    case FileKind::gguf: return "gguf";
    case FileKind::json: return "json";
    case FileKind::text: return "text";
    case FileKind::tokenizer_model: return "tokenizer-model";
    case FileKind::of_no_use: return "of-no-use";
    case FileKind::template_text: return "template";
    case FileKind::pickle: return "pickle";
    case FileKind::saved_model: return "saved-model";
    case FileKind::onnx: return "onnx";
    case FileKind::variables: return "variables";
    case FileKind::code: return "code";
    case FileKind::archive: return "archive";
    case FileKind::unknown: return "unknown";
  }
  return "unknown";
}

FileKind kind_by_name(std::string_view path) {
  const auto slash = path.rfind('/');
  std::string name(path.substr(slash == path.npos ? 0 : slash + 1));
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (name == ".gitattributes" || name == ".gitignore" || ends_with_any(name, {".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".pdf"})) return FileKind::of_no_use;
  if (name.ends_with(".safetensors")) return FileKind::safetensors;
  if (name.ends_with(".gguf")) return FileKind::gguf;
  if (name.ends_with(".json") || path == "model.sig") return FileKind::json;  // a model's signature is a sigstore bundle
  if (ends_with_any(name, {".jinja", ".jinja2", ".j2"})) return FileKind::template_text;
  if (ends_with_any(name, {".txt", ".md"})) return FileKind::text;
  if (name.ends_with(".onnx")) return FileKind::onnx;
  if (is_onnx_data(name)) return FileKind::variables;
  if (name == "saved_model.pb" || name == "keras_metadata.pb") return FileKind::saved_model;
  if (name.starts_with("variables.data-") || name == "variables.index" || name == "fingerprint.pb") return FileKind::variables;
  const bool has_ending = name.find('.') != name.npos;
  if (!has_ending && starts_with_any(view_of(name), {"license", "licence", "notice", "readme", "copying", "use_policy"})) return FileKind::text;
  // What huggingface_hub writes beside the files of a download.
  if (path.starts_with(".cache/huggingface/") && (ends_with_any(name, {".metadata", ".lock"}) || name == "cachedir.tag")) return FileKind::text;
  if (name == "tokenizer.model" || name == "spiece.model" || name == "sentencepiece.bpe.model" || name.ends_with(".spm")) return FileKind::tokenizer_model;
  if (ends_with_any(name, {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz", ".h5", ".hdf5", ".keras", ".dill", ".p", ".sav", ".data", ".msgpack", ".ot", ".mar", ".nemo", ".pdparams", ".z", ".lzma"})) return FileKind::pickle;
  if (ends_with_any(name, {".py", ".pyc", ".ipynb", ".sh", ".so", ".dll", ".dylib", ".exe", ".js", ".jar", ".bat", ".ps1", ".wasm", ".class", ".lua", ".rb", ".pl", ".php", ".elf", ".pyd", ".pyw", ".bash", ".zsh", ".vbs", ".cmd", ".com", ".msi", ".app", ".html", ".htm"})) return FileKind::code;
  if (ends_with_any(name, {".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar", ".lz4", ".tbz2", ".txz", ".zlib"})) return FileKind::archive;
  return FileKind::unknown;
}

FileKind kind_by_content(ByteView bytes) { return starts_as_pickle(bytes) ? FileKind::pickle : kind_by_magic(bytes); }

FileKind kind_by_magic(ByteView bytes) {
  if (starts_with(bytes, "\x93NUMPY")) return FileKind::pickle;
  if (starts_with_any(bytes, {"\x7f" "ELF", "\xca\xfe\xba\xbe", "\xbe\xba\xfe\xca", "\xcf\xfa\xed\xfe", "\xce\xfa\xed\xfe", "\xfe\xed\xfa\xce", "\xfe\xed\xfa\xcf",
                              std::string_view("\0asm", 4), "!<arch>\n"})) {
    return FileKind::code;
  }
  if (starts_with_any(bytes, {"PK\x03\x04", "PK\x05\x06", "PK\x07\x08", "\x1f\x8b\x08", "\xfd" "7zXZ", "\x28\xb5\x2f\xfd", "\x04\x22\x4d\x18", "7z\xbc\xaf\x27\x1c",
                              "Rar!\x1a\x07", "MSCF", "LZIP"})) {
    return FileKind::archive;
  }
  if (is_hdf5(bytes) || stands_at(bytes, 257, "ustar")) return FileKind::archive;
  return FileKind::unknown;
}

FileKind kind_by_short_magic(ByteView bytes) {
  if (starts_with(bytes, "MZ") || starts_with(bytes, "#!")) return FileKind::code;
  const bool is_bzip2 = bytes.size() > 3 && starts_with(bytes, "BZh") && bytes[3] >= '1' && bytes[3] <= '9';
  return is_bzip2 || starts_with(bytes, "\x1f\x8b") ? FileKind::archive : FileKind::unknown;
}

}  // namespace redoubt::model_scan
