// SPDX-License-Identifier: Apache-2.0
#include "stages/data/json_text.h"

#include <charconv>

namespace redoubt::stages::data {
namespace {

void append_utf8(JsonText& out, std::uint32_t code_point, std::size_t raw) {
  char bytes[4];
  int count = 0;
  if (code_point < 0x80) {
    bytes[count++] = static_cast<char>(code_point);
  } else if (code_point < 0x800) {
    bytes[count++] = static_cast<char>(0xc0 | code_point >> 6);
    bytes[count++] = static_cast<char>(0x80 | (code_point & 0x3f));
  } else if (code_point < 0x10000) {
    bytes[count++] = static_cast<char>(0xe0 | code_point >> 12);
    bytes[count++] = static_cast<char>(0x80 | (code_point >> 6 & 0x3f));
    bytes[count++] = static_cast<char>(0x80 | (code_point & 0x3f));
  } else {
    bytes[count++] = static_cast<char>(0xf0 | code_point >> 18);
    bytes[count++] = static_cast<char>(0x80 | (code_point >> 12 & 0x3f));
    bytes[count++] = static_cast<char>(0x80 | (code_point >> 6 & 0x3f));
    bytes[count++] = static_cast<char>(0x80 | (code_point & 0x3f));
  }
  out.text.append(bytes, static_cast<std::size_t>(count));
  out.raw_offset.insert(out.raw_offset.end(), static_cast<std::size_t>(count), static_cast<std::uint32_t>(raw));
}

std::uint32_t hex4(std::string_view line, std::size_t at) {
  std::uint32_t value = 0;
  std::from_chars(line.data() + at, line.data() + at + 4, value, 16);
  return value;
}

// Decodes the escape whose backslash is at `at`; answers the position after it. The line is valid JSON.
std::size_t decode_escape(std::string_view line, std::size_t at, JsonText& out) {
  const char kind = line[at + 1];
  if (kind != 'u') {
    constexpr std::string_view kFrom = "bfnrt", kTo = "\b\f\n\r\t";
    const auto found = kFrom.find(kind);
    append_utf8(out, static_cast<unsigned char>(found == kFrom.npos ? kind : kTo[found]), at);
    return at + 2;
  }
  std::uint32_t code_point = hex4(line, at + 2);
  std::size_t end = at + 6;
  if (code_point >= 0xd800 && code_point < 0xdc00) {
    code_point = 0x10000 + ((code_point - 0xd800) << 10) + (hex4(line, at + 8) - 0xdc00);
    end = at + 12;
  }
  append_utf8(out, code_point, at);
  return end;
}

}  // namespace

std::vector<JsonText> string_literals(std::string_view line) {
  std::vector<JsonText> out;
  std::size_t at = 0;
  while ((at = line.find('"', at)) != line.npos) {
    JsonText literal;
    ++at;
    while (line[at] != '"') {
      if (line[at] == '\\') {
        at = decode_escape(line, at, literal);
      } else {
        literal.text.push_back(line[at]);
        literal.raw_offset.push_back(static_cast<std::uint32_t>(at++));
      }
    }
    ++at;
    out.push_back(std::move(literal));
  }
  return out;
}

}  // namespace redoubt::stages::data
