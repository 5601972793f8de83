// SPDX-License-Identifier: Apache-2.0
#include "cli/image_signing.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "attest/image_signature.h"
#include "base/file.h"
#include "crypto/hash.h"

namespace redoubt::cli {
namespace oci = stages::image::oci;
namespace {

constexpr std::size_t kSignaturesMax = 100;

std::string signature_tag(const Digest& image) { return "sha256-" + image.hex() + ".sig"; }

// A try at one signature with every key; what does not verify may be somebody else's.
template <class Check>
std::optional<std::string> made_by(const std::vector<NamedKey>& keys, const Check& check) {
  for (const auto& named : keys) {
    if (check(named.key)) return named.file;
  }
  return std::nullopt;
}

Result<std::vector<FoundSignature>> judged(std::vector<FoundSignature> found, std::size_t seen, const Digest& image) {
  if (!found.empty()) return found;
  if (seen == 0) return fail(ErrorCode::tampered, "the image is not signed", image.tagged(), "sign it with 'redoubt image sign', or ask who built it");
  return fail(ErrorCode::tampered, fmt::format("none of the image's {} signatures is by this key", seen), image.tagged(), "name the public key of who signs it with --key");
}

template <class Place>
Status collect_bundles(Place& place, const Digest& image, const std::vector<NamedKey>& keys, std::vector<FoundSignature>& found, std::size_t& seen) {
  for (const auto& referrer : TRY(stages::image::referrers(place, image, attest::kBundleType))) {
    if (++seen > kSignaturesMax) return fail(ErrorCode::limit_exceeded, "the image has more than 100 signatures", image.tagged());
    const std::string bundle = TRY(stages::image::contents_of(place, referrer));
    FoundSignature signature{"bundle", {}, {}};
    const auto key = made_by(keys, [&](const crypto::PublicKey& candidate) {
      const auto statement = attest::verify_image_bundle(bundle, image, candidate, referrer.manifest.blob.digest.tagged());
      if (statement) signature.predicate_type = statement->predicate_type;
      return statement.has_value();
    });
    if (!key) continue;
    signature.key = *key;
    found.push_back(std::move(signature));
  }
  return {};
}

using SimpleVisitor = std::function<Status(const std::string& payload, const std::string& signature)>;

// The simple signatures of a registry lie under a tag of their own.
Status for_each_simple(const provider::registry::RegistryClient& registry, const Digest& image, const SimpleVisitor& visit) {
  const auto there = TRY(registry.manifest(signature_tag(image)));
  if (!there) return {};
  const auto manifest = TRY(oci::parse_manifest(there->bytes, signature_tag(image)));
  for (const auto& layer : manifest.layers) {
    const std::string signature = json_or(layer.annotations, attest::kSimpleSignatureAnnotation, "");
    if (layer.blob.media_type != attest::kSimpleSigningType || signature.empty()) continue;
    const std::string payload = to_text(TRY(read_all(*TRY(registry.open_blob(layer.blob.digest)), attest::kImageSignatureBytesMax)));
    TRY(visit(payload, signature));
  }
  return {};
}

// Those of the store stand beside the image, as `bring_signatures` has put them.
Status for_each_simple(provider::ImageStore& images, const Digest& image, const SimpleVisitor& visit) {
  for (const auto& referrer : TRY(stages::image::referrers(images, image, attest::kSimpleSigningType))) {
    const std::string payload = TRY(stages::image::contents_of(images, referrer));
    TRY(visit(payload, json_or(referrer.manifest.annotations, attest::kSimpleSignatureAnnotation, "")));
  }
  return {};
}

template <class Place>
Status collect_simple(Place& place, const Digest& image, const std::vector<NamedKey>& keys, std::vector<FoundSignature>& found, std::size_t& seen) {
  return for_each_simple(place, image, [&](const std::string& payload, const std::string& signature) -> Status {
    if (++seen > kSignaturesMax) return fail(ErrorCode::limit_exceeded, "the image has more than 100 signatures", image.tagged());
    const auto key = made_by(keys, [&](const crypto::PublicKey& candidate) { return attest::verify_simple(payload, signature, image, candidate, signature_tag(image)).has_value(); });
    if (key) found.push_back({"simple", *key, {}});
    return {};
  });
}

struct Collected {
  std::vector<FoundSignature> found;
  std::size_t seen = 0;  // by whomever
};

template <class Place>
Result<Collected> collect(Place& place, const Digest& image, const std::vector<NamedKey>& keys) {
  Collected all;
  TRY(collect_simple(place, image, keys, all.found, all.seen));
  TRY(collect_bundles(place, image, keys, all.found, all.seen));
  return all;
}

std::set<std::string> names_of(const std::vector<FoundSignature>& found) {
  std::set<std::string> names;
  for (const auto& one : found) names.insert(one.key);
  return names;
}

std::string without_https_port(std::string text) {
  if (const auto at = text.find(":443/"); at != text.npos) text.erase(at, 4);
  return text;
}

}  // namespace

Result<provider::registry::RegistryClient> open_registry(Session* session, const provider::registry::RemoteReference& reference, const RegistryOptions& options, const provider::registry::RegistryAccess& access) {
  http::ClientOptions client;
  client.ca_file = options.ca_file;
  const auto login = TRY(login_of(session, options));
  return provider::registry::RegistryClient::open(client, reference, login, access);
}

Result<provider::ImageDescriptor> ImagePlace::attach(const stages::image::Artifact& artifact) {
  return registry ? stages::image::attach(*registry, image, artifact) : stages::image::attach(*images, image, artifact);
}

Result<std::vector<stages::image::Referrer>> ImagePlace::referrers(const std::string& type) const {
  return registry ? stages::image::referrers(*registry, image.digest, type) : stages::image::referrers(*images, image.digest, type);
}

Result<ImagePlace> open_place(Invocation& invocation, const std::string& name, const RegistryOptions& options, Writing writing) {
  ImagePlace place;
  place.text = name;
  const bool remote = name.starts_with("https://") || name.starts_with("http://");
  if (!remote || writing == Writing::yes || !options.login_secret.empty()) place.session = TRY(Session::open(invocation.global, writing == Writing::yes ? Duty::image : Duty::audit));
  if (writing == Writing::yes) TRY(place.session->require(governance::Permission::deploy));
  if (!remote) {
    place.images = TRY(place.session->images());
    place.image = TRY(place.images->resolve(name));
    place.repository = name.substr(0, name.rfind(':'));
    return place;
  }
  const auto reference = TRY(provider::registry::parse_pinned_reference(name));
  if (reference.name().empty()) return fail(ErrorCode::invalid_argument, "the URL names neither a tag nor a digest", name);
  auto registry = TRY(open_registry(place.session.get(), reference, options, {.push = writing == Writing::yes}));
  const auto manifest = TRY(registry.manifest(reference.name()));
  if (!manifest) return fail(ErrorCode::not_found, "the registry has no such image", reference.text());
  place.image = manifest->descriptor;
  place.repository = without_https_port(reference.origin.substr(reference.origin.find("//") + 2) + "/" + reference.repository);
  place.registry.emplace(std::move(registry));
  return place;
}

Result<std::vector<NamedKey>> read_public_keys(const std::vector<std::string>& files) {
  std::vector<NamedKey> keys;
  for (const auto& file : files) {
    const auto text = read_text_file(file, 64 << 10);
    if (!text) return fail(text.error().code, "the public key can't be read: " + text.error().message, file);
    auto key = crypto::PublicKey::from_pem(*text);
    if (!key) return fail(key.error().code, key.error().message, file, "name a PEM file with the signer's public key");
    keys.push_back({file, std::move(*key)});
  }
  return keys;
}

Json to_json(const std::vector<FoundSignature>& signatures) {
  Json out = Json::array();
  for (const auto& one : signatures) out.push_back({{"form", one.form}, {"key", one.key}, {"predicate_type", one.predicate_type}});
  return out;
}

Result<std::vector<FoundSignature>> verify_signatures(const provider::registry::RegistryClient& registry, const Digest& image, const std::vector<NamedKey>& keys) {
  auto all = TRY(collect(registry, image, keys));
  return judged(std::move(all.found), all.seen, image);
}

Result<std::vector<FoundSignature>> verify_signatures(provider::ImageStore& images, const Digest& image, const std::vector<NamedKey>& keys) {
  auto all = TRY(collect(images, image, keys));
  return judged(std::move(all.found), all.seen, image);
}

Result<std::size_t> bring_signatures(const provider::registry::RegistryClient& registry, const provider::ImageDescriptor& image, provider::ImageStore& images) {
  std::size_t count = 0;
  const auto put = [&](const stages::image::Artifact& artifact) -> Status {
    if (++count > kSignaturesMax) return fail(ErrorCode::limit_exceeded, "the image has more than 100 signatures", image.digest.tagged());
    TRY(stages::image::attach(images, image, artifact));
    return {};
  };
  TRY(for_each_simple(registry, image.digest, [&](const std::string& payload, const std::string& signature) {
    return put({attest::kSimpleSigningType, payload, {{attest::kSimpleSignatureAnnotation, signature}}});
  }));
  for (const auto& referrer : TRY(stages::image::referrers(registry, image.digest, attest::kBundleType))) {
    auto bundle = TRY(stages::image::contents_of(registry, referrer));
    if (bundle.size() > attest::kImageSignatureBytesMax) return fail(ErrorCode::limit_exceeded, "a signature of more than 4 MiB", referrer.manifest.blob.digest.tagged());
    TRY(put({attest::kBundleType, std::move(bundle), referrer.manifest.annotations}));
  }
  return count;
}

Result<std::set<std::string>> signers_of(provider::ImageStore& images, const Digest& image, const std::vector<NamedKey>& keys) {
  return names_of(TRY(collect(images, image, keys)).found);
}

Result<std::set<std::string>> signers_of(const provider::registry::RegistryClient& registry, const Digest& image, const std::vector<NamedKey>& keys) {
  const std::string place = registry.reference().origin + "/" + registry.reference().repository;
  if (!TRY(registry.manifest(image.tagged()))) {
    return fail(ErrorCode::gate_refused, "the registry that is asked for the image's signatures does not have the image", place + "@" + image.tagged(), "push it there: redoubt image push " + image.tagged() + " " + place + ":TAG");
  }
  auto all = collect(registry, image, keys);
  if (all) return names_of(all->found);
  const auto& why = all.error();
  if (why.code != ErrorCode::invalid_argument && why.code != ErrorCode::unsupported && why.code != ErrorCode::not_found && why.code != ErrorCode::limit_exceeded) return fail(why);
  return fail(ErrorCode::gate_refused, "what the registry has as the image's signatures can't be read: " + why.message + " (" + why.where + ")", place + "@" + image.tagged(), "take away there what is no signature");
}

Status put_simple_signature(provider::registry::RegistryClient& registry, const Digest& image, const std::string& payload, const std::string& signature) {
  const auto put = [&](std::string_view text, const char* type) -> Result<provider::ImageDescriptor> {
    const provider::ImageDescriptor blob{type, crypto::sha256(text), text.size()};
    if (!TRY(registry.has_blob(blob))) TRY(registry.put_blob(blob, [text]() -> Result<std::unique_ptr<Source>> { return std::unique_ptr<Source>(std::make_unique<MemorySource>(view_of(text))); }));
    return blob;
  };
  Json layer = oci::to_json(TRY(put(payload, attest::kSimpleSigningType)));
  layer["annotations"] = {{attest::kSimpleSignatureAnnotation, signature}};
  Json layers = Json::array(), diff_ids = Json::array();
  if (const auto there = TRY(registry.manifest(signature_tag(image)))) {
    (void)TRY(oci::parse_manifest(there->bytes, signature_tag(image)));
    layers = TRY(parse_json(there->bytes, signature_tag(image)))["layers"];
  }
  layers.push_back(layer);
  if (layers.size() > kSignaturesMax) return fail(ErrorCode::limit_exceeded, "the image has more than 100 signatures", image.tagged());
  for (const auto& one : layers) diff_ids.push_back(one["digest"]);
  const std::string config = dump_json({{"architecture", ""}, {"os", ""}, {"created", "0001-01-01T00:00:00Z"}, {"config", Json::object()}, {"rootfs", {{"type", "layers"}, {"diff_ids", diff_ids}}}, {"history", Json::array({{{"created", "0001-01-01T00:00:00Z"}}})}});
  const auto config_blob = TRY(put(config, oci::kConfigType));
  const std::string manifest = dump_json({{"schemaVersion", 2}, {"mediaType", oci::kManifestType}, {"config", oci::to_json(config_blob)}, {"layers", layers}});
  TRY(registry.put_manifest(signature_tag(image), {oci::kManifestType, crypto::sha256(manifest), manifest.size()}, manifest));
  return {};
}

}  // namespace redoubt::cli
