// SPDX-License-Identifier: Apache-2.0
#include "vault/manifest.h"

#include <algorithm>

#include "base/file.h"
#include "base/json.h"

namespace redoubt::vault {
namespace {

constexpr int kManifestVersion = 1;

bool is_kind(std::string_view kind) {
  const auto allowed = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; };
  return !kind.empty() && kind.size() <= 64 && std::all_of(kind.begin(), kind.end(), allowed);
}

Result<ArtifactFile> parse_file(const Json& entry) {
  const std::int64_t size = TRY(json_integer(entry, "size", "manifest"));
  if (size < 0) return fail(ErrorCode::invalid_argument, "negative size", "manifest");
  ArtifactFile file;
  file.path = TRY(json_string(entry, "path", "manifest"));
  file.size = static_cast<std::uint64_t>(size);
  file.sha256 = TRY(Digest::parse(TRY(json_string(entry, "sha256", "manifest"))));
  return file;
}

Result<Manifest> parse_fields(std::string_view text) {
  const auto json = TRY(parse_json(text, "manifest", {.bytes_max = kManifestBytesMax, .depth_max = 4}));
  Manifest manifest;
  manifest.kind = TRY(json_string(json, "kind", "manifest"));
  for (const auto& entry : TRY(json_array(json, "files", "manifest"))) manifest.files.push_back(TRY(parse_file(entry)));
  return manifest;
}

}  // namespace

Result<std::string> encode_manifest(Manifest manifest) {
  if (!is_kind(manifest.kind)) return fail(ErrorCode::invalid_argument, "not a kind of artifact", manifest.kind);
  std::sort(manifest.files.begin(), manifest.files.end(), [](const auto& a, const auto& b) { return a.path < b.path; });
  Json files = Json::array();
  for (std::size_t i = 0; i < manifest.files.size(); ++i) {
    const auto& file = manifest.files[i];
    if (!is_safe_relative_path(file.path)) return fail(ErrorCode::invalid_argument, "unsafe path in an artifact", file.path);
    if (i > 0 && manifest.files[i - 1].path == file.path) {
      return fail(ErrorCode::invalid_argument, "a path stands twice in an artifact", file.path);
    }
    files.push_back({{"path", file.path}, {"size", file.size}, {"sha256", file.sha256.hex()}});
  }
  auto json = dump_json({{"version", kManifestVersion}, {"kind", manifest.kind}, {"files", std::move(files)}});
  if (json.size() > kManifestBytesMax)
    return fail(ErrorCode::limit_exceeded, "an artifact has too many files", manifest.kind);
  return json;
}

Result<Manifest> parse_manifest(std::string_view json) {
  auto manifest = parse_fields(json);
  // What is not written back the same was not written by us.
  const auto again = manifest ? encode_manifest(*manifest) : Result<std::string>(fail(manifest.error()));
  if (!again || *again != json) return fail(ErrorCode::tampered, "not the manifest of an artifact");
  return manifest;
}

}  // namespace redoubt::vault
