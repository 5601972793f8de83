// SPDX-License-Identifier: Apache-2.0
#include "stages/image/referrers.h"

#include <algorithm>

#include "base/json.h"
#include "crypto/hash.h"

namespace redoubt::stages::image {
namespace {

using provider::ImageDescriptor;
using provider::registry::RegistryClient;

constexpr std::size_t kReferrersMax = 10'000;
constexpr int kRacesMax = 5;
constexpr std::string_view kEmpty = "{}";

std::string fallback_tag(const Digest& subject) { return "sha256-" + subject.hex(); }
std::string local_tag(const Digest& subject, const Digest& artifact) { return "sha256-" + subject.hex() + ".ref-" + artifact.hex().substr(0, 32); }

ImageDescriptor describe(std::string_view text, std::string type) { return {std::move(type), crypto::sha256(text), text.size()}; }

// An entry of the index: the manifest with what a reader chooses by.
Json entry_of(const ImageDescriptor& manifest, const Artifact& artifact) {
  Json entry = oci::to_json(manifest);
  entry["artifactType"] = artifact.type;
  if (!artifact.annotations.empty()) entry["annotations"] = artifact.annotations;
  return entry;
}

Result<std::vector<Referrer>> parse_list(const std::string& text, const std::string& where) {
  const auto index = TRY(oci::parse_manifest(text, where));
  if (!index.is_index) return fail(ErrorCode::unsupported, "a list of referrers that is no index", where);
  std::vector<Referrer> found;
  for (const auto& entry : index.layers) found.push_back({entry});
  return found;
}

std::vector<Referrer> of_type(std::vector<Referrer> all, const std::string& type) {
  if (!type.empty()) std::erase_if(all, [&](const Referrer& one) { return one.manifest.artifact_type != type; });
  std::sort(all.begin(), all.end(), [](const Referrer& a, const Referrer& b) { return a.manifest.blob.digest < b.manifest.blob.digest; });
  return all;
}

Status put_text(RegistryClient& registry, std::string_view text, const std::string& type) {
  const auto blob = describe(text, type);
  if (TRY(registry.has_blob(blob))) return {};
  return registry.put_blob(blob, [text]() -> Result<std::unique_ptr<Source>> { return std::unique_ptr<Source>(std::make_unique<MemorySource>(view_of(text))); });
}

// The index under the fallback tag with one entry more. Somebody else may write it at the same time, so it is read again until it
// holds ours.
Status add_to_fallback(RegistryClient& registry, const Digest& subject, const Json& entry) {
  const std::string tag = fallback_tag(subject);
  for (int race = 0; race < kRacesMax; ++race) {
    const auto there = TRY(registry.manifest(tag));
    Json index = {{"schemaVersion", 2}, {"mediaType", oci::kIndexType}, {"manifests", Json::array()}};
    if (there) {
      (void)TRY(parse_list(there->bytes, tag));
      index = TRY(parse_json(there->bytes, tag));
    }
    const bool known = std::any_of(index["manifests"].begin(), index["manifests"].end(), [&](const Json& other) { return other["digest"] == entry["digest"]; });
    if (known) return {};
    index["manifests"].push_back(entry);
    if (index["manifests"].size() > kReferrersMax) return fail(ErrorCode::limit_exceeded, "too much stands beside this image", tag);
    const std::string text = dump_json(index);
    TRY(registry.put_manifest(tag, describe(text, oci::kIndexType), text));
  }
  return fail(ErrorCode::unavailable, "others change the list of referrers all the time", tag, "try again");
}

}  // namespace

bool is_referrer_tag(std::string_view tag) { return tag.starts_with("sha256-") && tag.size() > 71 && tag.substr(71).starts_with(".ref-"); }

Json artifact_manifest(const Artifact& artifact, const ImageDescriptor& subject, const ImageDescriptor& layer) {
  Json manifest = {{"schemaVersion", 2}, {"mediaType", oci::kManifestType}, {"artifactType", artifact.type}, {"config", oci::to_json(describe(kEmpty, oci::kEmptyType))},
                   {"layers", {oci::to_json(layer)}}, {"subject", oci::to_json(subject)}};
  if (!artifact.annotations.empty()) manifest["annotations"] = artifact.annotations;
  return manifest;
}

Result<ImageDescriptor> attach(RegistryClient& registry, const ImageDescriptor& subject, const Artifact& artifact) {
  TRY(put_text(registry, kEmpty, oci::kEmptyType));
  TRY(put_text(registry, artifact.contents, artifact.type));
  const std::string text = dump_json(artifact_manifest(artifact, subject, describe(artifact.contents, artifact.type)));
  const auto manifest = describe(text, oci::kManifestType);
  if (TRY(registry.put_manifest(manifest.digest.tagged(), manifest, text)) == RegistryClient::Subject::noticed) return manifest;
  if (TRY(registry.referrers(subject.digest))) return manifest;  // it lists them and only did not say so
  TRY(add_to_fallback(registry, subject.digest, entry_of(manifest, artifact)));
  return manifest;
}

Result<ImageDescriptor> attach(provider::ImageStore& images, const ImageDescriptor& subject, const Artifact& artifact) {
  const auto put = [&](std::string_view text) {
    MemorySource source(view_of(text));
    return images.put_blob(source);
  };
  TRY(put(kEmpty));
  TRY(put(artifact.contents));
  const std::string text = dump_json(artifact_manifest(artifact, subject, describe(artifact.contents, artifact.type)));
  TRY(put(text));
  const auto manifest = describe(text, oci::kManifestType);
  TRY(images.tag(local_tag(subject.digest, manifest.digest), manifest));
  return manifest;
}

Result<std::vector<Referrer>> referrers(const RegistryClient& registry, const Digest& subject, const std::string& type) {
  std::vector<Referrer> all;
  std::vector<std::string> pages;
  if (auto list = TRY(registry.referrers(subject))) {
    pages = std::move(*list);
  } else if (const auto fallback = TRY(registry.manifest(fallback_tag(subject)))) {
    pages.push_back(fallback->bytes);
  }
  for (const auto& page : pages) {
    for (auto& one : TRY(parse_list(page, registry.reference().repository))) all.push_back(std::move(one));
    if (all.size() > kReferrersMax) return fail(ErrorCode::limit_exceeded, "too much stands beside this image", subject.tagged());
  }
  return of_type(std::move(all), type);
}

Result<std::vector<Referrer>> referrers(provider::ImageStore& images, const Digest& subject, const std::string& type) {
  std::vector<Referrer> all;
  for (const auto& [tag, descriptor] : TRY(images.list())) {
    if (!is_referrer_tag(tag) || !tag.starts_with(fallback_tag(subject))) continue;
    const auto manifest = TRY(oci::parse_manifest(TRY(oci::read_document(images, descriptor)), tag));
    if (!manifest.subject || manifest.subject->blob.digest != subject) return fail(ErrorCode::tampered, "a referrer under the tag of another image", tag);
    all.push_back({{descriptor, manifest.artifact_type, {}, manifest.annotations}});
  }
  return of_type(std::move(all), type);
}

namespace {

// The layer of an artifact, once its manifest was found to be about what it should.
Result<ImageDescriptor> layer_of(const std::string& text, const std::string& where) {
  const auto manifest = TRY(oci::parse_manifest(text, where));
  if (manifest.is_index || manifest.layers.size() != 1) return fail(ErrorCode::unsupported, "an artifact of other than one layer", where);
  if (manifest.layers[0].blob.size > kArtifactBytesMax) return fail(ErrorCode::limit_exceeded, "an artifact of more than 256 MiB", where);
  return manifest.layers[0].blob;
}

}  // namespace

Result<std::string> contents_of(const RegistryClient& registry, const Referrer& referrer) {
  const std::string where = referrer.manifest.blob.digest.tagged();
  const auto manifest = TRY(registry.manifest(where));
  if (!manifest) return fail(ErrorCode::not_found, "the registry lists an artifact that it does not have", where);
  const auto layer = TRY(layer_of(manifest->bytes, where));
  return to_text(TRY(read_all(*TRY(registry.open_blob(layer.digest)), layer.size)));
}

Result<std::string> contents_of(provider::ImageStore& images, const Referrer& referrer) {
  const auto layer = TRY(layer_of(TRY(oci::read_document(images, referrer.manifest.blob)), referrer.manifest.blob.digest.tagged()));
  return to_text(TRY(read_all(*TRY(images.open_blob(layer.digest)), layer.size)));
}

Result<std::size_t> push_referrers(provider::ImageStore& images, const ImageDescriptor& subject, RegistryClient& registry) {
  const auto all = TRY(referrers(images, subject.digest));
  for (const auto& one : all) {
    auto contents = TRY(contents_of(images, one));
    const Artifact artifact{one.manifest.artifact_type, std::move(contents), one.manifest.annotations};
    TRY(attach(registry, subject, artifact));
  }
  return all.size();
}

}  // namespace redoubt::stages::image
