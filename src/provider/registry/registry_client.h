// SPDX-License-Identifier: Apache-2.0
//
// A remote registry as the OCI distribution specification v1.1 has it, over HTTPS alone. What a registry answers is believed only
// where a digest proves it. Logs in as the registry asks: not at all, by password, or by a token that its token server gives
// (https://distribution.github.io/distribution/spec/auth/token/).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "http/client.h"
#include "provider/image_store.h"

namespace redoubt::provider::registry {

// Where an image goes.
struct RemoteReference {
  std::string origin;      // "https://registry.example:5000"
  std::string repository;  // "team/redoubt-engine"
  std::string tag;         // "" where the URL names none
};

// "https://HOST[:PORT]/REPOSITORY[:TAG]". invalid_argument for another scheme, a digest, a query or a name that no registry takes.
Result<RemoteReference> parse_remote_reference(const std::string& url);

// The scheme and the parameters of a WWW-Authenticate header (RFC 9110, section 11.6.1); names in lower case.
struct Challenge {
  std::string scheme;
  std::string realm, service, scope;
};
Result<Challenge> parse_challenge(std::string_view header);

struct RegistryLogin {
  // "USER:PASSWORD", or a ready bearer token where it holds no colon.
  std::optional<Secret> credentials;
};

class RegistryClient {
 public:
  // Asks the registry how it wants to be logged in to, and does. permission_denied where it wants credentials and has none.
  static Result<RegistryClient> open(const http::ClientOptions& options, RemoteReference reference, const RegistryLogin& login);

  // Whether the repository has the blob, at its full length.
  Result<bool> has_blob(const ImageDescriptor& blob);
  // One POST, one PUT. `contents` checks its own digest; tampered when the registry names another one.
  Status put_blob(const ImageDescriptor& blob, Source& contents);
  // In parts, since neither length nor digest are known before the end.
  Result<Digest> put_blob(Source& contents);
  // Checks the digest as it is read to the end. not_found.
  Result<std::unique_ptr<Source>> open_blob(const Digest& digest) const;
  // The manifest that a tag or a digest names, as its bytes are; nothing where there is none.
  struct Manifest {
    ImageDescriptor descriptor;
    std::string bytes;
  };
  Result<std::optional<Manifest>> manifest(const std::string& tag_or_digest) const;
  // Sorted.
  Result<std::vector<std::string>> tags() const;
  Status put_manifest(const std::string& tag, const ImageDescriptor& manifest, std::string bytes);

 private:
  RegistryClient(const http::ClientOptions& options, RemoteReference reference) : client_(options), reference_(std::move(reference)) {}
  Status log_in(const Challenge& challenge, const RegistryLogin& login);
  http::ClientRequest request(std::string method, const std::string& path) const;
  Status check_digest(const http::ClientResponse& response, const Digest& digest, const std::string& where) const;
  Result<std::string> next_url(const http::ClientResponse& response) const;
  Result<std::string> upload_url(const http::ClientResponse& response, const Digest& digest) const;

  http::Client client_;
  RemoteReference reference_;
  std::optional<Secret> bearer_, basic_;
};

}  // namespace redoubt::provider::registry
