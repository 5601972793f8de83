// SPDX-License-Identifier: Apache-2.0
//
// A remote registry as the OCI distribution specification v1.1 has it, over HTTPS alone. What a registry answers is believed only
// where a digest proves it. Logs in as the registry asks: not at all, by password, or by a token that its token server gives
// (https://distribution.github.io/distribution/spec/auth/token/).
#pragma once

#include <optional>
#include <string>

#include "base/bytes.h"
#include "http/client.h"
#include "provider/image_store.h"

namespace redoubt::stages::image {

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
  Result<bool> has_blob(const provider::ImageDescriptor& blob);
  // One POST, one PUT. `contents` checks its own digest; tampered when the registry names another one.
  Status put_blob(const provider::ImageDescriptor& blob, Source& contents);
  // The digest of the manifest that the tag names, computed over its bytes; nothing where there is none.
  Result<std::optional<Digest>> manifest_digest(const std::string& tag);
  Status put_manifest(const std::string& tag, const provider::ImageDescriptor& manifest, std::string bytes);

 private:
  RegistryClient(const http::ClientOptions& options, RemoteReference reference) : client_(options), reference_(std::move(reference)) {}
  Status log_in(const Challenge& challenge, const RegistryLogin& login);
  http::ClientRequest request(std::string method, const std::string& path) const;
  Status check_digest(const http::ClientResponse& response, const Digest& digest, const std::string& where) const;
  Result<std::string> upload_url(const http::ClientResponse& response, const Digest& digest) const;

  http::Client client_;
  RemoteReference reference_;
  std::optional<Secret> bearer_, basic_;
};

}  // namespace redoubt::stages::image
