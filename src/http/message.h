// SPDX-License-Identifier: Apache-2.0
//
// HTTP messages as handlers see them (RFC 9110). A Request has passed the strict parser of parser.h.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/stream.h"

namespace redoubt::http {

struct Header {
  std::string name;  // lower case in requests
  std::string value;
};

// In the order they came. Lookups ignore case.
class Headers {
 public:
  Headers() = default;
  Headers(std::initializer_list<Header> headers) : headers_(headers) {}
  void add(std::string name, std::string value) { headers_.push_back({std::move(name), std::move(value)}); }
  void reserve(std::size_t count) { headers_.reserve(count); }
  // The first value of that name, or null.
  const std::string* find(std::string_view name) const;
  std::size_t count(std::string_view name) const;
  std::size_t size() const { return headers_.size(); }
  auto begin() const { return headers_.begin(); }
  auto end() const { return headers_.end(); }

 private:
  std::vector<Header> headers_;
};

// The certificate that a client proved in its handshake.
struct ClientCertificate {
  std::string common_name;
  std::vector<std::string> dns_names;
  std::string fingerprint;  // SHA-256 of the DER form, 64 hexadecimal digits
};

struct Request {
  std::string method;  // as sent: methods are case-sensitive
  // Starts with '/', percent-encoding kept. Never holds an empty, "." or ".." segment, encoded or not, an encoded NUL, an
  // encoded control character, a backslash or a malformed escape.
  std::string path;
  std::string query;  // what follows '?', as sent; empty if nothing does
  Headers headers;
  std::string body;  // whole, chunked coding removed
  bool has_body = false;  // known before it is there; one of no bytes is none where its length was announced
  std::string peer;  // the client's address without its port
  std::string payer = {};  // on whose account its body is kept, where a handler has said so
  bool is_http_1_0 = false;
  std::shared_ptr<const ClientCertificate> client = {};  // null: none was shown
};

// An answer that is known as a whole: `body`, or `length` bytes of `source` from `offset` when a source is given.
// Content-Length, Date and Connection are the server's to write.
struct Response {
  int status = 200;
  Headers headers;
  std::string body;
  std::shared_ptr<const RandomAccess> source = {};  // read by the server's thread in pieces, never all at once
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};

// "Not Found" for 404; "Unknown" for a status it does not know.
std::string_view reason_of(int status);

bool equal_ignoring_case(std::string_view a, std::string_view b);

// Undoes %XX. invalid_argument for a malformed escape or an encoded NUL. '+' stays '+'.
Result<std::string> percent_decode(std::string_view text);

// The decoded segments of a request's path: "/a/b%2Fc" is {"a", "b/c"}; "/" is none.
Result<std::vector<std::string>> path_segments(std::string_view path);

// The decoded value of a query's parameter, if it is there once; several of one name are invalid_argument.
Result<std::optional<std::string>> query_value(std::string_view query, std::string_view name);

// The answer to a GET or HEAD of an object: 200 with everything, 206 for one satisfiable byte range (RFC 9110 section 14),
// 416 for an unsatisfiable one, 304 when If-None-Match names `etag`. Several ranges, or If-Range with another tag, get the
// whole object. `etag` is sent as given (with its quotes) and left out if empty.
Response object_response(const Request& request, std::shared_ptr<const RandomAccess> object, std::string_view content_type,
                         std::string_view etag);

}  // namespace redoubt::http
