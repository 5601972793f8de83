// SPDX-License-Identifier: Apache-2.0
//
// AWS Signature Version 4 (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html): in the Authorization header,
// in a URL's query (presigned), and over the chunks of a streamed body. Why it is not libcurl's:
// docs/decisions/2026-11-23-aws-sigv4.md.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/secret.h"
#include "http/message.h"

namespace redoubt::provider::aws {

struct Credentials {
  std::string access_key_id;  // not secret: it stands in every request
  Secret secret_access_key;
  std::optional<Secret> session_token = {};
  std::optional<TimePoint> expires = {};
  std::string source = {};  // where they were found, for errors
};

inline constexpr std::string_view kUnsignedPayload = "UNSIGNED-PAYLOAD";
inline constexpr std::string_view kStreamingPayload = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";

using Query = std::vector<std::pair<std::string, std::string>>;

struct SigningScope {
  std::string region;
  std::string service;  // the signing name: "s3", "sagemaker"
  TimePoint time;
};

// A request as it will be sent.
struct SignableRequest {
  std::string method = "GET";
  std::string path = "/";     // percent-encoded, as on the wire
  Query query = {};           // not yet encoded
  http::Headers headers = {};  // all of these are signed; "host" must be there
  std::string payload_hash;   // SHA-256 in hex, or one of the words above
  bool is_s3 = false;         // S3 signs the path as it stands; the others normalise and encode it once more
};

// RFC 3986's unreserved characters stay, everything else becomes %XX in upper case; '/' stays in a path.
std::string uri_encode(std::string_view text, bool keep_slash = false);
// "a=1&b=2", encoded and sorted: what is signed, and what goes on the wire.
std::string canonical_query(const Query& query);

// The three stages, as AWS's documentation names them.
std::string canonical_request(const SignableRequest& request);
std::string string_to_sign(const SignableRequest& request, const SigningScope& scope);
std::string signature(const SignableRequest& request, const SigningScope& scope, const Secret& secret_access_key);

// What a request carries in the end: x-amz-date, x-amz-security-token and, for S3, x-amz-content-sha256 are added and signed
// with the rest, then authorization is.
http::Headers signed_headers(SignableRequest request, const SigningScope& scope, const Credentials& credentials);

// The query of a URL that anyone may use until it expires (1 second to 7 days).
std::string presigned_query(SignableRequest request, const SigningScope& scope, const Credentials& credentials, int expires_s);

// Signatures of the chunks of a body sent under kStreamingPayload, each over the one before; the first is over the request's.
class ChunkSigner {
 public:
  ChunkSigner(const SigningScope& scope, const Secret& secret_access_key, std::string seed_signature);
  // "<hex size>;chunk-signature=<signature>\r\n" for a chunk's data, which is followed by "\r\n"; the last chunk is empty.
  std::string header_of(ByteView chunk);

 private:
  SigningScope scope_;
  Secret key_;
  std::string previous_;
};

// "20150830T123600Z"
std::string amz_date(TimePoint time);

}  // namespace redoubt::provider::aws
