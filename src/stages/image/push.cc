// SPDX-License-Identifier: Apache-2.0
#include "stages/image/push.h"

#include <algorithm>
#include <set>

#include "base/json.h"
#include "stages/image/oci/passing.h"

namespace redoubt::stages::image {
namespace {

constexpr int kNestingMax = 4;  // of indexes in indexes
constexpr std::uint64_t kBlobBytesMax = 1ull << 40;

using provider::ImageDescriptor;
using provider::registry::RegistryClient;

// Where an image comes from, and how a part of it is had.
struct Origin {
  std::function<Result<std::string>(const ImageDescriptor&)> document;  // of a manifest, its digest checked
  std::function<Result<std::unique_ptr<Source>>(const ImageDescriptor&)> blob;
};

// Hands out what it reads and tells of it.
class ShownSource final : public Source {
 public:
  ShownSource(std::unique_ptr<Source> from, Progress& progress) : from_(std::move(from)), progress_(progress) {}
  Result<std::size_t> read(MutableByteView into) override {
    const std::size_t count = TRY(from_->read(into));
    done_ += count;
    progress_.update(done_);
    return count;
  }

 private:
  std::unique_ptr<Source> from_;
  Progress& progress_;
  std::uint64_t done_ = 0;
};

std::string reference_text(const provider::registry::RemoteReference& reference) { return reference.origin.substr(reference.origin.find("//") + 2) + "/" + reference.repository + ":" + reference.tag; }

// Sends an image and what it names, the deepest first.
class Pusher {
 public:
  Pusher(const Origin& origin, RegistryClient& registry, PushReport& report, Progress& progress) : origin_(origin), registry_(registry), report_(report), progress_(progress) {}

  // `name`: under which the manifest is put, its digest or a tag.
  Status push(const ImageDescriptor& image, const std::string& name, int depth) {
    if (depth > kNestingMax) return fail(ErrorCode::limit_exceeded, "indexes nested too deep", image.digest.tagged());
    const std::string text = TRY(origin_.document(image));
    const auto manifest = TRY(oci::parse_manifest(text, image.digest.tagged()));
    for (const auto& part : manifest.layers) TRY(manifest.is_index ? push_inner(part.blob, depth) : push_blob(part.blob));
    if (manifest.config) TRY(push_blob(manifest.config->blob));
    auto descriptor = image;
    if (!manifest.media_type.empty()) descriptor.media_type = manifest.media_type;
    TRY(registry_.put_manifest(name, descriptor, text));
    return {};
  }

 private:
  Status push_inner(const ImageDescriptor& image, int depth) {
    if (!sent_.insert(image.digest).second) return {};
    return push(image, image.digest.tagged(), depth + 1);
  }

  Status push_blob(const ImageDescriptor& blob) {
    if (!sent_.insert(blob.digest).second) return {};
    if (TRY(registry_.has_blob(blob))) {
      ++report_.blobs_present;
      return {};
    }
    if (TRY(registry_.mount_blob(blob))) {
      ++report_.blobs_mounted;
      return {};
    }
    if (oci::may_be_elsewhere(blob)) {
      const auto here = origin_.blob(blob);
      if (!here && here.error().code == ErrorCode::not_found) return {};
    }
    progress_.begin("image: push " + blob.digest.hex().substr(0, 12), blob.size, "bytes");
    TRY(registry_.put_blob(blob, [&]() -> Result<std::unique_ptr<Source>> {
      auto contents = TRY(origin_.blob(blob));
      return std::unique_ptr<Source>(std::make_unique<ShownSource>(std::move(contents), progress_));
    }));
    progress_.end();
    ++report_.blobs_sent;
    report_.bytes_sent += blob.size;
    return {};
  }

  const Origin& origin_;
  RegistryClient& registry_;
  PushReport& report_;
  Progress& progress_;
  std::set<Digest> sent_;
};

Result<PushReport> push_from(const Origin& origin, const ImageDescriptor& image, RegistryClient& registry, const provider::registry::RemoteReference& reference, Progress& progress) {
  PushReport report;
  report.digest = image.digest;
  report.reference = reference_text(reference);
  if (const auto there = TRY(registry.manifest(reference.tag))) {
    if (there->descriptor.digest != image.digest) return fail(ErrorCode::already_exists, "the tag names another image there (" + there->descriptor.digest.tagged() + "); tags do not move", report.reference, "push under another tag");
    report.unchanged = true;
    return report;
  }
  TRY(Pusher(origin, registry, report, progress).push(image, reference.tag, 0));
  const auto kept = TRY(registry.manifest(reference.tag));
  if (!kept || kept->descriptor.digest != image.digest) return fail(ErrorCode::tampered, "the registry gives back another manifest than was sent", report.reference);
  return report;
}

Result<std::string> fetch_document(const RegistryClient& registry, const ImageDescriptor& image) {
  auto found = TRY(registry.manifest(image.digest.tagged()));
  if (!found) return fail(ErrorCode::not_found, "the registry has no such manifest", image.digest.tagged());
  if (image.size != 0 && found->bytes.size() != image.size) return fail(ErrorCode::tampered, "a manifest has another size than its descriptor says", image.digest.tagged());
  return std::move(found->bytes);
}

// What a name stands for there; of an index, one image where that is asked for.
Result<ImageDescriptor> find_remote(const RegistryClient& registry, const std::string& name, Platforms platforms, const oci::Platform& platform) {
  const auto found = TRY(registry.manifest(name));
  if (!found) return fail(ErrorCode::not_found, "the registry has no such image", registry.reference().repository + ":" + name);
  ImageDescriptor image = found->descriptor;
  std::string text = found->bytes;
  for (int depth = 0; depth <= kNestingMax; ++depth) {
    const auto manifest = TRY(oci::parse_manifest(text, image.digest.tagged()));
    if (!manifest.media_type.empty()) image.media_type = manifest.media_type;
    if (image.media_type.empty()) image.media_type = manifest.is_index ? oci::kIndexType : oci::kManifestType;
    if (!manifest.is_index || platforms == Platforms::all) return image;
    image = TRY(oci::choose(manifest, platform, registry.reference().repository + ":" + name)).blob;
    text = TRY(fetch_document(registry, image));
  }
  return fail(ErrorCode::limit_exceeded, "indexes nested too deep", name);
}

class Puller {
 public:
  Puller(const RegistryClient& registry, provider::ImageStore& images, PullReport& report, Progress& progress) : registry_(registry), images_(images), report_(report), progress_(progress) {}

  Status pull(const ImageDescriptor& image, int depth) {
    if (depth > kNestingMax) return fail(ErrorCode::limit_exceeded, "indexes nested too deep", image.digest.tagged());
    if (!done_.insert(image.digest).second) return {};
    const std::string text = TRY(fetch_document(registry_, image));
    const auto manifest = TRY(oci::parse_manifest(text, image.digest.tagged()));
    for (const auto& part : manifest.layers) TRY(manifest.is_index ? pull(part.blob, depth + 1) : pull_blob(part.blob));
    if (manifest.config) TRY(pull_blob(manifest.config->blob));
    MemorySource source(view_of(text));
    TRY(images_.put_blob(source));
    return {};
  }

 private:
  Status pull_blob(const ImageDescriptor& blob) {
    if (!done_.insert(blob.digest).second) return {};
    if (blob.size > kBlobBytesMax) return fail(ErrorCode::limit_exceeded, "a blob of more than 1 TiB", blob.digest.tagged());
    if (is_whole(blob)) {
      ++report_.blobs_present;
      return {};
    }
    auto opened = registry_.open_blob(blob.digest);
    if (!opened && opened.error().code == ErrorCode::not_found && oci::may_be_elsewhere(blob)) return {};
    const auto source = TRY(std::move(opened));
    progress_.begin("image: pull " + blob.digest.hex().substr(0, 12), blob.size, "bytes");
    oci::CountedSource counted(*source, progress_);
    Limited limited(counted, blob);
    const Digest stored = TRY(images_.put_blob(limited));
    progress_.end();
    if (stored != blob.digest || counted.bytes != blob.size) return fail(ErrorCode::tampered, "the registry gives another blob than was asked for", blob.digest.tagged());
    ++report_.blobs_fetched;
    report_.bytes_fetched += blob.size;
    return {};
  }

  // What is there already is read before it is believed.
  bool is_whole(const ImageDescriptor& blob) {
    auto here = images_.open_blob(blob.digest);
    return here && oci::drain(**here);
  }

  // More than the manifest says is never written down.
  class Limited final : public Source {
   public:
    Limited(Source& from, const ImageDescriptor& blob) : from_(from), blob_(blob) {}
    Result<std::size_t> read(MutableByteView into) override {
      const std::size_t count = TRY(from_.read(into));
      if ((done_ += count) > blob_.size) return fail(ErrorCode::tampered, "a blob is longer than its manifest says", blob_.digest.tagged());
      return count;
    }

   private:
    Source& from_;
    const ImageDescriptor& blob_;
    std::uint64_t done_ = 0;
  };

  const RegistryClient& registry_;
  provider::ImageStore& images_;
  PullReport& report_;
  Progress& progress_;
  std::set<Digest> done_;
};

}  // namespace

Result<PushReport> push_image(provider::ImageStore& images, const ImageDescriptor& image, RegistryClient& registry, const provider::registry::RemoteReference& reference, Progress& progress) {
  const Origin origin{[&](const ImageDescriptor& part) { return oci::read_document(images, part); }, [&](const ImageDescriptor& part) { return images.open_blob(part.digest); }};
  return push_from(origin, image, registry, reference, progress);
}

Result<PullReport> pull_image(const RegistryClient& registry, const std::string& tag_or_digest, provider::ImageStore& images, Platforms platforms, const oci::Platform& platform, Progress& progress) {
  PullReport report;
  report.image = TRY(find_remote(registry, tag_or_digest, platforms, platform));
  TRY(Puller(registry, images, report, progress).pull(report.image, 0));
  return report;
}

Result<PushReport> copy_image(const RegistryClient& from, const std::string& tag_or_digest, RegistryClient& to, const provider::registry::RemoteReference& reference, Platforms platforms,
                              const oci::Platform& platform, Progress& progress) {
  const auto image = TRY(find_remote(from, tag_or_digest, platforms, platform));
  const Origin origin{[&](const ImageDescriptor& part) { return fetch_document(from, part); }, [&](const ImageDescriptor& part) { return from.open_blob(part.digest); }};
  return push_from(origin, image, to, reference, progress);
}

}  // namespace redoubt::stages::image
