// SPDX-License-Identifier: Apache-2.0
#include "provider/mirrored_image_store.h"

#include <algorithm>

#include "base/json.h"

namespace redoubt::provider {
namespace {

constexpr std::uint64_t kManifestBytesMax = 4 << 20;  // what registries take

// The blobs that a manifest names: its config and its layers, each once.
Result<std::vector<Digest>> blobs_of(const std::string& text, const std::string& where) {
  const Json manifest = TRY(parse_json(text, where));
  std::vector<Digest> blobs;
  const auto add = [&](const Json& descriptor) -> Status {
    const Digest digest = TRY(Digest::parse(TRY(json_string(descriptor, "digest", where))));
    if (std::find(blobs.begin(), blobs.end(), digest) == blobs.end()) blobs.push_back(digest);
    return {};
  };
  if (!manifest.is_object()) return fail(ErrorCode::invalid_argument, "no manifest of an image", where);
  if (manifest.contains("config")) TRY(add(manifest["config"]));
  if (!manifest.contains("layers")) return blobs;
  for (const auto& layer : TRY(json_array(manifest, "layers", where))) TRY(add(layer));
  return blobs;
}

}  // namespace

Result<Digest> MirroredImageStore::put_blob(Source& contents) { return near_.put_blob(contents); }

Result<std::unique_ptr<Source>> MirroredImageStore::open_blob(const Digest& digest) {
  auto blob = near_.open_blob(digest);
  if (blob || blob.error().code != ErrorCode::not_found) return blob;
  return far_.open_blob(digest);
}

Status MirroredImageStore::publish(const Digest& digest) {
  if (far_.open_blob(digest)) return {};
  const auto blob = TRY(near_.open_blob(digest));
  if (TRY(far_.put_blob(*blob)) == digest) return {};
  return fail(ErrorCode::tampered, "a blob arrived with another digest", digest.tagged());
}

Status MirroredImageStore::tag(std::string_view name, const ImageDescriptor& manifest) {
  const auto source = TRY(near_.open_blob(manifest.digest));
  const auto text = to_text(TRY(read_all(*source, kManifestBytesMax)));
  for (const auto& blob : TRY(blobs_of(text, manifest.digest.tagged()))) TRY(publish(blob));
  TRY(publish(manifest.digest));
  TRY(far_.tag(name, manifest));
  return near_.tag(name, manifest);
}

Result<ImageDescriptor> MirroredImageStore::resolve(std::string_view name_or_digest) {
  auto near = TRY(near_.resolve(name_or_digest));
  const auto far = TRY(far_.resolve(name_or_digest));
  if (near.digest == far.digest) return near;
  return fail(ErrorCode::tampered, "the published image is another one: " + far.digest.tagged(), std::string(name_or_digest),
              "find out who changed it; this machine has " + near.digest.tagged());
}

Result<std::vector<std::pair<std::string, ImageDescriptor>>> MirroredImageStore::list() {
  auto images = TRY(near_.list());
  const auto published = TRY(far_.list());
  std::erase_if(images, [&](const auto& image) {
    return std::none_of(published.begin(), published.end(), [&](const auto& there) { return there.first == image.first && there.second.digest == image.second.digest; });
  });
  return images;
}

}  // namespace redoubt::provider
