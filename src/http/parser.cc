// SPDX-License-Identifier: Apache-2.0
#include "http/parser.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace redoubt::http {
namespace {

constexpr std::size_t kChunkLineMax = 10;  // eight hexadecimal digits, CR, LF
constexpr std::size_t kMethodBytesMax = 32;

tl::unexpected<Refusal> refuse(int status, const char* why) { return tl::unexpected<Refusal>(Refusal{status, why}); }

constexpr bool is_alphanumeric(unsigned char c) { return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z'); }

// Letters, digits and these.
constexpr std::array<bool, 256> set_with(std::string_view more) {
  std::array<bool, 256> set{};
  for (int c = 0; c < 256; ++c) set[static_cast<std::size_t>(c)] = is_alphanumeric(static_cast<unsigned char>(c));
  for (char c : more) set[static_cast<unsigned char>(c)] = true;
  return set;
}

// tchar of RFC 9110 section 5.6.2.
constexpr auto kToken = set_with("!#$%&'*+-.^_`|~");

bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) { return kToken[c]; });
}

bool is_field_value(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](unsigned char c) { return c == '\t' || (c >= 0x20 && c != 0x7f); });
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// The line up to CRLF, which is taken off too. The caller knows that there is one.
std::string_view take_line_of(std::string_view& text) {
  auto line = text.substr(0, text.find("\r\n"));
  text.remove_prefix(line.size() + 2);
  return line;
}

// RFC 3986 unreserved, sub-delims, ':', '@', '/', '%': what a path may hold.
constexpr auto kPath = set_with("-._~!$&'()*+,;=:@/%");

bool is_path_character(unsigned char c) { return kPath[c]; }

bool is_host(std::string_view host) {
  if (host.empty() || host.size() > 255 + 6) return false;
  std::string_view name = host, port;
  if (host.front() == '[') {
    auto close = host.find(']');
    if (close == host.npos || close == 1) return false;
    name = host.substr(1, close - 1);
    port = host.substr(close + 1);
    if (!port.empty() && port.front() != ':') return false;
    if (!std::all_of(name.begin(), name.end(), [](unsigned char c) { return c == ':' || c == '.' || isxdigit(c); }))
      return false;
  } else {
    name = host.substr(0, host.find(':'));
    port = host.substr(name.size());
    if (name.empty() || !std::all_of(name.begin(), name.end(),
                                     [](unsigned char c) { return is_alphanumeric(c) || c == '-' || c == '.' || c == '_'; }))
      return false;
  }
  if (port.empty()) return true;
  port.remove_prefix(1);
  unsigned value = 0;
  auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), value);
  return !port.empty() && port.size() <= 5 && error == std::errc{} && end == port.data() + port.size() && value <= 65535;
}

// Each segment, once decoded, has to be an ordinary name, so that no layer behind this one can be led elsewhere.
Parsed<void> check_path(std::string_view path) {
  if (!std::all_of(path.begin(), path.end(), is_path_character))
    return refuse(400, "the path has a character that must be encoded");
  for (auto rest = path; !rest.empty();) {
    rest.remove_prefix(1);
    const auto raw = rest.substr(0, rest.find('/'));
    rest.remove_prefix(raw.size());
    const bool is_last = rest.empty(), is_plain = raw.find('%') == raw.npos;
    const auto decoded = is_plain ? Result<std::string>(std::string()) : percent_decode(raw);
    if (!decoded) return refuse(400, "the path has a malformed escape");
    const auto segment = is_plain ? raw : std::string_view(*decoded);
    if (segment == "." || segment == ".." || (segment.empty() && !is_last))
      return refuse(400, "the path has an empty or dot segment");
    if (std::any_of(segment.begin(), segment.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f || c == '\\'; }))
      return refuse(400, "the path has a control character or a backslash");
  }
  return {};
}

// origin-form, or absolute-form for this scheme; `authority` is what an absolute-form names.
Parsed<void> parse_target(std::string_view target, Request& request, std::string_view& authority) {
  for (std::string_view scheme : {"https://", "http://"}) {
    if (!equal_ignoring_case(target.substr(0, scheme.size()), scheme)) continue;
    target.remove_prefix(scheme.size());
    authority = target.substr(0, target.find_first_of("/?"));
    if (!is_host(authority)) return refuse(400, "the target names no valid host");
    target.remove_prefix(authority.size());
    if (target.empty() || target.front() != '/') return refuse(400, "the target has no path");
    break;
  }
  if (target.empty() || target.front() != '/') return refuse(400, "the target is not a path");
  auto question = std::min(target.find('?'), target.size());
  request.path = target.substr(0, question);
  request.query = question < target.size() ? target.substr(question + 1) : std::string_view();
  if (!std::all_of(request.query.begin(), request.query.end(),
                   [](unsigned char c) { return is_path_character(c) || c == '?'; }))
    return refuse(400, "the query has a character that must be encoded");
  return check_path(request.path);
}

Parsed<void> check_method(std::string_view method) {
  if (!is_token(method) || method.size() > kMethodBytesMax) return refuse(400, "the method is malformed");
  if (method == "TRACE") return refuse(405, "no resource takes TRACE");
  if (method == "CONNECT") return refuse(501, "the method is not supported");
  return {};
}

Parsed<void> parse_request_line(std::string_view line, const ParserLimits& limits, Request& request,
                                std::string_view& authority) {
  auto first = line.find(' '), last = line.rfind(' ');
  if (first == line.npos || first == last) return refuse(400, "the request line has not three parts");
  auto method = line.substr(0, first), target = line.substr(first + 1, last - first - 1), version = line.substr(last + 1);
  if (auto checked = check_method(method); !checked) return checked;
  if (target.size() > limits.target_bytes_max) return refuse(414, "the target is too long");
  if (version == "HTTP/1.0") {
    request.is_http_1_0 = true;
  } else if (version != "HTTP/1.1") {
    return refuse(version.starts_with("HTTP/") ? 505 : 400, "the protocol version is not HTTP/1.1");
  }
  request.method = method;
  return parse_target(target, request, authority);
}

Parsed<Header> parse_header(std::string_view line) {
  if (line.front() == ' ' || line.front() == '\t') return refuse(400, "a header is folded over lines");
  auto colon = line.find(':');
  if (colon == line.npos || !is_token(line.substr(0, colon))) return refuse(400, "a header's name is malformed");
  auto value = trim(line.substr(colon + 1));
  if (!is_field_value(value)) return refuse(400, "a header's value has a control character");
  Header header{std::string(line.substr(0, colon)), std::string(value)};
  for (auto& c : header.name)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  return header;
}

Parsed<void> check_host(const Request& request, std::string_view authority) {
  auto hosts = request.headers.count("host");
  if (hosts > 1) return refuse(400, "there are several Host headers");
  if (hosts == 0) return request.is_http_1_0 ? Parsed<void>() : refuse(400, "there is no Host header");
  const auto& host = *request.headers.find("host");
  if (!is_host(host)) return refuse(400, "the Host header is malformed");
  if (!authority.empty() && !equal_ignoring_case(authority, host))
    return refuse(400, "the target and the Host header differ");
  return {};
}

Parsed<void> find_framing(RequestHead& head, const ParserLimits& limits) {
  const auto& headers = head.request.headers;
  auto codings = headers.count("transfer-encoding"), lengths = headers.count("content-length");
  if (codings > 0) {
    if (head.request.is_http_1_0) return refuse(400, "HTTP/1.0 has no Transfer-Encoding");
    if (lengths > 0) return refuse(400, "there are both Transfer-Encoding and Content-Length");
    if (codings > 1 || !equal_ignoring_case(*headers.find("transfer-encoding"), "chunked"))
      return refuse(400, "the Transfer-Encoding is not exactly 'chunked'");
    head.framing = BodyFraming::chunked;
  } else if (lengths > 0) {
    const auto& text = *headers.find("content-length");
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), head.body_bytes);
    bool digits =
        !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) { return c >= '0' && c <= '9'; });
    if (lengths > 1 || !digits) return refuse(400, "the Content-Length is malformed");
    if (error != std::errc{} || head.body_bytes > limits.body_bytes_max) return refuse(413, "the body is too large");
    head.framing = head.body_bytes > 0 ? BodyFraming::length : BodyFraming::none;
  }
  return {};
}

// Connection is a list of options; of those only "close" and "keep-alive" mean anything here. An Upgrade is not taken.
bool keeps_alive(const Request& request) {
  bool keep = !request.is_http_1_0;
  for (const auto& [name, value] : request.headers) {
    if (name != "connection") continue;
    std::string_view rest = value;
    while (!rest.empty()) {
      auto option = rest.substr(0, rest.find(','));
      rest.remove_prefix(std::min(option.size() + 1, rest.size()));
      if (equal_ignoring_case(trim(option), "close")) return false;
    }
  }
  return keep;
}

Parsed<void> find_expectation(RequestHead& head) {
  const auto* expect = head.request.headers.find("expect");
  if (!expect) return {};
  if (head.request.headers.count("expect") > 1 || !equal_ignoring_case(*expect, "100-continue"))
    return refuse(417, "the expectation is not 100-continue");
  head.expects_continue = !head.request.is_http_1_0 && head.framing != BodyFraming::none;
  return {};
}

// What is asked of a head once its target and its headers are read.
Parsed<RequestHead> finish_head(RequestHead head, std::string_view authority, const ParserLimits& limits) {
  auto checked = check_host(head.request, authority).and_then([&] { return find_framing(head, limits); }).and_then([&] {
    return find_expectation(head);
  });
  if (!checked) return tl::unexpected<Refusal>(checked.error());
  head.keep_alive = keeps_alive(head.request);
  return head;
}

}  // namespace

Parsed<std::size_t> find_head_end(std::string_view buffer, std::size_t checked, const ParserLimits& limits) {
  auto limit = std::min(buffer.size(), limits.head_bytes_max);
  for (std::size_t i = checked; i < limit; ++i) {
    char c = buffer[i];
    if (c == '\0') return refuse(400, "the head has a NUL byte");
    if (c == '\n' && (i == 0 || buffer[i - 1] != '\r')) return refuse(400, "a line ends without CR");
    if (c != '\n' && i > 0 && buffer[i - 1] == '\r') return refuse(400, "there is a CR within a line");
    if (c == '\n' && i == 1) return refuse(400, "the request begins with an empty line");
    if (c == '\n' && i >= 3 && buffer[i - 2] == '\n') return i + 1;
  }
  if (buffer.size() >= limits.head_bytes_max) return refuse(431, "the head is too large");
  return std::size_t{0};
}

Parsed<RequestHead> parse_head(std::string_view text, const ParserLimits& limits) {
  auto end = find_head_end(text, 0, limits);
  if (!end) return tl::unexpected<Refusal>(end.error());
  if (*end != text.size() || text.empty()) return refuse(400, "the head is not complete");
  return parse_checked_head(text, limits);
}

Parsed<RequestHead> parse_checked_head(std::string_view text, const ParserLimits& limits) {
  constexpr std::size_t kMostHave = 12;
  RequestHead head;
  head.request.headers.reserve(std::min(kMostHave, limits.headers_max));
  std::string_view authority;
  if (auto line = parse_request_line(take_line_of(text), limits, head.request, authority); !line)
    return tl::unexpected<Refusal>(line.error());
  for (auto line = take_line_of(text); !line.empty(); line = take_line_of(text)) {
    if (head.request.headers.size() == limits.headers_max) return refuse(431, "there are too many headers");
    auto header = parse_header(line);
    if (!header) return tl::unexpected<Refusal>(header.error());
    head.request.headers.add(std::move(header->name), std::move(header->value));
  }
  return finish_head(std::move(head), authority, limits);
}

Parsed<RequestHead> head_of_fields(RequestFields fields, BodyFraming framing, const ParserLimits& limits) {
  if (auto checked = check_method(fields.method); !checked) return tl::unexpected<Refusal>(checked.error());
  if (fields.target.size() > limits.target_bytes_max) return refuse(414, "the target is too long");
  if (!fields.target.starts_with('/')) return refuse(400, "the target is not a path");
  if (fields.headers.size() > limits.headers_max) return refuse(431, "there are too many headers");
  for (const auto& [name, value] : fields.headers) {
    if (!is_token(name)) return refuse(400, "a header's name is malformed");
    if (!is_field_value(value) || trim(value).size() != value.size()) return refuse(400, "a header's value has a control character or a space at its end");
    if (name == "transfer-encoding" || name == "connection") return refuse(400, "HTTP/2 has no header of the connection");
  }
  RequestHead head;
  head.framing = framing;
  head.request.method = std::move(fields.method);
  head.request.headers = std::move(fields.headers);
  if (!fields.authority.empty() && head.request.headers.count("host") == 0) head.request.headers.add("host", fields.authority);
  std::string_view nobody;
  if (auto parsed = parse_target(fields.target, head.request, nobody); !parsed) return tl::unexpected<Refusal>(parsed.error());
  return finish_head(std::move(head), fields.authority, limits);
}

BodyParser::BodyParser(const RequestHead& head, std::size_t bytes_max) : bytes_max_(bytes_max) {
  chunked_ = head.framing == BodyFraming::chunked;
  rest_ = head.body_bytes;
  if (head.framing != BodyFraming::none) state_ = chunked_ ? State::size_line : State::data;
}

Parsed<std::size_t> BodyParser::consume(std::string_view input, std::string& body) {
  std::size_t used = 0;
  while (used < input.size() && !done()) {
    auto step = state_ == State::data ? take_data(input.substr(used), body) : take_line(input.substr(used));
    if (!step) return step;
    used += *step;
  }
  return used;
}

Parsed<std::size_t> BodyParser::take_data(std::string_view input, std::string& body) {
  auto count = static_cast<std::size_t>(std::min<std::uint64_t>(rest_, input.size()));
  body.append(input.substr(0, count));
  rest_ -= count;
  if (rest_ == 0) state_ = chunked_ ? State::data_end : State::done;
  return count;
}

// One byte at a time, so that a bare LF or a line that is too long is refused where it stands.
Parsed<std::size_t> BodyParser::take_line(std::string_view input) {
  char c = input.front();
  bool after_cr = !line_.empty() && line_.back() == '\r';
  if (after_cr != (c == '\n')) return refuse(400, "a chunk's line does not end in CR LF");
  if (line_.size() == kChunkLineMax) return refuse(400, "a chunk's line is too long");
  line_ += c;
  if (c != '\n') return std::size_t{1};
  return end_of_line();
}

Parsed<std::size_t> BodyParser::end_of_line() {
  std::string line = std::move(line_);
  line_.clear();
  line.resize(line.size() - 2);
  if (state_ != State::size_line) {
    if (!line.empty())
      return refuse(400, state_ == State::data_end ? "a chunk is longer than its size" : "trailers are not taken");
    state_ = state_ == State::data_end ? State::size_line : State::done;
    return std::size_t{1};
  }
  auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), rest_, 16);
  if (line.empty() || line.front() == '-' || error != std::errc{} || end != line.data() + line.size())
    return refuse(400, "a chunk's size is malformed, or has an extension");
  total_ += rest_;
  if (total_ > bytes_max_) return refuse(413, "the body is too large");
  state_ = rest_ == 0 ? State::last_line : State::data;
  return std::size_t{1};
}

}  // namespace redoubt::http
