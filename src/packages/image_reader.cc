// SPDX-License-Identifier: Apache-2.0
#include "packages/image_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "crypto/checked_source.h"
#include "packages/layers.h"

namespace redoubt::packages {
namespace fs = std::filesystem;
namespace {

constexpr std::uint64_t kDocumentBytesMax = 4 << 20;
constexpr std::size_t kLayersMax = 1000;
constexpr int kIndexDepthMax = 3;

Result<Json> read_document(const OpenBlob& open, const Digest& digest) {
  const auto source = TRY(open(digest));
  return parse_json(text_of(TRY(read_all(*source, kDocumentBytesMax))), digest.tagged(), {.bytes_max = kDocumentBytesMax});
}

Result<Digest> digest_of(const Json& descriptor, const std::string& where) { return Digest::parse(TRY(json_string(descriptor, "digest", where))); }

// The manifest of an index that fits the platform. Attestations have the platform "unknown".
Result<Digest> choose_manifest(const Json& index, const Platform& platform, const std::string& where) {
  std::optional<Digest> chosen;
  std::string there;
  for (const auto& each : TRY(json_array(index, "manifests", where))) {
    const Json what = json_or(each, "platform", Json::object());
    const std::string os = json_or(what, "os", ""), architecture = json_or(what, "architecture", "");
    if (os == "unknown") continue;
    there += fmt::format(" {}/{}", os, architecture);
    const bool fits = os.empty() || (os == platform.os && architecture == platform.architecture);
    if (!fits || chosen) continue;
    chosen = TRY(digest_of(each, where));
  }
  if (chosen) return *chosen;
  return fail(ErrorCode::not_found, fmt::format("the index has no image for {}/{}; it has:{}", platform.os, platform.architecture, there), where, "name one of them with --platform");
}

Status check_layer_type(const std::string& type, const std::string& where) {
  if (type.find("encrypted") != type.npos) return fail(ErrorCode::unsupported, "an encrypted layer can't be looked into", where, "decrypt the image first");
  if (type.find("foreign") != type.npos || type.find("nondistributable") != type.npos) return fail(ErrorCode::unsupported, "a layer that is not in the image", where);
  // Some makers have types of their own; what is no tar is told by its bytes.
  return {};
}

Result<ImageReading> read_layers(const OpenBlob& open, const Json& manifest, const Digest& digest) {
  const std::string where = digest.tagged();
  const Json layers = TRY(json_array(manifest, "layers", where));
  if (layers.size() > kLayersMax) return fail(ErrorCode::limit_exceeded, "the image has too many layers", where);
  RootFiles root;
  LayerLimits limits = kImageLimits;
  for (const auto& layer : layers) {
    const Digest name = TRY(digest_of(layer, where));
    TRY(check_layer_type(json_or(layer, "mediaType", ""), name.tagged()));
    TRY(add_layer([&] { return open(name); }, name.tagged(), root, limits));
  }
  ImageReading reading;
  reading.digest = digest;
  reading.inventory = TRY(root.inventory(reading.distribution));
  return reading;
}

// --- On the disk ---

OpenBlob blobs_of(const fs::path& layout) {
  return [layout](const Digest& digest) -> Result<std::unique_ptr<Source>> {
    auto file = FileReader::open_regular(layout / "blobs" / "sha256" / digest.hex());
    if (!file) return fail(file.error().code, "a blob of the image is not there, or can't be read", (layout / "blobs" / "sha256" / digest.hex()).string(), "copy the image again from where it was made");
    return std::unique_ptr<Source>(new crypto::CheckedSource(std::move(*file), digest));
  };
}

Result<Digest> root_of_layout(const fs::path& layout, const std::string& tag) {
  const std::string where = (layout / "index.json").string();
  const Json index = TRY(parse_json(TRY(read_text_file(where, kDocumentBytesMax)), where, {.bytes_max = kDocumentBytesMax}));
  const Json manifests = TRY(json_array(index, "manifests", where));
  std::set<Digest> all;
  std::string names;
  for (const auto& each : manifests) {
    const Digest digest = TRY(digest_of(each, where));
    const std::string name = json_or(json_or(each, "annotations", Json::object()), "org.opencontainers.image.ref.name", "");
    if (!tag.empty() && (name == tag || name.ends_with(":" + tag) || digest.tagged() == tag)) return digest;
    all.insert(digest);
    names += " " + (name.empty() ? digest.tagged() : name);
  }
  if (tag.empty() && all.size() == 1) return *all.begin();
  if (tag.empty() && all.empty()) return fail(ErrorCode::not_found, "the layout holds no image", where);
  return fail(ErrorCode::not_found, tag.empty() ? "the layout holds several images:" + names : "the layout holds no image of this name; it has:" + names, where, "name one as LAYOUT:TAG or LAYOUT@sha256:...");
}

Result<ImageReading> read_layout(const fs::path& layout, const std::string& tag, const Platform& platform) {
  return read_image(blobs_of(layout), TRY(root_of_layout(layout, tag)), platform);
}

// `docker save` of the older form: manifest.json names the layers by path, and nothing by digest.
Result<ImageReading> read_docker_folder(const fs::path& folder, const std::string& tag) {
  const std::string where = (folder / "manifest.json").string();
  const Json manifest = TRY(parse_json(TRY(read_text_file(where, kDocumentBytesMax)), where, {.bytes_max = kDocumentBytesMax}));
  if (!manifest.is_array() || manifest.empty()) return fail(ErrorCode::invalid_argument, "the archive names no image", where);
  std::optional<Json> chosen;
  for (const auto& each : manifest) {
    for (const auto& name : json_or(each, "RepoTags", Json::array())) {
      if (name.is_string() && !tag.empty() && (name == tag || name.get<std::string>().ends_with(":" + tag))) chosen = each;
    }
  }
  if (!chosen && tag.empty() && manifest.size() == 1) chosen = manifest[0];
  if (!chosen) return fail(ErrorCode::not_found, "the archive holds several images, or none of this name", where, "name one as ARCHIVE:TAG");
  RootFiles root;
  LayerLimits limits = kImageLimits;
  const Json layers = TRY(json_array(*chosen, "Layers", where));
  if (layers.size() > kLayersMax) return fail(ErrorCode::limit_exceeded, "the image has too many layers", where);
  for (const auto& layer : layers) {
    const std::string path = layer.is_string() ? layer.get<std::string>() : "";
    if (!is_safe_relative_path(path)) return fail(ErrorCode::invalid_argument, "a layer's path leaves the archive", where);
    TRY(add_layer([&]() -> Result<std::unique_ptr<Source>> { return TRY(FileReader::open_regular(folder / path)); }, path, root, limits));
  }
  ImageReading reading;
  reading.inventory = TRY(root.inventory(reading.distribution));
  return reading;
}

Result<ImageReading> read_archive(const fs::path& file, const std::string& tag, const Platform& platform) {
  const auto folder = TRY(TemporaryFolder::create());
  LayerLimits limits = kImageLimits;
  TRY(unpack_archive(file, folder.path(), limits));
  if (is_plain_file(folder.path() / "index.json")) return read_layout(folder.path(), tag, platform);
  if (is_plain_file(folder.path() / "manifest.json")) return read_docker_folder(folder.path(), tag);
  return fail(ErrorCode::invalid_argument, "an archive that is no image: neither index.json nor manifest.json is in it", file.string(), "name an OCI layout, what 'docker save' wrote, or an unpacked root folder");
}

struct PlaceOnDisk {
  fs::path path;
  std::string tag;
};

// "PATH", "PATH:TAG" or "PATH@sha256:..."; a path that is there as a whole is just that.
std::optional<PlaceOnDisk> place_of(const std::string& reference) {
  if (is_there(reference)) return PlaceOnDisk{reference, ""};
  for (const char mark : {'@', ':'}) {
    const auto at = mark == '@' ? reference.find("@sha256:") : reference.rfind(':');
    if (at == reference.npos || at == 0 || !is_there(reference.substr(0, at))) continue;
    // A plain folder has no tags.
    const std::string path = reference.substr(0, at);
    if (is_plain_file(path) || is_plain_file(path + "/index.json")) return PlaceOnDisk{path, reference.substr(at + 1)};
  }
  return std::nullopt;
}

}  // namespace

Result<Platform> parse_platform(const std::string& text) {
  const auto slash = text.find('/');
  if (slash == text.npos || slash == 0 || slash + 1 == text.size()) return fail(ErrorCode::invalid_argument, "not a platform", text, "write it as linux/amd64");
  return Platform{text.substr(0, slash), text.substr(slash + 1)};
}

Result<ImageReading> read_image(const OpenBlob& open, const Digest& root, const Platform& platform) {
  Digest digest = root;
  for (int depth = 0; depth < kIndexDepthMax; ++depth) {
    const Json document = TRY(read_document(open, digest));
    if (!document.is_object()) return fail(ErrorCode::invalid_argument, "no manifest of an image", digest.tagged());
    if (!document.contains("manifests")) return read_layers(open, document, digest);
    digest = TRY(choose_manifest(document, platform, digest.tagged()));
  }
  return fail(ErrorCode::limit_exceeded, "indexes nested too deep", root.tagged());
}

bool is_on_disk(const std::string& reference) { return place_of(reference).has_value(); }

Result<ImageReading> read_image_on_disk(const std::string& reference, const Platform& platform) {
  const auto place = place_of(reference);
  if (!place) return fail(ErrorCode::not_found, "no such layout, archive or folder", reference);
  auto reading = [&]() -> Result<ImageReading> {
    if (is_plain_file(place->path)) return read_archive(place->path, place->tag, platform);
    if (is_plain_file(place->path / "index.json") && is_folder(place->path / "blobs")) return read_layout(place->path, place->tag, platform);
    if (is_plain_file(place->path / "manifest.json") && !is_folder(place->path / "etc")) return read_docker_folder(place->path, place->tag);
    if (!is_folder(place->path)) return fail(ErrorCode::invalid_argument, "neither a folder nor a file", reference);
    ImageReading folder;
    RootFiles root;
    TRY(add_root_folder(place->path, root));
    folder.inventory = TRY(root.inventory(folder.distribution));
    return folder;
  }();
  if (reading) reading->name = reference;
  return reading;
}

}  // namespace redoubt::packages
