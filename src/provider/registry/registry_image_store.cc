// SPDX-License-Identifier: Apache-2.0
#include "provider/registry/registry_image_store.h"

namespace redoubt::provider::registry {
namespace {

constexpr std::size_t kTagBytesMax = 128;
constexpr std::string_view kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

tl::unexpected<Error> no_image(std::string_view name) {
  return fail(ErrorCode::not_found, "no such image in the registry", std::string(name), "list the images with 'redoubt image list'");
}

}  // namespace

Result<std::string> tag_of_name(std::string_view name) {
  std::string tag;
  for (const char c : name) {
    if (kPlain.find(c) != kPlain.npos || ((c == '.' || c == '-') && !tag.empty())) tag += c;
    else if (c == '_') tag += "__";
    else if (c == ':') tag += "_c";
    else if (c == '/') tag += "_s";
    else if (c == '.') tag += "_d";
    else if (c == '-') tag += "_h";
    else return fail(ErrorCode::invalid_argument, "not a tag", std::string(name));
  }
  if (tag.empty() || tag.size() > kTagBytesMax) return fail(ErrorCode::invalid_argument, "not a tag that a registry takes", std::string(name.substr(0, 256)), "a registry's tags have 1 to 128 characters");
  return tag;
}

std::optional<std::string> name_of_tag(std::string_view tag) {
  std::string name;
  for (std::size_t i = 0; i < tag.size(); ++i) {
    if (tag[i] != '_') {
      name += tag[i];
      continue;
    }
    const char code = ++i < tag.size() ? tag[i] : '\0';
    const auto at = std::string_view("_csdh").find(code);
    if (code == '\0' || at == std::string_view::npos) return std::nullopt;
    name += std::string_view("_:/.-")[at];
  }
  const auto back = tag_of_name(name);
  return back && *back == tag ? std::optional(name) : std::nullopt;
}

Result<RegistryClient*> RegistryImageStore::registry() {
  const std::lock_guard lock(mutex_);
  const auto now = clock_.now();
  if (!clients_.empty() && (now - logged_in_).count() < options_.login_ms_max) return clients_.back().get();
  const auto login = TRY(options_.login());
  auto client = TRY(RegistryClient::open(options_.http, options_.repository, login));
  clients_.push_back(std::make_unique<RegistryClient>(std::move(client)));
  logged_in_ = now;
  return clients_.back().get();
}

Result<Digest> RegistryImageStore::put_blob(Source& contents) { return TRY(registry())->put_blob(contents); }

Result<std::unique_ptr<Source>> RegistryImageStore::open_blob(const Digest& digest) { return TRY(registry())->open_blob(digest); }

Status RegistryImageStore::tag(std::string_view name, const ImageDescriptor& manifest) {
  const auto tag = TRY(tag_of_name(name));
  auto* client = TRY(registry());
  const auto taken = [&](const Digest& other) { return fail(ErrorCode::already_exists, "the tag names another image; tags are immutable", std::string(name), "it names " + other.tagged()); };
  if (const auto there = TRY(client->manifest(tag))) {
    if (there->descriptor.digest == manifest.digest) return {};
    return taken(there->descriptor.digest);
  }
  const auto blob = TRY(client->open_blob(manifest.digest));
  auto put = client->put_manifest(tag, manifest, to_text(TRY(read_all(*blob, kManifestBytesMax))));
  if (put) return {};
  // Somebody else may have been faster.
  const auto now = TRY(client->manifest(tag));
  if (!now) return fail(std::move(put.error()));
  if (now->descriptor.digest == manifest.digest) return {};
  return taken(now->descriptor.digest);
}

Result<ImageDescriptor> RegistryImageStore::resolve(std::string_view name_or_digest) {
  const auto digest = Digest::parse(name_or_digest);
  const auto tag = digest ? Result<std::string>(digest->tagged()) : tag_of_name(name_or_digest);
  if (!tag) return no_image(name_or_digest);
  const auto found = TRY(TRY(registry())->manifest(*tag));
  if (!found) return no_image(name_or_digest);
  return found->descriptor;
}

Result<std::vector<std::pair<std::string, ImageDescriptor>>> RegistryImageStore::list() {
  std::vector<std::pair<std::string, ImageDescriptor>> images;
  auto* client = TRY(registry());
  for (const auto& tag : TRY(client->tags())) {
    const auto name = name_of_tag(tag);
    if (!name) continue;
    const auto manifest = TRY(client->manifest(tag));
    if (manifest) images.emplace_back(*name, manifest->descriptor);
  }
  return images;
}

}  // namespace redoubt::provider::registry
