// SPDX-License-Identifier: Apache-2.0
#include "stages/image/oci/image.h"

#include <fmt/format.h>

#include "base/file.h"
#include "stages/image/oci/passing.h"

namespace redoubt::stages::image::oci {
namespace {

constexpr int kNestingMax = 4;  // of indexes in indexes

tl::unexpected<Error> not_as_named(const char* what, const Digest& digest) { return fail(ErrorCode::tampered, what, digest.tagged(), "fetch the image again from where it comes from"); }

// One layer from its stored bytes to its entries.
Status read_layer(provider::ImageStore& images, const provider::ImageDescriptor& layer, const Digest* diff_id, LayerLimits& limits, Progress& progress, const image_layer::OnEntry& on_entry) {
  const auto blob = TRY(images.open_blob(layer.digest));
  progress.begin("image: read " + layer.digest.hex().substr(0, 12), layer.size, "bytes");
  CountedSource stored(*blob, progress);
  const auto plain = TRY(image_layer::uncompressed(stored, layer.media_type));
  HashedSource hashed(*plain);
  auto read = image_layer::read_tar(hashed, limits, on_entry);
  // A changed byte often breaks the tar or the compression before the digest is known, and tampering is the better word for it.
  TRY(drain(stored));
  TRY(std::move(read));
  progress.end();
  if (stored.bytes != layer.size) return not_as_named("a layer has another size than its descriptor says", layer.digest);
  if (diff_id != nullptr && hashed.finish() != *diff_id) return not_as_named("a layer is not the one whose diff_id the configuration names", layer.digest);
  return {};
}

Result<std::vector<Digest>> diff_ids_of(const Json& config, std::size_t layers, const std::string& where) {
  const Json rootfs = TRY(json_object(config, "rootfs", where));
  std::vector<Digest> ids;
  for (const auto& id : TRY(json_array(rootfs, "diff_ids", where))) {
    if (!id.is_string() || !id.get_ref<const std::string&>().starts_with("sha256:")) return fail(ErrorCode::invalid_argument, "a diff_id that is no SHA-256", where);
    ids.push_back(TRY(Digest::parse(id.get_ref<const std::string&>())));
  }
  if (ids.size() != layers) return fail(ErrorCode::tampered, fmt::format("the configuration names {} layers and the manifest {}", ids.size(), layers), where);
  return ids;
}

Result<std::pair<provider::ImageDescriptor, std::string>> find_manifest(provider::ImageStore& images, provider::ImageDescriptor image, const Platform& platform) {
  for (int depth = 0; depth <= kNestingMax; ++depth) {
    auto text = TRY(read_document(images, image));
    const auto manifest = TRY(parse_manifest(text, image.digest.tagged()));
    if (!manifest.is_index) {
      image.size = text.size();
      return std::pair(image, std::move(text));
    }
    image = TRY(choose(manifest, platform, image.digest.tagged())).blob;
  }
  return fail(ErrorCode::limit_exceeded, "indexes nested too deep", image.digest.tagged());
}

}  // namespace

Result<Image> read_image_documents(provider::ImageStore& images, const provider::ImageDescriptor& image, const Platform& platform) {
  Image out;
  auto [descriptor, text] = TRY(find_manifest(images, image, platform));
  const std::string where = descriptor.digest.tagged();
  const Manifest manifest = TRY(parse_manifest(text, where));
  out.manifest = descriptor;
  if (!manifest.media_type.empty()) out.manifest.media_type = manifest.media_type;
  out.manifest_text = std::move(text);
  out.config_blob = manifest.config->blob;
  for (const auto& layer : manifest.layers) out.layers.push_back(layer.blob);
  const std::string config = TRY(read_document(images, out.config_blob));
  out.config = TRY(parse_json(config, out.config_blob.digest.tagged(), {.bytes_max = kManifestBytesMax}));
  if (!out.config.is_object() || !out.config.contains("rootfs")) return fail(ErrorCode::invalid_argument, "not an image that can be run: its configuration names no layers", where);
  out.diff_ids = TRY(diff_ids_of(out.config, out.layers.size(), out.config_blob.digest.tagged()));
  return out;
}

Result<Image> read_image(provider::ImageStore& images, const provider::ImageDescriptor& image, const Platform& platform, Progress& progress, const OnLayerEntry& on_entry,
                         LayerLimits limits) {
  Image out = TRY(read_image_documents(images, image, platform));
  for (std::size_t i = 0; i < out.layers.size(); ++i) {
    const int number = static_cast<int>(i);
    TRY(read_layer(images, out.layers[i], &out.diff_ids[i], limits, progress, [&](const LayerEntry& entry, Source& contents) -> Status {
      if (on_entry) TRY(on_entry(number, entry, contents));
      return out.tree.apply(entry, number);
    }));
  }
  return out;
}

Result<std::string> read_file(provider::ImageStore& images, const Image& image, const std::string& path, std::uint64_t bytes_max) {
  const auto* node = image.tree.find(path);
  if (node == nullptr || node->kind != EntryKind::file || node->contents_layer < 0) return fail(ErrorCode::not_found, "no such file in the image", path);
  std::string text;
  bool found = false;
  LayerLimits limits;
  NoProgress quiet;
  TRY(read_layer(images, image.layers[static_cast<std::size_t>(node->contents_layer)], nullptr, limits, quiet, [&](const LayerEntry& entry, Source& contents) -> Status {
    if (entry.path != node->layer_path || entry.kind != EntryKind::file) return {};
    text = to_text(TRY(read_all(contents, bytes_max)));
    found = true;
    return {};
  }));
  if (!found) return fail(ErrorCode::not_found, "no such file in the image", path);
  return text;
}

Status extract(provider::ImageStore& images, const Image& image, const std::map<std::string, std::filesystem::path>& wanted, Progress& progress) {
  std::map<int, std::multimap<std::string, std::filesystem::path>> by_layer;
  for (const auto& [path, file] : wanted) {
    const auto* node = image.tree.find(path);
    if (node == nullptr || node->kind != EntryKind::file || node->contents_layer < 0) return fail(ErrorCode::not_found, "no such file in the image", path);
    by_layer[node->contents_layer].emplace(node->layer_path, file);
  }
  for (const auto& [layer, files] : by_layer) {
    LayerLimits limits;
    TRY(read_layer(images, image.layers[static_cast<std::size_t>(layer)], nullptr, limits, progress, [&files = files](const LayerEntry& entry, Source& contents) -> Status {
      if (entry.kind != EntryKind::file) return {};
      // A name that stands twice in a layer: the last one counts, and each target is written anew.
      const auto [first, end] = files.equal_range(entry.path);
      if (first == end) return {};
      auto file = TRY(AtomicFile::create(first->second));
      TRY(copy(contents, *file));
      TRY(file->commit());
      for (auto other = std::next(first); other != end; ++other) {
        auto again = TRY(FileReader::open(first->second));
        auto target = TRY(AtomicFile::create(other->second));
        TRY(copy(*again, *target));
        TRY(target->commit());
      }
      return {};
    }));
  }
  return {};
}

Status copy_blobs(provider::ImageStore& from, provider::ImageStore& to, const Image& image, Progress& progress) {
  std::vector<provider::ImageDescriptor> blobs = image.layers;
  blobs.push_back(image.config_blob);
  blobs.push_back(image.manifest);
  for (const auto& blob : blobs) {
    progress.begin("image: copy " + blob.digest.hex().substr(0, 12), blob.size, "bytes");
    const auto source = TRY(from.open_blob(blob.digest));
    CountedSource counted(*source, progress);
    const Digest stored = TRY(to.put_blob(counted));
    progress.end();
    if (stored != blob.digest) return not_as_named("a blob is not what its digest says", blob.digest);
  }
  return {};
}

}  // namespace redoubt::stages::image::oci
