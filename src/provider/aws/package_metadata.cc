// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/package_metadata.h"

#include <algorithm>
#include <cstring>

#include "base/bytes.h"

namespace redoubt::provider::aws {
namespace {

constexpr std::size_t kValueMax = 256;
constexpr std::size_t kValuePartsMax = 30;
constexpr std::size_t kBytesMax = kValuePartsMax * kValueMax / 4 * 3;

bool fits(const std::string& text) {
  return text.size() <= kValueMax && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || std::strchr(" _.:/=+-@", c) != nullptr;
         });
}

std::string part_of(const std::string& key, std::size_t part) { return key + "." + std::to_string(part); }

}  // namespace

std::string cut_text(const std::string& text, std::size_t bytes_max) {
  if (text.size() <= bytes_max) return text;
  std::size_t end = bytes_max;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return text.substr(0, end);
}

void pack_text(Json& properties, const std::string& key, const std::string& text) {
  if (text.empty()) return;
  if (text.find('\0') == text.npos && fits(text)) {
    properties[key] = text;
    return;
  }
  const std::string coded = to_base64url(view_of(cut_text(text, kBytesMax)));
  for (std::size_t part = 0; part * kValueMax < coded.size(); ++part) properties[part_of(key, part)] = coded.substr(part * kValueMax, kValueMax);
}

Result<std::string> unpack_text(const Json& properties, const std::string& key) {
  if (properties.contains(key)) return json_string(properties, key.c_str(), "metadata of a model package");
  std::string coded;
  for (std::size_t part = 0; part < kValuePartsMax && properties.contains(part_of(key, part)); ++part) {
    coded += TRY(json_string(properties, part_of(key, part).c_str(), "metadata of a model package"));
  }
  const auto bytes = from_base64url(coded);
  if (!bytes) return fail(ErrorCode::tampered, "the metadata of a model package was changed", key);
  return to_text(*bytes);
}

}  // namespace redoubt::provider::aws
