// SPDX-License-Identifier: Apache-2.0
#include "crypto/pkcs11_uri.h"

#include <algorithm>
#include <charconv>
#include <set>

namespace redoubt::crypto {
namespace {

constexpr std::string_view kScheme = "pkcs11:";
constexpr std::size_t kUriBytesMax = 4096;

tl::unexpected<Error> refuse(std::string why, std::string_view attribute, std::string hint = {}) {
  return fail(ErrorCode::invalid_argument, std::move(why), std::string(attribute), std::move(hint));
}

Result<Bytes> unescape(std::string_view text, std::string_view attribute) {
  Bytes bytes;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '%') {
      bytes.push_back(static_cast<std::uint8_t>(text[at]));
      continue;
    }
    const auto byte = from_hex(text.substr(at + 1, 2));
    if (!byte || byte->size() != 1) return refuse("a PKCS#11 URI with a malformed escape", attribute);
    bytes.push_back(byte->front());
    at += 2;
  }
  return bytes;
}

Status set_pin_source(Pkcs11Uri& uri, const std::string& source) {
  constexpr std::string_view kFile = "file:";
  uri.pin_file = source.starts_with(kFile) ? source.substr(kFile.size()) : source;
  if (uri.pin_file.starts_with("///")) uri.pin_file.erase(0, 2);
  if (uri.pin_file.starts_with('/')) return {};
  return refuse("the source of the PIN is not an absolute file", "pin-source", "write pin-source=file:/path/of/the/file");
}

Status set_slot(Pkcs11Uri& uri, const std::string& text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return refuse("a slot is named by a number", "slot-id");
  uri.slot = number;
  return {};
}

Status set(Pkcs11Uri& uri, std::string_view name, const Bytes& bytes) {
  if (name == "id") {
    uri.id = bytes;
    return {};
  }
  const std::string text = to_text(bytes);
  if (text.find('\0') != text.npos) return refuse("a PKCS#11 URI with a NUL", name);
  if (name == "slot-id") return set_slot(uri, text);
  if (name == "pin-source") return set_pin_source(uri, text);
  if (name == "type") return text == "private" ? Status() : refuse("what signs is a private key", name);
  const std::pair<std::string_view, std::string*> texts[] = {
      {"token", &uri.token}, {"manufacturer", &uri.manufacturer}, {"serial", &uri.serial},          {"model", &uri.model},
      {"object", &uri.object}, {"module-path", &uri.module_path},   {"module-name", &uri.module_name}};
  const auto* found = std::find_if(std::begin(texts), std::end(texts), [&](const auto& known) { return known.first == name; });
  if (found == std::end(texts)) return refuse("a PKCS#11 URI with an attribute that is not known here", name);
  *found->second = text;
  return {};
}

Status parse_part(std::string_view part, char separator, std::set<std::string, std::less<>>& seen, Pkcs11Uri& uri) {
  while (!part.empty()) {
    const auto attribute = part.substr(0, part.find(separator));
    part.remove_prefix(std::min(attribute.size() + 1, part.size()));
    const auto equals = attribute.find('=');
    const auto name = attribute.substr(0, equals);
    if (equals == attribute.npos || name.empty()) return refuse("a PKCS#11 URI with an attribute that has no value", attribute);
    if (name == "pin-value") {
      return refuse("a PIN does not belong on a command line, where others can read it", "pin-value", "write it into a file of yours and name that with pin-source=file:/path, or '--pin-file'");
    }
    if (!seen.insert(std::string(name)).second) return refuse("a PKCS#11 URI with an attribute that stands twice", name);
    TRY(set(uri, name, TRY(unescape(attribute.substr(equals + 1), name))));
  }
  return {};
}

}  // namespace

Result<Pkcs11Uri> parse_pkcs11_uri(std::string_view text) {
  if (!text.starts_with(kScheme) || text.size() > kUriBytesMax) {
    return refuse("not a PKCS#11 URI", "pkcs11", "name the key as pkcs11:token=TOKEN;object=LABEL?module-path=/path/of/the/module.so");
  }
  text.remove_prefix(kScheme.size());
  Pkcs11Uri uri;
  std::set<std::string, std::less<>> seen;
  const auto question = text.find('?');
  TRY(parse_part(text.substr(0, question), ';', seen, uri));
  if (question != text.npos) TRY(parse_part(text.substr(question + 1), '&', seen, uri));
  if (uri.object.empty() && uri.id.empty()) return refuse("a PKCS#11 URI that names no key", "object", "add object=LABEL or id=%01");
  return uri;
}

}  // namespace redoubt::crypto
