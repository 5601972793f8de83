// SPDX-License-Identifier: Apache-2.0
#include "stages/image/oci/manifest.h"

#include <fmt/format.h>

#include <algorithm>

namespace redoubt::stages::image::oci {
namespace {

constexpr std::size_t kManifestsMax = 4096;
constexpr const char* kDockerManifest = "application/vnd.docker.distribution.manifest.v2+json";
constexpr const char* kDockerList = "application/vnd.docker.distribution.manifest.list.v2+json";

bool is_platform_word(std::string_view word) {
  return !word.empty() && word.size() <= 32 && word.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789._-") == word.npos;
}

// What the media type says must be what the members say, or one reader sees an image where another sees an index.
Status check_type(const Manifest& manifest, const std::string& where) {
  if (manifest.media_type.empty()) return {};
  const bool index_type = manifest.media_type == kIndexType || manifest.media_type == kDockerList;
  const bool image_type = manifest.media_type == kManifestType || manifest.media_type == kDockerManifest;
  if (!index_type && !image_type) return fail(ErrorCode::unsupported, "a manifest of another kind: " + manifest.media_type.substr(0, 120), where, "push the image again in OCI's format");
  if (index_type != manifest.is_index) return fail(ErrorCode::invalid_argument, "a manifest that says it is another kind than it is", where);
  return {};
}

}  // namespace

Result<Platform> Platform::parse(std::string_view text) {
  const auto slash = text.find('/');
  const auto second = slash == text.npos ? text.npos : text.find('/', slash + 1);
  Platform platform;
  platform.os = text.substr(0, slash);
  platform.architecture = slash == text.npos ? "" : text.substr(slash + 1, second == text.npos ? text.npos : second - slash - 1);
  platform.variant = second == text.npos ? "" : text.substr(second + 1);
  const bool good = is_platform_word(platform.os) && is_platform_word(platform.architecture) && (second == text.npos || is_platform_word(platform.variant));
  if (!good) return fail(ErrorCode::invalid_argument, "not a platform: " + std::string(text.substr(0, 80)), "platform", "write it as linux/amd64");
  return platform;
}

std::string Platform::text() const { return os + "/" + architecture + (variant.empty() ? "" : "/" + variant); }

Result<Descriptor> parse_descriptor(const Json& value, const std::string& where) {
  if (!value.is_object()) return fail(ErrorCode::invalid_argument, "a descriptor is no object", where);
  Descriptor descriptor;
  descriptor.blob.media_type = TRY(json_string(value, "mediaType", where));
  const auto digest = TRY(json_string(value, "digest", where));
  if (!digest.starts_with("sha256:")) return fail(ErrorCode::unsupported, "a digest that is no SHA-256: " + digest.substr(0, 20), where);
  descriptor.blob.digest = TRY(Digest::parse(digest));
  const auto size = TRY(json_integer(value, "size", where));
  if (size < 0) return fail(ErrorCode::invalid_argument, "a size below zero", where);
  descriptor.blob.size = static_cast<std::uint64_t>(size);
  descriptor.artifact_type = json_or(value, "artifactType", "");
  descriptor.annotations = json_or(value, "annotations", Json::object());
  if (value.contains("platform") && value["platform"].is_object()) {
    const Json& platform = value["platform"];
    descriptor.platform = Platform{json_or(platform, "os", ""), json_or(platform, "architecture", ""), json_or(platform, "variant", "")};
  }
  return descriptor;
}

Json to_json(const provider::ImageDescriptor& descriptor) {
  return {{"mediaType", descriptor.media_type}, {"digest", descriptor.digest.tagged()}, {"size", descriptor.size}};
}

Result<Manifest> parse_manifest(std::string_view text, const std::string& where) {
  const Json json = TRY(parse_json(text, where, {.bytes_max = kManifestBytesMax, .depth_max = 16}));
  if (!json.is_object()) return fail(ErrorCode::invalid_argument, "a manifest that is no object", where);
  if (json_or(json, "schemaVersion", std::int64_t{2}) != 2) return fail(ErrorCode::unsupported, "a manifest of Docker's schema 1", where, "push the image again with a current tool");
  Manifest manifest;
  manifest.media_type = json_or(json, "mediaType", "");
  manifest.is_index = json.contains("manifests");
  if (manifest.is_index && (json.contains("config") || json.contains("layers"))) return fail(ErrorCode::invalid_argument, "a manifest that is both an image and an index", where);
  TRY(check_type(manifest, where));
  if (!manifest.is_index) manifest.config = TRY(parse_descriptor(TRY(json_object(json, "config", where)), where));
  const Json parts = TRY(json_array(json, manifest.is_index ? "manifests" : "layers", where));
  if (parts.size() > (manifest.is_index ? kManifestsMax : kLayersMax)) return fail(ErrorCode::limit_exceeded, "a manifest that names too much", where);
  for (const auto& part : parts) manifest.layers.push_back(TRY(parse_descriptor(part, where)));
  if (json.contains("subject")) manifest.subject = TRY(parse_descriptor(json["subject"], where));
  manifest.artifact_type = json_or(json, "artifactType", "");
  manifest.annotations = json_or(json, "annotations", Json::object());
  return manifest;
}

bool may_be_elsewhere(const provider::ImageDescriptor& layer) {
  return layer.media_type.starts_with("application/vnd.oci.image.layer.nondistributable.") || layer.media_type.starts_with("application/vnd.docker.image.rootfs.foreign.");
}

Result<Descriptor> choose(const Manifest& index, const Platform& platform, const std::string& where) {
  std::string there;
  for (const auto& image : index.layers) {
    if (!image.platform) continue;
    const bool same = image.platform->os == platform.os && image.platform->architecture == platform.architecture;
    if (same && (platform.variant.empty() || image.platform->variant == platform.variant)) return image;
    there += (there.empty() ? "" : ", ") + image.platform->text();
  }
  return fail(ErrorCode::not_found, fmt::format("no image for {} in this index", platform.text()), where, there.empty() ? "it names no platform" : "it has " + there.substr(0, 400) + "; choose with --platform");
}

Result<std::string> read_document(provider::ImageStore& images, const provider::ImageDescriptor& descriptor) {
  if (descriptor.size > kManifestBytesMax) return fail(ErrorCode::limit_exceeded, "a manifest or configuration of more than 4 MiB", descriptor.digest.tagged());
  auto text = to_text(TRY(read_all(*TRY(images.open_blob(descriptor.digest)), kManifestBytesMax)));
  if (descriptor.size != 0 && text.size() != descriptor.size) return fail(ErrorCode::tampered, "a document has another size than its descriptor says", descriptor.digest.tagged());
  return text;
}

}  // namespace redoubt::stages::image::oci
