// SPDX-License-Identifier: Apache-2.0
//
// A remote registry as the OCI distribution specification v1.1 has it, over HTTPS alone. What a registry answers is believed only
// where a digest proves it. Logs in as the registry asks: not at all, by password, or by a token that its token server gives
// (https://distribution.github.io/distribution/spec/auth/token/), and again where a token ran out on the way. A registry that is
// busy (429, 503) is waited for as long as it says, within bounds; a connection that breaks is taken up where it broke.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "http/client.h"
#include "provider/image_store.h"
#include "provider/registry/reference.h"

namespace redoubt::provider::registry {

constexpr std::uint64_t kManifestBytesMax = 4 << 20;  // what every registry takes at least

struct RegistryLogin {
  // "USER:PASSWORD", or a ready bearer token where it holds no colon.
  std::optional<Secret> credentials;
};

struct RegistryAccess {
  bool push = true;                     // else a token to read alone is asked for
  std::string mount_from = {};          // another repository of the registry, to take blobs from
};

// Opens a blob from its start, as often as it is asked to.
using OpenBlob = std::function<Result<std::unique_ptr<Source>>()>;

class RegistryClient {
 public:
  // Asks the registry how it wants to be logged in to, and does. permission_denied where it wants credentials and has none.
  static Result<RegistryClient> open(const http::ClientOptions& options, RemoteReference reference, const RegistryLogin& login, const RegistryAccess& access = {});

  const RemoteReference& reference() const { return reference_; }

  // Whether the repository has the blob, at its full length.
  Result<bool> has_blob(const ImageDescriptor& blob) const;
  // Takes the blob from the repository that RegistryAccess named; false where the registry would rather have it sent.
  Result<bool> mount_blob(const ImageDescriptor& blob) const;
  // In one request where it is small, else in parts; a part that broke off goes on where the registry says that it is. What `open`
  // gives checks its own digest; tampered when the registry names another one.
  Status put_blob(const ImageDescriptor& blob, const OpenBlob& open) const;
  // In parts, since neither length nor digest are known before the end.
  Result<Digest> put_blob(Source& contents) const;
  // Checks the digest as it is read to the end; must not outlive the client. not_found.
  Result<std::unique_ptr<Source>> open_blob(const Digest& digest) const;
  // The manifest that a tag or a digest names, as its bytes are; nothing where there is none.
  struct Manifest {
    ImageDescriptor descriptor;
    std::string bytes;
  };
  Result<std::optional<Manifest>> manifest(const std::string& tag_or_digest) const;
  // Sorted.
  Result<std::vector<std::string>> tags() const;
  // Whether the registry took note of the manifest's subject by itself.
  enum class Subject { unnoticed, noticed };
  Result<Subject> put_manifest(const std::string& tag_or_digest, const ImageDescriptor& manifest, std::string bytes) const;
  // The pages of what refers to a manifest, each the text of an index; nothing where the registry has no such list.
  Result<std::optional<std::vector<std::string>>> referrers(const Digest& digest) const;

 private:
  struct Session {
    std::mutex mutex;
    std::optional<Secret> bearer, basic;
  };
  RegistryClient(const http::ClientOptions& options, RemoteReference reference, RegistryAccess access)
      : client_(options), reference_(std::move(reference)), access_(std::move(access)), session_(std::make_unique<Session>()) {}
  Status log_in(const Challenge& challenge) const;
  Status fetch_token(const Challenge& challenge) const;
  std::string scope() const;
  http::ClientRequest request(std::string method, const std::string& path) const;
  // One request, as often as it takes: a login that ran out is renewed, a busy registry waited for.
  Result<http::ClientResponse> send(http::ClientRequest request, Sink& body) const;
  Result<std::pair<http::ClientResponse, std::string>> fetch(http::ClientRequest request) const;
  Status check_digest(const http::ClientResponse& response, const Digest& digest, const std::string& where) const;
  Result<std::string> next_url(const http::ClientResponse& response) const;
  Status send_blob(const ImageDescriptor& blob, const OpenBlob& open) const;
  Result<std::string> begin_upload() const;
  Result<std::string> send_part(const std::string& url, std::uint64_t offset, ByteView part) const;
  Result<std::uint64_t> uploaded(std::string& url) const;
  Status finish_upload(const std::string& url, const Digest& digest, ByteView rest) const;
  Result<std::vector<std::string>> pages(const std::string& path, bool& found) const;

  friend class BlobSource;
  http::Client client_;
  RemoteReference reference_;
  RegistryAccess access_;
  std::optional<Secret> credentials_;
  std::unique_ptr<Session> session_;
};

}  // namespace redoubt::provider::registry
