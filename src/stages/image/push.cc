// SPDX-License-Identifier: Apache-2.0
#include "stages/image/push.h"

#include <algorithm>

#include "base/json.h"

namespace redoubt::stages::image {
namespace {

constexpr std::uint64_t kManifestBytesMax = 4 << 20;
constexpr std::size_t kLayersMax = 128;

// Hands out a blob of a known length; its last bytes only after its end was seen, where the store checks the digest. So a blob
// that is not what its name says never leaves whole.
class WholeSource final : public Source {
 public:
  WholeSource(Source& from, std::uint64_t size, Progress& progress) : from_(from), size_(size), progress_(progress) {}
  Result<std::size_t> read(MutableByteView into) override {
    const std::size_t count = TRY(from_.read(into.first(static_cast<std::size_t>(std::min<std::uint64_t>(into.size(), size_ - done_)))));
    done_ += count;
    if (count == 0 && done_ < size_) return fail(ErrorCode::tampered, "an image blob is shorter than its manifest says");
    if (done_ == size_ && !std::exchange(ended_, true)) {
      Bytes beyond(1);
      if (TRY(from_.read(beyond)) != 0) return fail(ErrorCode::tampered, "an image blob is longer than its manifest says");
    }
    progress_.update(done_);
    return count;
  }

 private:
  Source& from_;
  std::uint64_t size_, done_ = 0;
  bool ended_ = false;
  Progress& progress_;
};

Result<provider::ImageDescriptor> parse_descriptor(const Json& value, const std::string& where) {
  provider::ImageDescriptor descriptor;
  descriptor.media_type = TRY(json_string(value, "mediaType", where));
  descriptor.digest = TRY(Digest::parse(TRY(json_string(value, "digest", where))));
  const auto size = TRY(json_integer(value, "size", where));
  if (size < 0) return fail(ErrorCode::invalid_argument, "a size below zero", where);
  descriptor.size = static_cast<std::uint64_t>(size);
  return descriptor;
}

// The configuration and the layers; each once.
Result<std::vector<provider::ImageDescriptor>> blobs_of(const std::string& text, const std::string& where) {
  const Json manifest = TRY(parse_json(text, where, {.bytes_max = kManifestBytesMax}));
  if (!manifest.is_object() || !manifest.contains("config")) return fail(ErrorCode::unsupported, "not the manifest of one image", where, "name one platform's manifest, not an index");
  std::vector<provider::ImageDescriptor> blobs;
  const Json layers = TRY(json_array(manifest, "layers", where));
  if (layers.size() > kLayersMax) return fail(ErrorCode::limit_exceeded, "the image has too many layers", where);
  for (const auto& layer : layers) {
    const auto blob = TRY(parse_descriptor(layer, where));
    const bool known = std::any_of(blobs.begin(), blobs.end(), [&](const auto& other) { return other.digest == blob.digest; });
    if (!known) blobs.push_back(blob);
  }
  blobs.push_back(TRY(parse_descriptor(TRY(json_object(manifest, "config", where)), where)));
  return blobs;
}

}  // namespace

Result<PushReport> push_image(provider::ImageStore& images, const provider::ImageDescriptor& image, provider::registry::RegistryClient& registry,
                              const provider::registry::RemoteReference& reference,
                              Progress& progress) {
  PushReport report;
  report.digest = image.digest;
  report.reference = reference.origin.substr(reference.origin.find("//") + 2) + "/" + reference.repository + ":" + reference.tag;
  const auto manifest = to_text(TRY(read_all(*TRY(images.open_blob(image.digest)), kManifestBytesMax)));
  const auto blobs = TRY(blobs_of(manifest, image.digest.tagged()));
  if (const auto there = TRY(registry.manifest(reference.tag))) {
    if (there->descriptor.digest != image.digest) return fail(ErrorCode::already_exists, "the tag names another image there (" + there->descriptor.digest.tagged() + "); tags do not move", report.reference, "push under another tag");
    report.unchanged = true;
    return report;
  }
  for (const auto& blob : blobs) {
    if (TRY(registry.has_blob(blob))) {
      ++report.blobs_present;
      continue;
    }
    progress.begin("image: push " + blob.digest.hex().substr(0, 12), blob.size, "bytes");
    const auto contents = TRY(images.open_blob(blob.digest));
    WholeSource whole(*contents, blob.size, progress);
    TRY(registry.put_blob(blob, whole));
    progress.end();
    ++report.blobs_sent;
    report.bytes_sent += blob.size;
  }
  TRY(registry.put_manifest(reference.tag, image, manifest));
  const auto kept = TRY(registry.manifest(reference.tag));
  if (!kept || kept->descriptor.digest != image.digest) return fail(ErrorCode::tampered, "the registry gives back another manifest than was sent", report.reference);
  return report;
}

}  // namespace redoubt::stages::image
