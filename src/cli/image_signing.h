// SPDX-License-Identifier: Apache-2.0
//
// Signatures of images, wherever the image is: in the workspace's store, or in a registry.
#pragma once

#include <set>

#include "cli/image_sources.h"
#include "crypto/sign.h"
#include "stages/image/referrers.h"

namespace redoubt::cli {

Result<provider::registry::RegistryClient> open_registry(Session* session, const provider::registry::RemoteReference& reference, const RegistryOptions& options, const provider::registry::RegistryAccess& access);

enum class Writing { no, yes };

// An image and the place that it is in. `session` is there whenever something may be written, or the image is the workspace's.
struct ImagePlace {
  std::unique_ptr<Session> session;
  std::optional<provider::registry::RegistryClient> registry;  // else the workspace's store
  provider::ImageStore* images = nullptr;
  provider::ImageDescriptor image;
  std::string text;        // how a person calls it
  std::string repository;  // HOST[:PORT]/NAME of a registry, without the port of HTTPS; the name in the store

  Result<provider::ImageDescriptor> attach(const stages::image::Artifact& artifact);
  Result<std::vector<stages::image::Referrer>> referrers(const std::string& type) const;
};
// `name` is a registry's URL, or a tag or digest of the store.
Result<ImagePlace> open_place(Invocation& invocation, const std::string& name, const RegistryOptions& options, Writing writing);

struct NamedKey {
  std::string file;
  crypto::PublicKey key;
};
Result<std::vector<NamedKey>> read_public_keys(const std::vector<std::string>& files);

struct FoundSignature {
  std::string form;            // "simple" or "bundle"
  std::string key;             // the file of the key that made it
  std::string predicate_type;  // of a bundle
};
Json to_json(const std::vector<FoundSignature>& signatures);

// The signatures of an image that one of the keys made. tampered where there is none: no signature, or none by these keys, or none
// about this image.
Result<std::vector<FoundSignature>> verify_signatures(const provider::registry::RegistryClient& registry, const Digest& image, const std::vector<NamedKey>& keys);
Result<std::vector<FoundSignature>> verify_signatures(provider::ImageStore& images, const Digest& image, const std::vector<NamedKey>& keys);

// Brings what a registry has of an image's signatures to the image in the store, where they stand as in a registry that lists referrers;
// answers how many there are. Nothing is believed by this: who asks for a signature verifies it.
Result<std::size_t> bring_signatures(const provider::registry::RegistryClient& registry, const provider::ImageDescriptor& image, provider::ImageStore& images);

// Which of the named keys signed an image; empty where none did. A key counts once, under the first of its names.
Result<std::set<std::string>> signers_of(provider::ImageStore& images, const Digest& image, const std::vector<NamedKey>& keys);
// The same of a registry's image. Fails closed: gate_refused where the registry has no such image or what it has under the name of a signature is
// none, the errors of RegistryClient where it can't be asked.
Result<std::set<std::string>> signers_of(const provider::registry::RegistryClient& registry, const Digest& image, const std::vector<NamedKey>& keys);

// Under the tag "sha256-<hex>.sig", beside those that are there.
Status put_simple_signature(provider::registry::RegistryClient& registry, const Digest& image, const std::string& payload, const std::string& signature);

}  // namespace redoubt::cli
