// SPDX-License-Identifier: Apache-2.0
#include "base/json_writer.h"

#include <charconv>
#include <cmath>

#include "base/json.h"
#include "base/json_text.h"

namespace redoubt {

JsonWriter& JsonWriter::member(std::string_view name) {
  if (follows_) out_ += ',';
  out_ += '"';
  out_ += name;
  out_ += "\":";
  follows_ = false;
  return *this;
}

void JsonWriter::text(std::string_view value) {
  divide();
  append_json_string(out_, value);
}

void JsonWriter::integer(std::int64_t value) {
  char digits[24];
  plain({digits, std::to_chars(digits, digits + sizeof digits, value).ptr});
}

// Most numbers are whole, and small enough to be written without the library's search for the shortest form.
void JsonWriter::number(double value) {
  constexpr double kWholeMax = 1e9;
  if (std::trunc(value) != value || std::abs(value) > kWholeMax || (value == 0 && std::signbit(value))) return plain(dump_json(value));
  integer(static_cast<std::int64_t>(value));
  out_ += ".0";
}

}  // namespace redoubt
