// SPDX-License-Identifier: Apache-2.0
#include "stages/acquire/file_kinds.h"

#include <algorithm>
#include <array>

namespace redoubt::stages::acquire {
namespace {

using Endings = std::initializer_list<std::string_view>;

bool ends_with_any(std::string_view path, Endings endings) {
  return std::any_of(endings.begin(), endings.end(), [&](std::string_view ending) { return path.ends_with(ending); });
}

bool starts_with(ByteView bytes, std::string_view magic) { return text_of(bytes).substr(0, magic.size()) == magic; }

// Protocols 2 to 5 begin with PROTO; 0 and 1 have no magic, but what torch and joblib wrote with them starts so.
bool looks_like_pickle(ByteView bytes) {
  if (bytes.size() >= 2 && bytes[0] == 0x80 && bytes[1] >= 1 && bytes[1] <= 5) return true;
  for (std::string_view start : {"(dp", "(lp", "(ip", "ccopy_reg", "c__builtin__", "cbuiltins", "cos\n", "cposix", "cnt\n", "csys\n", "csubprocess", "cnumpy", "ctorch", "ccollections"}) {
    if (starts_with(bytes, start)) return true;
  }
  return false;
}

}  // namespace

const char* to_string(FileKind kind) {
  switch (kind) {
    case FileKind::safetensors: return "safetensors";
    case FileKind::gguf: return "gguf";
    case FileKind::json: return "json";
    case FileKind::text: return "text";
    case FileKind::tokenizer_model: return "tokenizer-model";
    case FileKind::of_no_use: return "of-no-use";
    case FileKind::pickle: return "pickle";
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
  if (name.ends_with(".json")) return FileKind::json;
  if (ends_with_any(name, {".txt", ".md", ".jinja"}) || name == "license" || name == "notice" || name == "readme") return FileKind::text;
  if (name == "tokenizer.model" || name == "spiece.model") return FileKind::tokenizer_model;
  if (ends_with_any(name, {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz", ".h5", ".keras", ".dill", ".msgpack", ".ot"})) return FileKind::pickle;
  if (ends_with_any(name, {".py", ".pyc", ".ipynb", ".sh", ".so", ".dll", ".dylib", ".exe", ".js", ".jar", ".bat", ".ps1"})) return FileKind::code;
  if (ends_with_any(name, {".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar", ".lz4"})) return FileKind::archive;
  return FileKind::unknown;
}

FileKind kind_by_content(ByteView bytes) {
  if (looks_like_pickle(bytes)) return FileKind::pickle;
  if (starts_with(bytes, "\x7f" "ELF") || starts_with(bytes, "MZ") || starts_with(bytes, "#!") || starts_with(bytes, "\xca\xfe\xba\xbe") || starts_with(bytes, "\xcf\xfa\xed\xfe")) return FileKind::code;
  for (std::string_view magic : {std::string_view("PK\x03\x04"), std::string_view("PK\x05\x06"), std::string_view("\x1f\x8b"), std::string_view("BZh"), std::string_view("\xfd" "7zXZ"), std::string_view("\x28\xb5\x2f\xfd"), std::string_view("\x04\x22\x4d\x18"), std::string_view("7z\xbc\xaf"), std::string_view("Rar!"), std::string_view("\x89HDF")}) {
    if (starts_with(bytes, magic)) return FileKind::archive;
  }
  if (bytes.size() > 262 && text_of(bytes).substr(257, 5) == "ustar") return FileKind::archive;
  return FileKind::unknown;
}

}  // namespace redoubt::stages::acquire
