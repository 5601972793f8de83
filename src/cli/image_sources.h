// SPDX-License-Identifier: Apache-2.0
//
// Images as people name them on the command line and in recipes: of the workspace's store, of an OCI layout, of a registry.
#pragma once

#include <memory>

#include "cli/session.h"
#include "provider/registry/registry_client.h"
#include "stages/image/recipe/build.h"

namespace redoubt::cli {

// How a registry is reached.
struct RegistryOptions {
  std::string ca_file, login_secret, login_file;
};
void add_registry_options(CLI::App& command, RegistryOptions& options);
// `session` may be null: then no secret of a workspace is known.
Result<provider::registry::RegistryLogin> login_of(Session* session, const RegistryOptions& options);

struct NamedImage {
  std::shared_ptr<provider::ImageStore> images;
  provider::ImageDescriptor image;
};

// "oci:FOLDER[:TAG]", "HOST[:PORT]/NAME@sha256:...", or a tag or digest of `store`. A registry's tag alone is refused: it may name
// another image tomorrow.
class ImageFinder {
 public:
  ImageFinder(Session* session, std::shared_ptr<provider::ImageStore> store, const RegistryOptions& registry) : session_(session), store_(std::move(store)), registry_(registry) {}
  Result<NamedImage> find(const std::string& name) const;

 private:
  Session* session_;
  std::shared_ptr<provider::ImageStore> store_;  // may be null
  const RegistryOptions& registry_;
};

// A store that somebody else owns.
inline std::shared_ptr<provider::ImageStore> borrowed(provider::ImageStore& images) { return {std::shared_ptr<void>(), &images}; }

}  // namespace redoubt::cli
