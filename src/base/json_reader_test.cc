// SPDX-License-Identifier: Apache-2.0
#include "base/json_reader.h"

#include <gtest/gtest.h>

#include <random>

namespace redoubt::detail {
namespace {

std::string type_and_text(const Json& json) {
  std::string out = std::to_string(static_cast<int>(json.type())) + json.dump(-1, ' ', false, Json::error_handler_t::ignore);
  for (const auto& [key, inner] : json.items())
    if (json.is_structured()) out += type_and_text(inner);
  return out;
}

// Texts of all kinds, whole and cut.
const std::vector<std::string>& samples() {
  static const std::vector<std::string> kSamples = {
      R"({"model":"bot","messages":[{"role":"user","content":"Is the harbour open today?"}],"max_tokens":1,"temperature":0.25,"stream":false,"seed":null})",
      R"( [ 0 , -0, 1, -1, 12, 123456789012345678, 1234567890123456789, 18446744073709551615, 18446744073709551616, -9223372036854775808, -9223372036854775809 ] )",
      R"([0.5, -0.0, 1e5, 1E+5, 1e-5, 1.7976931348623157e308, 1e309, 5e-324, 1e-400, 0.1, 3.141592653589793238462643])",
      R"(["\"\\\/\b\f\n\r\t", "\u0041\u00e9\u20ac\uD83D\uDE00", "\u0000", "\ud83d", "\udc00", "\ud83dx", "\ud83d\u0041", "\u12", "\q"])",
      "[\"\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80\", \"\xC0\x80\", \"\xE0\x80\x80\", \"\xED\xA0\x80\", \"\xF4\x90\x80\x80\", \"\xFF\", \"\xC3\"]",
      "[\"\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80\"]", R"([01])", R"([1.])", R"([.5])", R"([+1])", R"([-])", R"([1e])", R"([true,false,null])", R"([tru])", R"({"a":1,})", R"([1,])",
      R"({"a":{"b":[{"c":[[]]},{}]},"":""})", R"({"a" 1})", R"({a:1})", R"("text")", "7", "", " ", "[]x", "\xEF\xBB\xBF[]", "[\"a\tb\"]", "[\"a\x7F\"]", "nullx", "[1 2]", "\v[]"};
  return kSamples;
}

// What the library refuses is not read, and what is read is what the library reads. True when it was read.
bool is_as_the_library_reads(const std::string& text) {
  const auto read = read_plain_json(text, 64);
  const auto known = Json::parse(text, nullptr, false);
  if (!read) return false;
  EXPECT_FALSE(known.is_discarded()) << text;
  EXPECT_EQ(type_and_text(*read), type_and_text(known)) << text;
  return true;
}

TEST(JsonReader, reads_what_the_library_reads) {
  for (const auto& text : samples()) (void)is_as_the_library_reads(text);
  EXPECT_TRUE(is_as_the_library_reads(samples()[0]));
  EXPECT_TRUE(is_as_the_library_reads(R"([0, -0, -1, 123456789012345678, 0.5, -0.0, 1E+5, 5e-324, "\u0041\u00e9\u20ac\uD83D\uDE00\"\\\/\b\f\n\r\t"])"));
  EXPECT_TRUE(is_as_the_library_reads(samples()[5]));
}

TEST(JsonReader, what_is_changed_anywhere_is_read_as_the_library_reads_it) {
  std::mt19937 random(7);
  const std::string_view bytes = "{}[]\",:\\u0123456789eE+-. \n\taftn\xC3\xA9\xED\xF0\x80";
  int read = 0;
  for (int i = 0; i < 100'000; ++i) {
    auto text = samples()[random() % samples().size()];
    for (auto changes = random() % 3 + 1; changes > 0 && !text.empty(); --changes) {
      const auto at = random() % text.size();
      const auto kind = random() % 3;
      if (kind == 0) text[at] = bytes[random() % bytes.size()];
      if (kind == 1) text.insert(at, 1, bytes[random() % bytes.size()]);
      if (kind == 2) text.erase(at, random() % 4 + 1);
    }
    if (text.find('\0') == text.npos) read += is_as_the_library_reads(text);
  }
  EXPECT_GT(read, 5'000);
}

TEST(JsonReader, leaves_keys_that_stand_twice_and_deep_nesting_to_the_library) {
  EXPECT_FALSE(read_plain_json(R"({"a":1,"a":2})", 64));
  EXPECT_TRUE(read_plain_json("[[[]]]", 3));
  EXPECT_FALSE(read_plain_json("[[[]]]", 2));
  EXPECT_FALSE(read_plain_json(std::string(100'000, '['), 1'000'000));
}

}  // namespace
}  // namespace redoubt::detail
