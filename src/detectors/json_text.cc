// SPDX-License-Identifier: Apache-2.0
#include "detectors/json_text.h"

#include <charconv>

#include "base/json.h"
#include "base/utf8.h"
#include "detectors/byte_scan.h"

namespace redoubt::detectors {
namespace {

constexpr int kDepthMax = 4;

std::uint32_t hex4(std::string_view line, std::size_t at) {
  std::uint32_t value = 0;
  std::from_chars(line.data() + at, line.data() + at + 4, value, 16);
  return value;
}

// Decodes the escape whose backslash is at `at`; answers the position after it. The line is valid JSON.
std::size_t decode_escape(std::string_view line, std::size_t at, std::string& out) {
  const char kind = line[at + 1];
  if (kind != 'u') {
    constexpr std::string_view kFrom = "bfnrt", kTo = "\b\f\n\r\t";
    const auto found = kFrom.find(kind);
    out.push_back(found == kFrom.npos ? kind : kTo[found]);
    return at + 2;
  }
  std::uint32_t code_point = hex4(line, at + 2);
  std::size_t end = at + 6;
  if (code_point >= 0xd800 && code_point < 0xdc00) {
    code_point = 0x10000 + ((code_point - 0xd800) << 10) + (hex4(line, at + 8) - 0xdc00);
    end = at + 12;
  }
  append_utf8(out, code_point);
  return end;
}

// The literal whose first character is at `at`; answers the position of its closing quote.
std::size_t decode(std::string_view line, std::size_t at, JsonText& literal) {
  while (true) {
    const std::size_t stop = json_run_end(line, at);  // a valid line ends its literals, and holds no control character in them
    literal.places.run(literal.text.size(), at);
    literal.text.append(line.substr(at, stop - at));
    if (line[stop] == '"') {
      literal.places.run(literal.text.size(), stop);
      return stop;
    }
    literal.places.fixed(literal.text.size(), stop);
    at = decode_escape(line, stop, literal.text);
  }
}

bool holds_escaped_json(std::string_view text) {
  return (text.starts_with('{') || text.starts_with('[')) && text.find('\\') != text.npos && parse_json(text, "");
}

void visit(std::string_view line, const OffsetMap* outer, int depth, const std::function<void(const JsonText&)>& each) {
  JsonText literal;
  std::size_t at = 0;
  while ((at = line.find('"', at)) != line.npos) {
    literal.text.clear();
    literal.places.clear();
    at = decode(line, at + 1, literal) + 1;
    if (outer != nullptr) literal.places = literal.places.through(*outer);
    each(literal);
    if (depth < kDepthMax && holds_escaped_json(literal.text)) visit(literal.text, &literal.places, depth + 1, each);
  }
}

}  // namespace

std::vector<JsonText> string_literals(std::string_view line) {
  std::vector<JsonText> out;
  for_each_literal(line, [&](const JsonText& literal) { out.push_back(literal); });
  return out;
}

void for_each_literal(std::string_view line, const std::function<void(const JsonText&)>& each) { visit(line, nullptr, 0, each); }

}  // namespace redoubt::detectors
