// SPDX-License-Identifier: Apache-2.0
#include "provider/local/image_root.h"

#include "base/json.h"
#include "image_layer/layer.h"

namespace redoubt::provider::local {
namespace {

constexpr std::uint64_t kDocumentBytesMax = 4 << 20;
constexpr std::size_t kLayersMax = 128;

Result<Json> read_document(ImageStore& images, const Digest& digest) {
  const auto source = TRY(images.open_blob(digest));
  const Bytes bytes = TRY(read_all(*source, kDocumentBytesMax));
  return parse_json(text_of(bytes), digest.tagged(), {.bytes_max = kDocumentBytesMax});
}

Result<std::vector<std::string>> texts(const Json& configuration, const char* key, const std::string& where) {
  std::vector<std::string> out;
  if (!configuration.contains(key) || configuration[key].is_null()) return out;
  for (const Json& item : TRY(json_array(configuration, key, where))) {
    if (!item.is_string()) return fail(ErrorCode::invalid_argument, std::string(key) + " holds what is no string", where);
    const auto& text = item.get_ref<const std::string&>();
    if (text.find('\0') != text.npos) return fail(ErrorCode::invalid_argument, std::string(key) + " holds a NUL", where);
    out.push_back(text);
  }
  return out;
}

}  // namespace

Result<ImageRoot> open_image(ImageStore& images, const std::string& digest) {
  const Digest name = TRY(Digest::parse(digest));
  const Json manifest = TRY(read_document(images, name));
  if (!manifest.is_object() || !manifest.contains("config")) {
    return fail(ErrorCode::invalid_argument, "not an image manifest", digest, "name one platform's manifest, not an index");
  }
  const Json config = TRY(json_object(manifest, "config", digest));
  const Digest config_digest = TRY(Digest::parse(TRY(json_string(config, "digest", digest))));
  const Json configuration = TRY(json_object(TRY(read_document(images, config_digest)), "config", config_digest.tagged()));
  ImageRoot root;
  root.entry_point = TRY(texts(configuration, "Entrypoint", config_digest.tagged()));
  root.environment = TRY(texts(configuration, "Env", config_digest.tagged()));
  if (root.entry_point.empty() || !root.entry_point[0].starts_with('/')) {
    return fail(ErrorCode::invalid_argument, "the image has no Entrypoint with an absolute path", digest);
  }
  const Json layers = TRY(json_array(manifest, "layers", digest));
  if (layers.size() > kLayersMax) return fail(ErrorCode::limit_exceeded, "the image has too many layers", digest);
  for (const Json& layer : layers) {
    const std::string type = TRY(json_string(layer, "mediaType", digest));
    if (!image_layer::is_layer_type(type)) return fail(ErrorCode::invalid_argument, "a layer that is no tar: " + type, digest);
    root.layers.push_back(TRY(images.open_blob(TRY(Digest::parse(TRY(json_string(layer, "digest", digest)))))));
  }
  return root;
}

}  // namespace redoubt::provider::local
