// SPDX-License-Identifier: Apache-2.0
#include "base/utf8.h"

namespace redoubt {
namespace {

// The least and greatest second byte after a lead byte (RFC 3629, section 4); length 0 for a byte that leads nothing.
struct Lead {
  std::size_t length;
  std::uint8_t least, most;
};

Lead lead_of(std::uint8_t byte) {
  if (byte >= 0xC2 && byte <= 0xDF) return {2, 0x80, 0xBF};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte >= 0xE1 && byte <= 0xEF) return {3, 0x80, 0xBF};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte >= 0xF1 && byte <= 0xF3) return {4, 0x80, 0xBF};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

}  // namespace

Utf8Step utf8_step(std::string_view bytes) {
  const auto at = [&](std::size_t i) { return static_cast<std::uint8_t>(bytes[i]); };
  if (at(0) < 0x80) return {Utf8Step::whole, at(0), 1};
  const Lead lead = lead_of(at(0));
  if (lead.length == 0) return {Utf8Step::bad, 0, 1};
  std::uint32_t code_point = at(0) & (0x7Fu >> lead.length);
  for (std::size_t i = 1; i < lead.length; ++i) {
    if (i == bytes.size()) return {Utf8Step::unfinished, 0, i};
    const std::uint8_t least = i == 1 ? lead.least : 0x80, most = i == 1 ? lead.most : 0xBF;
    if (at(i) < least || at(i) > most) return {Utf8Step::bad, 0, i};
    code_point = code_point << 6 | (at(i) & 0x3Fu);
  }
  return {Utf8Step::whole, code_point, lead.length};
}

std::size_t find_invalid_utf8(std::string_view bytes) {
  for (std::size_t i = 0; i < bytes.size();) {
    if (static_cast<std::uint8_t>(bytes[i]) < 0x80) {
      ++i;
      continue;
    }
    const auto step = utf8_step(bytes.substr(i));
    if (step.kind != Utf8Step::whole) return i;
    i += step.size;
  }
  return std::string_view::npos;
}

void append_utf8(std::string& to, std::uint32_t c) {
  const auto put = [&](std::uint32_t byte) { to.push_back(static_cast<char>(byte)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | c >> 6), put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | c >> 12), put(0x80 | (c >> 6 & 0x3F)), put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | c >> 18), put(0x80 | (c >> 12 & 0x3F)), put(0x80 | (c >> 6 & 0x3F)), put(0x80 | (c & 0x3F));
  }
}

std::size_t append_lossy(std::string& to, std::string_view bytes) {
  std::size_t i = 0;
  while (i < bytes.size()) {
    const auto step = utf8_step(bytes.substr(i));
    if (step.kind == Utf8Step::unfinished) return i;
    to += step.kind == Utf8Step::whole ? bytes.substr(i, step.size) : kReplacement;
    i += step.size;
  }
  return i;
}

std::string Utf8Stream::push(std::string_view bytes) {
  held_ += bytes;
  std::string text;
  held_.erase(0, append_lossy(text, held_));
  return text;
}

std::string Utf8Stream::finish() {
  std::string text(held_.empty() ? std::string_view() : kReplacement);
  held_.clear();
  return text;
}

}  // namespace redoubt
