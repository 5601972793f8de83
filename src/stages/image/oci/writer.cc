// SPDX-License-Identifier: Apache-2.0
#include "stages/image/oci/writer.h"

#include <archive.h>
#include <archive_entry.h>

#include <filesystem>

#include "stages/image/oci/passing.h"

namespace redoubt::stages::image::oci {
namespace {

// What is read from it, through gzip.
class GzipSource final : public Source {
 public:
  static Result<std::unique_ptr<GzipSource>> create(Source& from) {
    std::unique_ptr<GzipSource> made(new GzipSource(from));
    archive* writer = made->writer_.get();
    const bool ready = archive_write_add_filter_gzip(writer) == ARCHIVE_OK && archive_write_set_format_raw(writer) == ARCHIVE_OK &&
                       archive_write_set_options(writer, "gzip:!timestamp,gzip:compression-level=6") == ARCHIVE_OK &&
                       archive_write_set_bytes_per_block(writer, 0) == ARCHIVE_OK &&
                       archive_write_open(writer, made.get(), nullptr, &GzipSource::on_bytes, nullptr) == ARCHIVE_OK;
    const std::unique_ptr<archive_entry, void (*)(archive_entry*)> entry(archive_entry_new(), archive_entry_free);
    archive_entry_set_filetype(entry.get(), AE_IFREG);
    if (!ready || archive_write_header(writer, entry.get()) != ARCHIVE_OK) return fail(ErrorCode::unsupported, "libarchive can't write gzip here");
    return made;
  }

  Result<std::size_t> read(MutableByteView into) override {
    while (at_ == ready_.size() && !ended_) {
      ready_.clear();
      at_ = 0;
      const std::size_t count = TRY(from_.read(chunk_));
      ended_ = count == 0;
      const bool written = ended_ ? archive_write_close(writer_.get()) == ARCHIVE_OK
                                  : archive_write_data(writer_.get(), chunk_.data(), count) == static_cast<la_ssize_t>(count);
      if (!written) return fail(ErrorCode::internal, "gzip failed", "image layer");
    }
    const std::size_t count = std::min(into.size(), ready_.size() - at_);
    std::copy_n(ready_.begin() + static_cast<std::ptrdiff_t>(at_), count, into.begin());
    at_ += count;
    return count;
  }

 private:
  explicit GzipSource(Source& from) : from_(from), writer_(archive_write_new(), archive_write_free), chunk_(256 << 10) {}
  static la_ssize_t on_bytes(archive*, void* self, const void* bytes, std::size_t size) {
    auto& ready = static_cast<GzipSource*>(self)->ready_;
    const auto* first = static_cast<const std::uint8_t*>(bytes);
    ready.insert(ready.end(), first, first + size);
    return static_cast<la_ssize_t>(size);
  }

  Source& from_;
  std::unique_ptr<archive, int (*)(archive*)> writer_;
  Bytes chunk_, ready_;
  std::size_t at_ = 0;
  bool ended_ = false;
};

std::uint64_t bytes_in(const std::vector<TarEntry>& entries) {
  std::uint64_t total = 0;
  for (const auto& entry : entries) {
    std::error_code error;
    const auto size = entry.file.empty() ? entry.contents.size() : std::filesystem::file_size(entry.file, error);
    total += error ? 0 : size;
  }
  return total;
}

}  // namespace

Result<WrittenLayer> write_layer(provider::ImageStore& images, std::vector<TarEntry> entries, const LayerOptions& options, std::string_view label, Progress& progress) {
  progress.begin(label, bytes_in(entries), "bytes");
  const auto tar = TRY(TarSource::create(std::move(entries), options.parents, options.seconds));
  HashedSource hashed(*tar);
  WrittenLayer layer;
  if (options.compression == LayerCompression::none) {
    CountedSource counted(hashed, progress);
    layer.blob.digest = TRY(images.put_blob(counted));
    layer.blob.size = counted.bytes;
    layer.blob.media_type = kLayerType;
  } else {
    const auto gzip = TRY(GzipSource::create(hashed));
    CountedSource counted(*gzip, progress);
    layer.blob.digest = TRY(images.put_blob(counted));
    layer.blob.size = counted.bytes;
    layer.blob.media_type = std::string(kLayerType) + "+gzip";
  }
  layer.diff_id = hashed.finish();
  progress.end();
  return layer;
}

Result<provider::ImageDescriptor> write_json(provider::ImageStore& images, const Json& value, const char* media_type) {
  const std::string text = dump_json(value);
  MemorySource source(view_of(text));
  const Digest digest = TRY(images.put_blob(source));
  return provider::ImageDescriptor{media_type, digest, text.size()};
}

Result<provider::ImageDescriptor> write_manifest(provider::ImageStore& images, Json config, const std::vector<WrittenLayer>& layers, const Json& annotations) {
  Json diff_ids = Json::array(), blobs = Json::array();
  for (const auto& layer : layers) {
    diff_ids.push_back(layer.diff_id.tagged());
    blobs.push_back(to_json(layer.blob));
  }
  config["rootfs"] = {{"type", "layers"}, {"diff_ids", diff_ids}};
  const auto config_blob = TRY(write_json(images, config, kConfigType));
  Json manifest = {{"schemaVersion", 2}, {"mediaType", kManifestType}, {"config", to_json(config_blob)}, {"layers", blobs}};
  if (!annotations.empty()) manifest["annotations"] = annotations;
  return write_json(images, manifest, kManifestType);
}

}  // namespace redoubt::stages::image::oci
