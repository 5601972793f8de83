// SPDX-License-Identifier: Apache-2.0
//
// What people and registries write: addresses of images, challenges, links to a next page.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace redoubt::provider::registry {

// Where an image is.
struct RemoteReference {
  std::string origin;      // "https://registry.example:5000"
  std::string repository;  // "team/redoubt-engine"
  std::string tag;         // "" where the URL names none
  std::optional<Digest> digest = {};

  // HOST[:PORT]/REPOSITORY, then :TAG or @DIGEST.
  std::string text() const;
  // The tag, the digest, or "".
  std::string name() const { return digest ? digest->tagged() : tag; }
};

// "https://HOST[:PORT]/REPOSITORY[:TAG]". invalid_argument for another scheme, a digest, a query or a name that no registry takes.
Result<RemoteReference> parse_remote_reference(const std::string& url);
// The same, and "@sha256:..." after the repository or its tag.
Result<RemoteReference> parse_pinned_reference(const std::string& url);
bool is_tag(std::string_view text);
// "https://HOST:PORT" of an address, with the port that its scheme stands for.
Result<std::string> origin_of(const std::string& url);

// The scheme and the parameters of a WWW-Authenticate header (RFC 9110, section 11.6.1); names in lower case.
struct Challenge {
  std::string scheme;
  std::string realm, service, scope;
};
Result<Challenge> parse_challenge(std::string_view header);

// The address of a Link header with rel="next" (RFC 8288), as it is written; nothing where there is none.
std::optional<std::string> next_link(std::string_view header);
// The last byte of "0-1023" or "bytes=0-1023", as a registry tells how much of an upload it has; nothing for another text.
std::optional<std::uint64_t> last_byte(std::string_view range);
// Seconds of a Retry-After header that is a number; nothing for a date.
std::optional<std::uint64_t> retry_after(std::string_view header);

std::string percent_encode(std::string_view text);

}  // namespace redoubt::provider::registry
