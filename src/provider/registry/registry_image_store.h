// SPDX-License-Identifier: Apache-2.0
//
// ImageStore over one repository of a registry. A store's names hold characters that no tag may have; they are written as "_c"
// for ':', "_s" for '/', "__" for '_', and "_d" or "_h" for a '.' or '-' at the start.
#pragma once

#include <functional>
#include <memory>
#include <mutex>

#include "base/clock.h"
#include "provider/image_store.h"
#include "provider/registry/registry_client.h"

namespace redoubt::provider::registry {

// The tag under which a name is kept; invalid_argument for what is no name, or is too long for a tag.
Result<std::string> tag_of_name(std::string_view name);
// The other way; nothing for a tag that no name gives.
std::optional<std::string> name_of_tag(std::string_view tag);

struct RegistryImageStoreOptions {
  RemoteReference repository;  // its tag is not used
  http::ClientOptions http = {};
  // Asked for at first and again when a login is older than `login_ms_max`.
  std::function<Result<RegistryLogin>()> login = [] { return Result<RegistryLogin>(RegistryLogin{}); };
  std::int64_t login_ms_max = 8 * 3600 * 1000;
};

class RegistryImageStore final : public ImageStore {
 public:
  RegistryImageStore(RegistryImageStoreOptions options, const Clock& clock) : options_(std::move(options)), clock_(clock) {}

  Result<Digest> put_blob(Source& contents) override;
  Result<std::unique_ptr<Source>> open_blob(const Digest& digest) override;  // must not outlive the store
  // The registry checks that all is there which the manifest names: invalid_argument where it is not.
  Status tag(std::string_view name, const ImageDescriptor& manifest) override;
  Result<ImageDescriptor> resolve(std::string_view name_or_digest) override;
  Result<std::vector<std::pair<std::string, ImageDescriptor>>> list() override;

 private:
  Result<RegistryClient*> registry();

  RegistryImageStoreOptions options_;
  const Clock& clock_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<RegistryClient>> clients_;  // the newest last; readers of blobs may still use older ones
  TimePoint logged_in_{};
};

}  // namespace redoubt::provider::registry
