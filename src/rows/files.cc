// SPDX-License-Identifier: Apache-2.0
#include "rows/files.h"

#include <algorithm>

#include "base/ends_with_any.h"

namespace redoubt::rows {
namespace {

namespace fs = std::filesystem;

Status add_folder(const fs::path& folder, std::vector<fs::path>& files) {
  const auto before = files.size();
  for (const auto& name : TRY(list_folder(folder))) {
    if (name.starts_with('.') || !is_plain_file(folder / name)) continue;
    if (ends_with_any(name, {".jsonl", ".csv", ".CSV"})) files.push_back(folder / name);
    if (ends_with_any(name, {".parquet", ".arrow", ".feather", ".jsonl.gz", ".csv.gz", ".jsonl.zst", ".csv.zst"}))
      return fail(ErrorCode::unsupported, "this kind of file is not read", (folder / name).string(), "convert it to JSON lines or CSV, or take it out of the folder");
  }
  if (files.size() == before) return fail(ErrorCode::not_found, "the folder holds no data", folder.string(), "put *.jsonl or *.csv files right into it");
  return {};
}

}  // namespace

Result<std::vector<fs::path>> data_files(const std::vector<fs::path>& named) {
  if (named.empty()) return fail(ErrorCode::invalid_argument, "no data file is named");
  std::vector<fs::path> files;
  for (const auto& path : named) {
    if (is_folder(path)) TRY(add_folder(path, files));
    else files.push_back(path);
  }
  std::ranges::sort(files, {}, [](const fs::path& path) { return path.lexically_normal().string(); });
  const auto twice = std::ranges::adjacent_find(files, {}, [](const fs::path& path) { return path.lexically_normal().string(); });
  if (twice != files.end()) return fail(ErrorCode::invalid_argument, "the file is named twice", twice->string(), "name each file once, or its folder");
  return files;
}

Result<std::unique_ptr<FilesReader>> FilesReader::open(std::vector<fs::path> files, std::uint64_t row_bytes_max) {
  std::unique_ptr<FilesReader> made(new FilesReader(std::move(files), row_bytes_max));
  TRY(made->open_next());
  return made;
}

Status FilesReader::open_next() {
  const auto& path = files_[opened_++];
  name_ = std::make_shared<const std::string>(path.filename().string());
  source_ = TRY(FileReader::open_regular(path));
  reader_ = TRY(RowReader::open(*source_, *name_, row_bytes_max_));
  return {};
}

Result<std::optional<NumberedRow>> FilesReader::next() {
  while (true) {
    auto row = TRY(reader_->next());
    if (row && files_.size() > 1) row->file = name_;
    if (row || opened_ == files_.size()) return row;
    TRY(open_next());
  }
}

}  // namespace redoubt::rows
