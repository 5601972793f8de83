// SPDX-License-Identifier: Apache-2.0
#include "vault/job_files.h"

#include "base/file.h"
#include "crypto/hash.h"

namespace redoubt::vault {

using provider::JobFile;

Result<std::vector<JobFile>> job_files(ArtifactStore& store, const Digest& artifact) {
  std::vector<JobFile> files;
  for (const auto& file : TRY(store.manifest(artifact)).files) {
    files.push_back({file.path, [&store, digest = file.sha256] { return store.open_blob(digest); }});
  }
  return files;
}

Result<std::vector<JobFile>> job_files(const std::filesystem::path& folder) {
  const auto open = [](const std::filesystem::path& path) -> Result<std::unique_ptr<RandomAccess>> { return TRY(FileReader::open(path)); };
  if (std::filesystem::is_regular_file(folder)) {
    return std::vector<JobFile>{{folder.filename().string(), [open, folder] { return open(folder); }}};
  }
  std::vector<JobFile> files;
  for (const auto& name : TRY(list_files(folder))) {
    files.push_back({name, [open, path = folder / name] { return open(path); }});
  }
  if (files.empty()) return fail(ErrorCode::not_found, "the folder holds no file", folder.string());
  return files;
}

Result<std::uint64_t> bytes_of(const std::vector<JobFile>& files) {
  std::uint64_t bytes = 0;
  for (const auto& file : files) bytes += TRY(file.open())->size();
  return bytes;
}

Result<Digest> artifact_digest(std::string_view kind, const std::vector<JobFile>& files) {
  Manifest manifest{std::string(kind), {}};
  for (const auto& file : files) {
    const auto contents = TRY(file.open());
    RandomAccessSource source(*contents);
    const Digest digest = TRY(crypto::sha256_of(source));
    manifest.files.push_back({file.path, contents->size(), digest});
  }
  return crypto::sha256(TRY(encode_manifest(std::move(manifest))));
}

Result<Digest> store_job_files(ArtifactStore& store, std::string_view kind, const std::vector<JobFile>& files) {
  Manifest manifest;
  manifest.kind = kind;
  for (const auto& file : files) {
    const auto contents = TRY(file.open());
    const Digest digest = TRY(store.put_blob(*contents));
    manifest.files.push_back({file.path, contents->size(), digest});
  }
  return store.put_manifest(manifest);
}

}  // namespace redoubt::vault
