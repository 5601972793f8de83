// SPDX-License-Identifier: Apache-2.0
#include "stages/acquire/model_scan.h"

#include <fmt/format.h>

#include "base/file.h"
#include "stages/acquire/file_kinds.h"
#include "weights/gguf.h"
#include "weights/safetensors.h"

namespace redoubt::stages::acquire {
namespace fs = std::filesystem;
namespace {

constexpr std::uint64_t kJsonBytesMax = 64 << 20, kTextBytesMax = 64 << 20;
constexpr std::size_t kMagicBytes = 512;

class Scanner {
 public:
  Status scan(const ScannedFile& file) {
    const auto contents = TRY(file.open());
    ++scan_.files;
    scan_.bytes += contents->size();
    Bytes first(static_cast<std::size_t>(std::min<std::uint64_t>(kMagicBytes, contents->size())));
    TRY(contents->read_at(0, first));
    const FileKind named = kind_by_name(file.path), found = kind_by_content(first);
    if (found != FileKind::unknown) {
      add(file.path, to_string(found), fmt::format("the contents are {}, whatever the name says", to_string(found)));
      return {};
    }
    switch (named) {
      case FileKind::safetensors: return check(file.path, weights::read_header(*contents, file.path));
      case FileKind::gguf: return check(file.path, weights::GgufHeader::read(*contents, file.path));
      case FileKind::json: return scan_json(file.path, *contents);
      case FileKind::text: return scan_text(file.path, *contents);
      case FileKind::tokenizer_model:
      case FileKind::of_no_use: return {};
      default: add(file.path, to_string(named), named == FileKind::unknown ? "a type of file that no model needs" : fmt::format("{} is not admitted", to_string(named)));
    }
    return {};
  }

  void add(std::string path, std::string kind, std::string detail) { scan_.findings.push_back({std::move(path), std::move(kind), "critical", std::move(detail), 0}); }
  ModelScan take() { return std::move(scan_); }

 private:
  template <class T>
  Status check(const std::string& path, const Result<T>& parsed) {
    if (parsed) return {};
    if (parsed.error().code == ErrorCode::tampered || parsed.error().code == ErrorCode::unavailable) return fail(parsed.error());
    add(path, "malformed", parsed.error().message);
    return {};
  }

  Result<std::string> text_of_file(const RandomAccess& contents, std::uint64_t bytes_max) {
    RandomAccessSource source(contents);
    return to_text(TRY(read_all(source, bytes_max)));
  }

  Status scan_json(const std::string& path, const RandomAccess& contents) {
    const auto text = text_of_file(contents, kJsonBytesMax);
    if (!text) return check(path, text);
    const auto json = parse_json(*text, path, {.bytes_max = kJsonBytesMax});
    if (!json) return check(path, json);
    if (json->is_object() && json->contains("auto_map")) add(path, "remote-code", "'auto_map' asks for code of the repository to be run");
    if (json->is_object() && json->value("trust_remote_code", Json(false)) == Json(true)) add(path, "remote-code", "asks for trust_remote_code");
    return {};
  }

  Status scan_text(const std::string& path, const RandomAccess& contents) { return check(path, text_of_file(contents, kTextBytesMax)); }

  ModelScan scan_;
};

// Everything below a folder that is no plain file.
void find_odd_files(const fs::path& folder, Scanner& scanner) {
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_symlink()) {
      scanner.add(entry.path().lexically_relative(folder).string(), "symlink", "a symbolic link");
    } else if (!entry.is_directory() && !entry.is_regular_file()) {
      scanner.add(entry.path().lexically_relative(folder).string(), "special-file", "neither a file nor a folder");
    }
  }
}

}  // namespace

Json ModelScan::to_json() const {
  Json list = Json::array();
  for (const auto& f : findings) list.push_back({{"path", f.path}, {"kind", f.kind}, {"severity", f.severity}, {"detail", f.detail}, {"offset", f.offset}});
  return {{"safe", safe()}, {"findings", std::move(list)}, {"files", files}, {"bytes", bytes}};
}

Result<ModelScan> scan_model(const std::vector<ScannedFile>& files) {
  Scanner scanner;
  for (const auto& file : files) TRY(scanner.scan(file));
  return scanner.take();
}

Result<ModelScan> scan_model(const fs::path& path) {
  const auto open = [](fs::path file) { return [file]() -> Result<std::unique_ptr<RandomAccess>> { return TRY(FileReader::open(file)); }; };
  Scanner scanner;
  std::error_code error;
  if (fs::is_regular_file(path, error)) {
    TRY(scanner.scan({path.filename().string(), open(path)}));
    return scanner.take();
  }
  if (!fs::is_directory(path, error)) return fail(ErrorCode::not_found, "no such file or folder", path.string());
  find_odd_files(path, scanner);
  for (const auto& entry : fs::recursive_directory_iterator(path)) {
    if (entry.is_regular_file() && !entry.is_symlink()) TRY(scanner.scan({entry.path().lexically_relative(path).string(), open(entry.path())}));
  }
  return scanner.take();
}

}  // namespace redoubt::stages::acquire
