// SPDX-License-Identifier: Apache-2.0
#include "detectors/json_text.h"

#include <algorithm>
#include <charconv>
#include <iterator>

#include "base/json.h"
#include "base/utf8.h"
#include "detectors/byte_scan.h"

namespace redoubt::detectors {
namespace {

constexpr int kDepthMax = 4;
constexpr std::size_t kNumberBytesMin = 12;

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

bool may_be_json(std::string_view text) { return text.starts_with('{') || text.starts_with('['); }

bool holds_escaped_json(std::string_view text) { return may_be_json(text) && text.find('\\') != text.npos && parse_json(text, ""); }

enum class Values { strings, strings_and_numbers };

void visit(std::string_view line, const OffsetMap* outer, int depth, Values values, const std::function<void(const JsonText&)>& each) {
  JsonText literal;
  literal.depth = depth;
  std::size_t at = 0;
  while (at < line.size()) {
    const std::size_t quote = std::min(line.find('"', at), line.size());
    // What stands in a string was looked at with all of it.
    if (values == Values::strings_and_numbers && depth == 0 && quote - at >= kNumberBytesMin) {
      for_each_number(line, at, quote, [&](const Range& found) {
        if (found.end - found.begin < kNumberBytesMin) return;
        JsonText number{std::string(line.substr(found.begin, found.end - found.begin)), {}, depth, true};
        number.places.run(0, found.begin);
        each(number);
      });
    }
    if (quote == line.size()) return;
    literal.text.clear();
    literal.places.clear();
    at = decode(line, quote + 1, literal) + 1;
    if (outer != nullptr) literal.places = literal.places.through(*outer);
    each(literal);
    if (depth < kDepthMax && holds_escaped_json(literal.text)) visit(literal.text, &literal.places, depth + 1, values, each);
  }
}

}  // namespace

std::vector<JsonText> string_literals(std::string_view line) {
  std::vector<JsonText> out;
  for_each_literal(line, [&](const JsonText& literal) { out.push_back(literal); });
  return out;
}

void for_each_literal(std::string_view line, const std::function<void(const JsonText&)>& each) { visit(line, nullptr, 0, Values::strings, each); }
void for_each_value(std::string_view line, const std::function<void(const JsonText&)>& each) { visit(line, nullptr, 0, Values::strings_and_numbers, each); }

std::vector<Range> numbers_in(std::string_view text) {
  std::vector<Range> numbers;
  if (!may_be_json(text) || !parse_json(text, "")) return numbers;
  JsonText skipped;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t quote = std::min(text.find('"', at), text.size());
    for_each_number(text, at, quote, [&](const Range& found) { numbers.push_back(found); });
    if (quote == text.size()) break;
    skipped = {};
    at = decode(text, quote + 1, skipped) + 1;
  }
  return numbers;
}

std::optional<Range> number_around(const std::vector<Range>& numbers, std::size_t offset, std::size_t length) {
  const auto after = std::upper_bound(numbers.begin(), numbers.end(), offset, [](std::size_t at, const Range& number) { return at < number.begin; });
  if (after == numbers.begin() || offset + length > std::prev(after)->end) return std::nullopt;
  return *std::prev(after);
}

std::string quote_at(int depth) { return std::string((std::size_t{1} << depth) - 1, '\\') + '"'; }

}  // namespace redoubt::detectors
