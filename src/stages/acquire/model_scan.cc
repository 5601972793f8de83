// SPDX-License-Identifier: Apache-2.0
#include "stages/acquire/model_scan.h"

#include <fmt/format.h>

#include "base/file.h"
#include "stages/acquire/file_kinds.h"
#include "stages/acquire/pickle_start.h"
#include "stages/acquire/sentencepiece.h"
#include "weights/gguf.h"
#include "weights/gguf_reader.h"
#include "weights/safetensors.h"

namespace redoubt::stages::acquire {
namespace fs = std::filesystem;
namespace {

constexpr std::uint64_t kJsonBytesMax = 64 << 20, kTextBytesMax = 64 << 20;
constexpr std::size_t kFilesMax = 100'000, kDepthMax = 32, kFindingsMax = 10'000;

// A configuration's wish to run code of the repository: transformers' auto_map, diffusers' custom_pipelines. In a vocabulary the
// same words are tokens, and their values numbers.
bool asks_for_code(const std::string& key, const Json& value) {
  if (key == "trust_remote_code") return value.is_boolean() && value.get<bool>();
  if (key != "auto_map" && key != "custom_pipelines") return false;
  return (value.is_object() || value.is_array() || value.is_string()) && !value.empty() && value != "";
}

// The first key, at any depth, that asks for code; empty when none does. parse_json has bounded the depth.
std::string code_wish(const Json& value) {
  if (!value.is_structured()) return "";
  for (const auto& [key, member] : value.items()) {
    if (value.is_object() && asks_for_code(key, member)) return key;
    if (auto below = code_wish(member); !below.empty()) return below;
  }
  return "";
}

// What an error of reading says about the machine, not about the file.
bool is_machines(ErrorCode code) { return code == ErrorCode::tampered || code == ErrorCode::unavailable || code == ErrorCode::internal; }

class Scanner {
 public:
  Status scan(const ScannedFile& file) {
    const auto contents = TRY(file.open());
    ++scan_.files;
    scan_.bytes += contents->size();
    const Bytes first = TRY(read_start(*contents));
    if (const FileKind found = kind_by_content(first); found != FileKind::unknown) return refuse_content(file.path, found, 0);
    if (const auto zip = zip_directory(TRY(read_tail(*contents)), contents->size())) return refuse_content(file.path, FileKind::archive, *zip);
    const FileKind named = kind_by_name(file.path), marked = kind_by_short_magic(first);
    if (marked != FileKind::unknown && named != FileKind::safetensors) return refuse_content(file.path, marked, 0);
    return scan_as(named, file.path, *contents);
  }

  void add(std::string path, std::string kind, std::string detail, std::uint64_t offset = 0) {
    if (scan_.findings.size() < kFindingsMax) scan_.findings.push_back({std::move(path), std::move(kind), "critical", std::move(detail), offset});
  }
  ModelScan take() { return std::move(scan_); }

 private:
  Status scan_as(FileKind named, const std::string& path, const RandomAccess& contents) {
    switch (named) {
      case FileKind::safetensors: return check(path, weights::read_header(contents, path));
      case FileKind::gguf: return check(path, weights::GgufHeader::read(contents, path));
      case FileKind::json: return scan_json(path, contents);
      case FileKind::text: return scan_text(path, contents);
      case FileKind::tokenizer_model: return scan_tokenizer_model(path, contents);
      case FileKind::of_no_use: return {};
      case FileKind::unknown: add(path, to_string(named), "a type of file that no model needs"); return {};
      default: add(path, to_string(named), fmt::format("a file of the type {} is not admitted", to_string(named))); return {};
    }
  }

  static Result<Bytes> read_start(const RandomAccess& contents) {
    Bytes bytes(static_cast<std::size_t>(std::min<std::uint64_t>(kPickleStartBytes, contents.size())));
    TRY(contents.read_at(0, bytes));
    return bytes;
  }

  static Result<Bytes> read_tail(const RandomAccess& contents) {
    Bytes bytes(static_cast<std::size_t>(std::min<std::uint64_t>(kZipTailBytes, contents.size())));
    TRY(contents.read_at(contents.size() - bytes.size(), bytes));
    return bytes;
  }

  Status refuse_content(const std::string& path, FileKind found, std::uint64_t offset) {
    add(path, to_string(found), fmt::format("the contents are of the type {}, whatever the name says", to_string(found)), offset);
    return {};
  }

  // A failed look at a file is a finding, unless the machine failed.
  template <class T>
  Status check(const std::string& path, const Result<T>& parsed) {
    if (parsed) return {};
    const Error& error = parsed.error();
    if (is_machines(error.code)) return fail(error);
    const bool names_more = error.where.size() > path.size() && error.where.starts_with(path);
    add(path, "malformed", names_more ? error.message + " (" + error.where.substr(path.size() + 2) + ")" : error.message);
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
    if (const auto wish = code_wish(*json); !wish.empty()) add(path, "remote-code", fmt::format("'{}' asks for code of a repository to be run", wish));
    return {};
  }

  Status scan_text(const std::string& path, const RandomAccess& contents) {
    const auto text = text_of_file(contents, kTextBytesMax);
    if (!text) return check(path, text);
    if (const auto nul = text->find('\0'); nul != text->npos) {
      add(path, "malformed", "a text with a NUL byte", nul);
    } else if (!weights::is_utf8(*text)) {
      add(path, "malformed", "a text that is not UTF-8");
    }
    return {};
  }

  Status scan_tokenizer_model(const std::string& path, const RandomAccess& contents) {
    const auto text = text_of_file(contents, kTextBytesMax);
    if (!text) return check(path, text);
    return check(path, check_sentencepiece(view_of(*text), path));
  }

  ModelScan scan_;
};

// Walks a folder without following anything: what is neither a file nor a folder is a finding, as is what can't be read.
class FolderWalk {
 public:
  FolderWalk(fs::path root, Scanner& scanner) : root_(std::move(root)), scanner_(scanner) {}

  Status walk(const std::string& folder, std::size_t depth) {
    const auto names = list_folder(root_ / folder);
    if (!names && folder.empty()) return fail(names.error());
    if (!names) return found(folder, "unreadable", names.error().message);
    if (depth > kDepthMax) return found(folder, "malformed", "folders are nested too deep");
    for (const auto& name : *names) {
      const std::string path = folder.empty() ? name : folder + "/" + name;
      std::error_code error;
      const auto type = fs::symlink_status(root_ / path, error).type();
      if (type == fs::file_type::directory) {
        TRY(walk(path, depth + 1));
      } else {
        TRY(look(path, type));
      }
    }
    return {};
  }

 private:
  Status found(const std::string& path, const char* kind, std::string detail) {
    scanner_.add(path, kind, std::move(detail));
    return {};
  }

  Status look(const std::string& path, fs::file_type type) {
    if (type == fs::file_type::symlink) return found(path, "symlink", "a symbolic link");
    if (type != fs::file_type::regular) return found(path, "special-file", "neither a file nor a folder");
    if (++files_ > kFilesMax) return fail(ErrorCode::limit_exceeded, "the folder has too many files", root_.string());
    if (!weights::is_utf8(path)) return found(path, "malformed", "a file's name that is not UTF-8");
    auto scanned = scanner_.scan({path, [whole = root_ / path]() -> Result<std::unique_ptr<RandomAccess>> { return TRY(FileReader::open_regular(whole, Links::refuse)); }});
    if (scanned) return {};
    return found(path, "unreadable", scanned.error().message);
  }

  fs::path root_;
  Scanner& scanner_;
  std::size_t files_ = 0;
};

}  // namespace

Json ModelScan::to_json() const {
  Json list = Json::array();
  for (const auto& f : findings) list.push_back({{"path", f.path}, {"kind", f.kind}, {"severity", f.severity}, {"detail", f.detail}, {"offset", f.offset}});
  return {{"safe", safe()}, {"findings", std::move(list)}, {"files", files}, {"bytes", bytes}};
}

sarif::Report ModelScan::to_sarif() const {
  sarif::Report report;
  for (const auto& f : findings) report.findings.push_back({.rule = "model/" + f.kind, .severity = f.severity, .message = f.detail, .path = f.path, .offset = f.offset});
  return report;
}

Result<ModelScan> scan_model(const std::vector<ScannedFile>& files) {
  Scanner scanner;
  for (const auto& file : files) TRY(scanner.scan(file));
  return scanner.take();
}

Result<ModelScan> scan_model(const fs::path& path) {
  Scanner scanner;
  std::error_code error;
  const auto type = fs::status(path, error).type();  // what was named may itself be a link
  if (type == fs::file_type::not_found) return fail(ErrorCode::not_found, "no such file or folder", path.string());
  if (type == fs::file_type::none) return fail_errno(error.value(), "look at", path.string());
  if (type == fs::file_type::directory) {
    TRY(FolderWalk(path, scanner).walk("", 0));
  } else if (type == fs::file_type::regular) {
    const auto open = [&]() -> Result<std::unique_ptr<RandomAccess>> { return TRY(FileReader::open_regular(path)); };
    TRY(scanner.scan({path.filename().string(), open}));
  } else {
    scanner.add(path.filename().string(), "special-file", "neither a file nor a folder");
  }
  auto scan = scanner.take();
  if (scan.files == 0 && scan.safe()) return fail(ErrorCode::not_found, "the folder holds no file", path.string(), "name the model's folder");
  return scan;
}

}  // namespace redoubt::stages::acquire
