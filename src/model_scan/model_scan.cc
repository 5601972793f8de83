// SPDX-License-Identifier: Apache-2.0
#include "model_scan/model_scan.h"

#include "base/file.h"
#include "model_scan/scan.h"
#include "weights/gguf_reader.h"

namespace redoubt::model_scan {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kFilesMax = 100'000, kFoldersDepthMax = 32;

// Walks a folder without following anything: what is neither a file nor a folder is a finding, as is what can't be read.
class FolderWalk {
 public:
  FolderWalk(fs::path root, Scan& scan) : root_(std::move(root)), scan_(scan) {}

  Status walk(const std::string& folder, std::size_t depth) {
    const auto names = list_folder(root_ / folder);
    if (!names && folder.empty()) return fail(names.error());
    if (!names) return found(folder, "unreadable", names.error().message);
    if (depth > kFoldersDepthMax) return found(folder, "malformed", "folders are nested too deep");
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
    scan_.add({path}, kind, std::string("file/") + kind, "critical", std::move(detail));
    return {};
  }

  Status look(const std::string& path, fs::file_type type) {
    if (type == fs::file_type::symlink) return found(path, "symlink", "a symbolic link");
    if (type != fs::file_type::regular) return found(path, "special-file", "neither a file nor a folder");
    if (++files_ > kFilesMax) return fail(ErrorCode::limit_exceeded, "the folder has too many files", root_.string());
    if (!weights::is_utf8(path)) return found(path, "malformed", "a file's name that is not UTF-8");
    auto file = FileReader::open_regular(root_ / path, Links::refuse);
    if (!file) return found(path, "unreadable", file.error().message);
    scan_.count_file((*file)->size());
    const auto looked = scan_.look(**file, {path});
    return looked ? Status{} : found(path, "unreadable", looked.error().message);
  }

  fs::path root_;
  Scan& scan_;
  std::size_t files_ = 0;
};

}  // namespace

Result<ModelScan> scan_model(const std::vector<ScannedFile>& files) {
  Scan scan;
  for (const auto& file : files) {
    const auto contents = TRY(file.open());
    scan.count_file(contents->size());
    TRY(scan.look(*contents, {file.path}));
  }
  return scan.take();
}

Result<ModelScan> scan_file(const RandomAccess& contents, const std::string& path) {
  Scan scan;
  scan.count_file(contents.size());
  TRY(scan.look(contents, {path}));
  return scan.take();
}

Result<ModelScan> scan_model(const fs::path& path) {
  Scan scan;
  std::error_code error;
  const auto type = fs::status(path, error).type();  // what was named may itself be a link
  const std::string name = path.filename().string();
  if (type == fs::file_type::not_found) return fail(ErrorCode::not_found, "no such file or folder", path.string());
  if (type == fs::file_type::none) return fail_errno(error.value(), "look at", path.string());
  if (type == fs::file_type::directory) {
    TRY(FolderWalk(path, scan).walk("", 0));
  } else if (type == fs::file_type::regular) {
    const auto file = TRY(FileReader::open_regular(path));
    scan.count_file(file->size());
    TRY(scan.look(*file, {name}));
  } else {
    scan.add({name}, "special-file", "file/special-file", "critical", "neither a file nor a folder");
  }
  auto report = scan.take();
  if (report.files == 0 && report.safe()) return fail(ErrorCode::not_found, "the folder holds no file", path.string(), "name the model's folder");
  return report;
}

}  // namespace redoubt::model_scan
