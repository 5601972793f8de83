// SPDX-License-Identifier: Apache-2.0
#include "stages/image/oci/encryption.h"

#include <algorithm>

#include "crypto/aes_ctr.h"
#include "crypto/random.h"
#include "stages/image/oci/passing.h"
#include "stages/image/oci/writer.h"

namespace redoubt::stages::image::oci {
namespace {

constexpr const char* kCipher = "AES_256_CTR_HMAC_SHA256";
constexpr std::string_view kEncrypted = "+encrypted";

// What passes, encrypted or decrypted on the way.
class CipherSource final : public Source {
 public:
  enum class Way { encrypt, decrypt };
  CipherSource(Source& from, crypto::AesCtrHmac& cipher, Way way) : from_(from), cipher_(cipher), way_(way) {}
  Result<std::size_t> read(MutableByteView into) override {
    const std::size_t count = TRY(from_.read(into));
    way_ == Way::encrypt ? cipher_.encrypt(into.first(count)) : cipher_.decrypt(into.first(count));
    return count;
  }

 private:
  Source& from_;
  crypto::AesCtrHmac& cipher_;
  Way way_;
};

Result<Json> encrypt_layer(provider::ImageStore& from, provider::ImageStore& to, const provider::ImageDescriptor& layer, const std::vector<crypto::PublicKey>& recipients, Progress& progress) {
  const Secret key = crypto::random_secret(crypto::kAesCtrKeyBytes);
  const Bytes nonce = crypto::random_bytes(crypto::kAesCtrNonceBytes);
  crypto::AesCtrHmac cipher(key, nonce);
  progress.begin("image: encrypt " + layer.digest.hex().substr(0, 12), layer.size, "bytes");
  const auto blob = TRY(from.open_blob(layer.digest));
  CountedSource counted(*blob, progress);
  CipherSource sealed(counted, cipher, CipherSource::Way::encrypt);
  const Digest digest = TRY(to.put_blob(sealed));
  progress.end();
  const Json secret = {{"symkey", to_base64(key.reveal(SecretAccess::for_crypto()))}, {"digest", layer.digest.tagged()}, {"cipheroptions", {{"nonce", to_base64(nonce)}}}};
  const Json open = {{"cipher", kCipher}, {"hmac", to_base64(cipher.finish().bytes())}, {"cipheroptions", Json::object()}};
  const std::string jwe = TRY(seal_jwe(dump_json(secret), recipients));
  Json out = to_json(provider::ImageDescriptor{layer.media_type + std::string(kEncrypted), digest, layer.size});
  out["annotations"] = {{kJweAnnotation, to_base64(view_of(jwe))}, {kPublicOptionsAnnotation, to_base64(view_of(dump_json(open)))}};
  return out;
}

struct LayerSecret {
  Secret key;
  Bytes nonce;
  Digest code;
};

Result<LayerSecret> open_secret(const Descriptor& layer, const crypto::SigningKey& key) {
  const std::string where = layer.blob.digest.tagged();
  const std::string jwe = json_or(layer.annotations, kJweAnnotation, ""), options = json_or(layer.annotations, kPublicOptionsAnnotation, "");
  if (jwe.empty()) return fail(ErrorCode::unsupported, "the layer's key is in no JWE", where, "open the image with the tool that encrypted it");
  const Json secret = TRY(parse_json(TRY(open_jwe(to_text(TRY(from_base64(jwe))), key)), where));
  const Json open = TRY(parse_json(to_text(TRY(from_base64(options))), where));
  if (json_or(open, "cipher", "") != kCipher) return fail(ErrorCode::unsupported, "a cipher that is not known here", where);
  const auto code = TRY(from_base64(TRY(json_string(open, "hmac", where))));
  LayerSecret out;
  out.key = Secret(TRY(from_base64(TRY(json_string(secret, "symkey", where)))));
  out.nonce = TRY(from_base64(TRY(json_string(TRY(json_object(secret, "cipheroptions", where)), "nonce", where))));
  if (out.key.size() != crypto::kAesCtrKeyBytes || out.nonce.size() != crypto::kAesCtrNonceBytes || code.size() != out.code.value.size()) return fail(ErrorCode::tampered, "a layer's key has another length", where);
  std::copy(code.begin(), code.end(), out.code.value.begin());
  return out;
}

Result<provider::ImageDescriptor> decrypt_layer(provider::ImageStore& from, provider::ImageStore& to, const Descriptor& layer, const crypto::SigningKey& key, Progress& progress) {
  auto secret = TRY(open_secret(layer, key));
  crypto::AesCtrHmac cipher(secret.key, secret.nonce);
  progress.begin("image: decrypt " + layer.blob.digest.hex().substr(0, 12), layer.blob.size, "bytes");
  const auto blob = TRY(from.open_blob(layer.blob.digest));
  CountedSource counted(*blob, progress);
  CipherSource plain(counted, cipher, CipherSource::Way::decrypt);
  const Digest digest = TRY(to.put_blob(plain));
  progress.end();
  // The digest beside the key is no proof of this: skopeo writes down that of the layer before it compressed it.
  if (cipher.finish() != secret.code) return fail(ErrorCode::tampered, "an encrypted layer is not what was encrypted", layer.blob.digest.tagged());
  std::string type = layer.blob.media_type;
  type.resize(type.size() - kEncrypted.size());
  return provider::ImageDescriptor{std::move(type), digest, counted.bytes};
}

bool is_encrypted(const Descriptor& layer) { return layer.blob.media_type.ends_with(kEncrypted); }

// The manifest with other layers, all else as it stands.
Result<provider::ImageDescriptor> write_with(provider::ImageStore& images, Json manifest, const std::string& media_type, Json layers) {
  manifest["layers"] = std::move(layers);
  return write_json(images, manifest, media_type.c_str());
}

Status copy_blob(provider::ImageStore& from, provider::ImageStore& to, const provider::ImageDescriptor& blob) {
  if (&from == &to) return {};
  const auto source = TRY(from.open_blob(blob.digest));
  TRY(to.put_blob(*source));
  return {};
}

struct Opened {
  Json json;
  Manifest manifest;
  std::string media_type;
};

Result<Opened> open_manifest(provider::ImageStore& images, const provider::ImageDescriptor& image) {
  const std::string text = TRY(read_document(images, image)), where = image.digest.tagged();
  Opened out;
  out.json = TRY(parse_json(text, where));
  out.manifest = TRY(parse_manifest(text, where));
  out.media_type = image.media_type;
  if (out.manifest.is_index) return fail(ErrorCode::invalid_argument, "an index of several images", where, "name one image's digest");
  if (!out.manifest.media_type.empty()) out.media_type = out.manifest.media_type;
  return out;
}

}  // namespace

Result<provider::ImageDescriptor> encrypt_image(provider::ImageStore& from, provider::ImageStore& to, const provider::ImageDescriptor& image, const std::vector<crypto::PublicKey>& recipients, Progress& progress) {
  auto opened = TRY(open_manifest(from, image));
  Json layers = Json::array();
  for (const auto& layer : opened.manifest.layers) {
    if (is_encrypted(layer)) return fail(ErrorCode::invalid_argument, "the image is encrypted already", image.digest.tagged());
    layers.push_back(TRY(encrypt_layer(from, to, layer.blob, recipients, progress)));
  }
  if (opened.manifest.layers.empty()) return fail(ErrorCode::invalid_argument, "the image has no layers to encrypt", image.digest.tagged());
  TRY(copy_blob(from, to, opened.manifest.config->blob));
  return write_with(to, std::move(opened.json), opened.media_type, std::move(layers));
}

Result<provider::ImageDescriptor> decrypt_image(provider::ImageStore& from, provider::ImageStore& to, const provider::ImageDescriptor& image, const crypto::SigningKey& key, Progress& progress) {
  auto opened = TRY(open_manifest(from, image));
  if (std::none_of(opened.manifest.layers.begin(), opened.manifest.layers.end(), is_encrypted)) return fail(ErrorCode::invalid_argument, "the image is not encrypted", image.digest.tagged());
  Json layers = Json::array();
  for (const auto& layer : opened.manifest.layers) {
    if (!is_encrypted(layer)) TRY(copy_blob(from, to, layer.blob));
    layers.push_back(to_json(is_encrypted(layer) ? TRY(decrypt_layer(from, to, layer, key, progress)) : layer.blob));
  }
  TRY(copy_blob(from, to, opened.manifest.config->blob));
  return write_with(to, std::move(opened.json), opened.media_type, std::move(layers));
}

}  // namespace redoubt::stages::image::oci
