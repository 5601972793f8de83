// SPDX-License-Identifier: Apache-2.0
//
// One client for every AWS service: an operation is named and its members are given as JSON, whatever the service's protocol
// (JSON 1.0/1.1, Query, EC2 Query, REST-JSON, REST-XML). What differs between services is a row of the table in services.h.
// Requests are signed (Signature Version 4), tried again with jitter where that is safe, and never logged; no error names a
// secret. Safe to use from several threads.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/json.h"
#include "base/stream.h"
#include "http/message.h"

namespace redoubt::provider::aws {

struct ClientOptions {
  std::string region = {};           // "eu-central-1"; empty: AWS_REGION, AWS_DEFAULT_REGION, then the profile's
  std::string profile = {};          // empty: AWS_PROFILE, then "default"
  std::string assume_role_arn = {};  // a role to take on with the credentials that were found
  std::string endpoint_url = {};     // for every service; empty: AWS_ENDPOINT_URL_<SERVICE>, AWS_ENDPOINT_URL, the region's own
  std::string ca_file = {};          // PEM; empty: AWS_CA_BUNDLE, then the system's
  bool use_fips = false;
  bool use_dual_stack = false;
  int attempts_max = 5;              // of one call, the first included
};

// One exchange with a service whose bodies are streams (S3, streaming invocations).
struct RestRequest {
  std::string_view service = "s3";
  std::string operation;                              // its name in the API reference, for errors
  std::string method = "GET";
  std::string bucket = {};                            // S3: becomes part of the host where its name allows it, else of the path
  std::string path = "/";                             // not yet percent-encoded
  std::vector<std::pair<std::string, std::string>> query = {};  // not yet percent-encoded
  http::Headers headers = {};
  std::string body = {};
  const RandomAccess* upload = nullptr;               // sent instead of `body`; read again when the request is tried again
  std::uint64_t upload_offset = 0, upload_bytes = 0;  // the part of it to send
  std::uint64_t bytes_max = 64 << 20;                 // of the answer's body
  bool may_be_repeated = false;                       // a POST that does no harm when it is carried out twice; other methods always may
};

struct RestAnswer {
  int status = 0;
  http::Headers headers;
};

struct WaitOptions {
  int first_pause_ms = 500;  // doubled up to the next, with jitter
  int pause_ms_max = 15'000;
  int total_s_max = 3600;
};

class Client {
 public:
  // Finds region and credentials. invalid_argument for a bad region, profile or file; permission_denied where no credentials are found, with the
  // places that were looked at.
  static Result<std::unique_ptr<Client>> create(ClientOptions options, const Clock& clock);
  virtual ~Client() = default;

  // From now on calls are made in that role, taken on with the credentials that were found; empty: in their own name.
  // permission_denied, naming the role, where it can't be taken on. No call may be under way.
  virtual Status act_as(const std::string& role_arn) = 0;

  // `call("kms", "Encrypt", {{"KeyId", key}, ...})`: members as in the API reference, blobs in base64, times as seconds since 1970 (numbers).
  // Codes of the answer become ours: see errors.h.
  virtual Result<Json> call(std::string_view service, std::string_view operation, const Json& input = Json::object()) = 0;
  // All pages of a listing: an array of what stands in the answers' member `items`.
  virtual Result<Json> call_all(std::string_view service, std::string_view operation, const Json& input, std::string_view items) = 0;
  // Calls again until `is_done` says so. limit_exceeded, with the last answer's gist, when the time is over.
  virtual Result<Json> wait_until(std::string_view service, std::string_view operation, const Json& input,
                                  const std::function<Result<bool>(const Json& answer)>& is_done, const WaitOptions& options = {}) = 0;
  // The body of a success goes to `body`.
  virtual Result<RestAnswer> send(const RestRequest& request, Sink& body) = 0;

  // From now on every call fails at once as unavailable, and those that are under way are broken off within a second or two: for a process
  // that has to end.
  virtual void give_up() = 0;

  virtual const std::string& region() const = 0;
  virtual const std::string& partition() const = 0;  // "aws", "aws-cn", "aws-us-gov"
  virtual Result<std::string> account() = 0;          // twelve digits, asked for once
};

// Whether the service answered with that code ("ResourceNotFoundException"), for callers that need more than our own code tells.
bool is_service_error(const Error& error, std::string_view service_code);

}  // namespace redoubt::provider::aws
