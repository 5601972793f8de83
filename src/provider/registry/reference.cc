// SPDX-License-Identifier: Apache-2.0
#include "provider/registry/reference.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <regex>

#include "http/client.h"

namespace redoubt::provider::registry {
namespace {

// The specification's grammars, under "Pulling manifests".
const std::regex& repository_grammar() {
  static const std::regex grammar("[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*)*");
  return grammar;
}
const std::regex& tag_grammar() {
  static const std::regex grammar("[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}");
  return grammar;
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || parsed.ec != std::errc{} || parsed.ptr != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

std::string percent_encode(std::string_view text) {
  std::string out;
  for (unsigned char c : text) {
    const bool plain = std::isalnum(c) != 0 || c == '-' || c == '.' || c == '_' || c == '~';
    plain ? out.push_back(static_cast<char>(c)) : static_cast<void>(out += fmt::format("%{:02X}", c));
  }
  return out;
}

std::string RemoteReference::text() const {
  return origin.substr(origin.find("//") + 2) + "/" + repository + (tag.empty() ? "" : ":" + tag) + (digest ? "@" + digest->tagged() : "");
}

bool is_tag(std::string_view text) { return std::regex_match(text.begin(), text.end(), tag_grammar()); }

Result<std::string> origin_of(const std::string& url) {
  const auto parts = TRY(http::parse_url(url));
  return fmt::format("{}://{}:{}", parts.scheme, parts.host, parts.port);
}

Result<RemoteReference> parse_remote_reference(const std::string& url) {
  constexpr const char* kHint = "write https://HOST[:PORT]/REPOSITORY[:TAG]";
  const auto parts = TRY(http::parse_url(url));
  if (parts.scheme != "https") return fail(ErrorCode::invalid_argument, "an image is pushed over HTTPS alone", http::without_query(url), kHint);
  // Dot segments would be resolved away by the URL's parser, and another name than was written would be pushed to.
  if (url.find_first_of("?#@%\\") != url.npos || url.find("/.") != url.npos) return fail(ErrorCode::invalid_argument, "not the address of an image", http::without_query(url), kHint);
  RemoteReference reference;
  reference.origin = TRY(origin_of(url));
  reference.repository = parts.target.substr(1);
  if (const auto colon = reference.repository.find(':'); colon != std::string::npos) {
    reference.tag = reference.repository.substr(colon + 1);
    reference.repository.resize(colon);
    if (!std::regex_match(reference.tag, tag_grammar())) return fail(ErrorCode::invalid_argument, "no registry takes this tag", reference.tag, kHint);
  }
  if (reference.repository.size() > 255 || !std::regex_match(reference.repository, repository_grammar())) {
    return fail(ErrorCode::invalid_argument, "no registry takes this name of a repository", reference.repository, kHint);
  }
  return reference;
}

Result<RemoteReference> parse_pinned_reference(const std::string& url) {
  const auto at = url.find('@');
  auto reference = TRY(parse_remote_reference(url.substr(0, at)));
  if (at != url.npos) {
    if (!url.substr(at + 1).starts_with("sha256:")) return fail(ErrorCode::invalid_argument, "not a digest: " + url.substr(at + 1, 80), http::without_query(url), "write @sha256: and 64 digits");
    reference.digest = TRY(Digest::parse(url.substr(at + 1)));
  }
  return reference;
}

Result<Challenge> parse_challenge(std::string_view header) {
  const auto bad = [] { return fail(ErrorCode::unsupported, "the registry asks for a login in a way that this program does not know"); };
  if (header.size() > 8192) return bad();
  Challenge challenge;
  const auto space = std::min(header.find(' '), header.size());
  challenge.scheme = lower(header.substr(0, space));
  header.remove_prefix(space);
  while (true) {
    header.remove_prefix(std::min(header.find_first_not_of(" \t,"), header.size()));
    if (header.empty()) return challenge;
    const auto equals = header.find('=');
    if (equals == header.npos) return bad();
    const std::string name = lower(header.substr(0, equals));
    header.remove_prefix(equals + 1);
    std::string value;
    if (header.starts_with('"')) {
      std::size_t at = 1;
      for (; at < header.size() && header[at] != '"'; ++at) {
        if (header[at] == '\\' && ++at == header.size()) return bad();
        value.push_back(header[at]);
      }
      if (at >= header.size()) return bad();
      header.remove_prefix(at + 1);
    } else {
      const auto end = std::min(header.find_first_of(" \t,"), header.size());
      value = header.substr(0, end);
      header.remove_prefix(end);
    }
    if (name == "realm") challenge.realm = value;
    if (name == "service") challenge.service = value;
    if (name == "scope") challenge.scope = value;
  }
}

std::optional<std::string> next_link(std::string_view header) {
  if (header.size() > 8192) return std::nullopt;
  while (!header.empty()) {
    const auto open = header.find('<'), close = header.find('>', open == header.npos ? 0 : open);
    if (open == header.npos || close == header.npos) return std::nullopt;
    const auto address = header.substr(open + 1, close - open - 1);
    auto rest = header.substr(close + 1);
    const auto end = std::min(rest.find('<'), rest.size());
    const std::string parameters = lower(rest.substr(0, end));
    if (parameters.find("rel=\"next\"") != parameters.npos || parameters.find("rel=next") != parameters.npos) return std::string(address);
    header = rest.substr(end);
  }
  return std::nullopt;
}

std::optional<std::uint64_t> last_byte(std::string_view range) {
  if (range.starts_with("bytes=")) range.remove_prefix(6);
  if (!range.starts_with("0-")) return std::nullopt;
  return number(range.substr(2));
}

std::optional<std::uint64_t> retry_after(std::string_view header) { return number(header); }

}  // namespace redoubt::provider::registry
