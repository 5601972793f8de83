// SPDX-License-Identifier: Apache-2.0
//
// Manifests and indexes as the OCI image spec v1.1 and Docker's schema 2 have them; both are read, OCI is written.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "provider/image_store.h"

namespace redoubt::stages::image::oci {

inline constexpr const char* kManifestType = "application/vnd.oci.image.manifest.v1+json";
inline constexpr const char* kIndexType = "application/vnd.oci.image.index.v1+json";
inline constexpr const char* kConfigType = "application/vnd.oci.image.config.v1+json";
inline constexpr const char* kLayerType = "application/vnd.oci.image.layer.v1.tar";
inline constexpr const char* kEmptyType = "application/vnd.oci.empty.v1+json";
inline constexpr std::uint64_t kManifestBytesMax = 4 << 20;  // what every registry takes at least
inline constexpr std::size_t kLayersMax = 128;

struct Platform {
  std::string os = "linux", architecture = "amd64", variant = {};
  // "linux/arm64/v8"; invalid_argument.
  static Result<Platform> parse(std::string_view text);
  std::string text() const;
};

struct Descriptor {
  provider::ImageDescriptor blob;
  std::string artifact_type = {};
  std::optional<Platform> platform = {};
  Json annotations = Json::object();
};
// invalid_argument names what is wrong with it; a digest other than SHA-256 is unsupported.
Result<Descriptor> parse_descriptor(const Json& value, const std::string& where);
Json to_json(const provider::ImageDescriptor& descriptor);

struct Manifest {
  std::string media_type;                    // as it says itself; empty where it does not
  bool is_index = false;
  std::optional<Descriptor> config;          // not of an index
  std::vector<Descriptor> layers;            // of an index: its manifests
  std::optional<Descriptor> subject;
  std::string artifact_type;
  Json annotations = Json::object();
};
// invalid_argument, limit_exceeded; Docker's schema 1 is unsupported.
Result<Manifest> parse_manifest(std::string_view text, const std::string& where);

// Whether a layer may lie outside of registries, at an address of its own (a "foreign" or "non-distributable" one): where it is not
// there, the image is whole without it.
bool may_be_elsewhere(const provider::ImageDescriptor& layer);

// The image of an index for that platform; not_found lists those that are there.
Result<Descriptor> choose(const Manifest& index, const Platform& platform, const std::string& where);

// A document of a store, bounded.
Result<std::string> read_document(provider::ImageStore& images, const provider::ImageDescriptor& descriptor);

}  // namespace redoubt::stages::image::oci
