// SPDX-License-Identifier: Apache-2.0
//
// A strict HTTP/1.1 request parser (RFC 9112). Where the RFC lets a recipient be lenient it refuses, because what two
// parsers read differently is how requests are smuggled: docs/decisions/2026-11-23-http-server.md has the list.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "http/message.h"

namespace redoubt::http {

struct ParserLimits {
  std::size_t head_bytes_max = 16 << 10;
  std::size_t target_bytes_max = 8 << 10;
  std::size_t headers_max = 64;
  std::size_t body_bytes_max = 1 << 20;
};

// Why a request is refused: the status to answer with, and a fixed sentence that is safe to send and to log.
struct Refusal {
  int status = 400;
  const char* why = "";
};
template <class T>
using Parsed = tl::expected<T, Refusal>;

enum class BodyFraming { none, length, chunked };

struct RequestHead {
  Request request;  // no body yet
  BodyFraming framing = BodyFraming::none;
  std::uint64_t body_bytes = 0;  // with BodyFraming::length
  bool keep_alive = true;
  bool expects_continue = false;
};

// Where the head ends in `buffer` (just behind the empty line), or 0 if it is not there yet. Bytes before `checked` were
// seen by an earlier call on the same buffer. A bare LF or CR, a NUL or too many bytes are refused as soon as they are seen.
Parsed<std::size_t> find_head_end(std::string_view buffer, std::size_t checked, const ParserLimits& limits);

// `head` is everything up to and with the empty line.
Parsed<RequestHead> parse_head(std::string_view head, const ParserLimits& limits);
// The same of what find_head_end has found the end of, and so has read already.
Parsed<RequestHead> parse_checked_head(std::string_view head, const ParserLimits& limits);

// A head as HTTP/2 has it: no text, but fields.
struct RequestFields {
  std::string method, target, authority;
  Headers headers;  // names in lower case
};
// The same rules for it; an authority becomes the Host header where there is none. `framing` is what the stream says of its body:
// none, or chunked for one whose length nobody announced; a Content-Length makes that `length`.
Parsed<RequestHead> head_of_fields(RequestFields fields, BodyFraming framing, const ParserLimits& limits);

// Takes a body out of a stream of bytes, at any split.
class BodyParser {
 public:
  BodyParser(const RequestHead& head, std::size_t bytes_max);
  // Takes what it can from `input` and appends the body's bytes to `body`; answers how many bytes of input it used. `done()`
  // tells when the body is whole; bytes after it are not touched.
  Parsed<std::size_t> consume(std::string_view input, std::string& body);
  bool done() const { return state_ == State::done; }

 private:
  enum class State { data, size_line, data_end, last_line, done };
  Parsed<std::size_t> take_line(std::string_view input);
  Parsed<std::size_t> take_data(std::string_view input, std::string& body);
  Parsed<std::size_t> end_of_line();

  State state_ = State::done;
  bool chunked_ = false;
  std::uint64_t rest_ = 0;   // bytes of data still to come in this chunk or body
  std::uint64_t total_ = 0;  // bytes of all chunks so far, this one included
  std::size_t bytes_max_;
  std::string line_;  // a chunk-size line that is not complete: at most kChunkLineMax bytes
};

}  // namespace redoubt::http
