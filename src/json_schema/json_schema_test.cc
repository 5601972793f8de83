// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <chrono>

#include "json_schema/compile.h"
#include "json_schema/machine.h"

namespace redoubt::json_schema {
namespace {

std::shared_ptr<const Grammar> grammar_of(const std::string& schema) {
  auto grammar = compile_schema(schema);
  EXPECT_TRUE(grammar) << schema << ": " << (grammar ? "" : grammar.error().message + " " + grammar.error().where);
  return grammar ? *grammar : any_object();
}

bool accepts(Machine& machine, std::string_view text) {
  auto at = machine.start();
  for (const char byte : text) at = machine.next(at, static_cast<std::uint8_t>(byte));
  return at != Machine::kDead && machine.accepts(at);
}

// Which of the texts the schema lets through.
std::vector<std::string> accepted(const std::string& schema, const std::vector<std::string>& texts) {
  Machine machine(grammar_of(schema));
  std::vector<std::string> out;
  for (const auto& text : texts)
    if (accepts(machine, text)) out.push_back(text);
  EXPECT_FALSE(machine.exhausted());
  return out;
}

using Texts = std::vector<std::string>;

TEST(JsonSchema, holds_scalars_to_their_type) {
  const Texts texts = {"null", "true", "false", "0", "-0", "12", "-7", "1.5", "01", "1e5", "\"\"", "\"a\"", "[]", "{}", "", " 1", "1 "};
  EXPECT_EQ(accepted(R"({"type":"null"})", texts), (Texts{"null"}));
  EXPECT_EQ(accepted(R"({"type":"boolean"})", texts), (Texts{"true", "false"}));
  EXPECT_EQ(accepted(R"({"type":"integer"})", texts), (Texts{"0", "12", "-7"}));
  EXPECT_EQ(accepted(R"({"type":"number"})", texts), (Texts{"0", "-0", "12", "-7", "1.5", "1e5"}));
  EXPECT_EQ(accepted(R"({"type":"string"})", texts), (Texts{"\"\"", "\"a\""}));
  EXPECT_EQ(accepted(R"({"type":["integer","null"]})", texts), (Texts{"null", "0", "12", "-7"}));
  EXPECT_EQ(accepted(R"({})", texts), (Texts{"null", "true", "false", "0", "-0", "12", "-7", "1.5", "1e5", "\"\"", "\"a\"", "[]", "{}"}));
}

TEST(JsonSchema, strings_are_utf8_with_json_escapes) {
  const std::string utf8 = "\"\xC3\xA9\xE6\xBC\xA2\xF0\x9F\x98\x80\"";
  EXPECT_EQ(accepted(R"({"type":"string"})", {utf8, "\"\\u00e9\\uD83D\\uDE00\\n\\/\"", "\"\xC3\"", "\"\xC0\x80\"", "\"\xED\xA0\x80\"", "\"\xF5\x80\x80\x80\"", "\"\n\"",
                                              "\"\\uD83D\"", "\"\\uDE00\"", "\"\\x\"", "\"\x7F\""}),
            (Texts{utf8, "\"\\u00e9\\uD83D\\uDE00\\n\\/\"", "\"\x7F\""}));
  EXPECT_EQ(accepted(R"({"type":"string","minLength":2,"maxLength":3})", {"\"a\"", "\"ab\"", "\"abc\"", "\"abcd\"", "\"\xC3\xA9\\n\"", "\"\\uD83D\\uDE00\"", "\"\\uD83D\\uDE00x\""}),
            (Texts{"\"ab\"", "\"abc\"", "\"\xC3\xA9\\n\"", "\"\\uD83D\\uDE00x\""}));
  EXPECT_EQ(accepted(R"({"type":"string","minLength":1})", {"\"\"", "\"a\"", "\"abcdefgh\""}), (Texts{"\"a\"", "\"abcdefgh\""}));
  EXPECT_EQ(accepted(R"({"type":"string","maxLength":0})", {"\"\"", "\"a\""}), (Texts{"\"\""}));
}

TEST(JsonSchema, numbers_keep_their_bounds) {
  const Texts whole = {"-100", "-11", "-10", "-9", "-1", "0", "1", "9", "10", "99", "100", "105", "110", "111", "1000", "007", "-0"};
  EXPECT_EQ(accepted(R"({"type":"integer","minimum":-10,"maximum":105})", whole), (Texts{"-10", "-9", "-1", "0", "1", "9", "10", "99", "100", "105"}));
  EXPECT_EQ(accepted(R"({"type":"integer","exclusiveMinimum":-10,"exclusiveMaximum":0})", whole), (Texts{"-9", "-1"}));
  EXPECT_EQ(accepted(R"({"type":"integer","minimum":9.5})", whole), (Texts{"10", "99", "100", "105", "110", "111", "1000"}));
  EXPECT_EQ(accepted(R"({"type":"integer","maximum":-10})", whole), (Texts{"-100", "-11", "-10"}));
  EXPECT_EQ(accepted(R"({"type":"number","minimum":0.25,"exclusiveMaximum":1.5})", {"0", "0.2", "0.25", "0.250", "0.2499", "0.3", "1", "1.0", "1.49", "1.4999999", "1.5", "1.50", "2", "-1", "1e0"}),
            (Texts{"0.25", "0.250", "0.3", "1", "1.0", "1.49", "1.4999999"}));
  EXPECT_EQ(accepted(R"({"type":"number","minimum":-1.5,"maximum":0})", {"-1.6", "-1.5", "-1.50", "-1.51", "-0.1", "0", "0.0", "0.1", "-0"}),
            (Texts{"-1.5", "-1.50", "-0.1", "0", "0.0"}));
  EXPECT_EQ(accepted(R"({"type":"number","exclusiveMinimum":0,"maximum":1e300})", {"0", "0.0", "0.000001", "5"}), (Texts{"0.000001", "5"}));
  for (const char* empty : {R"({"type":"integer","minimum":3,"maximum":2})", R"({"type":"number","exclusiveMinimum":1,"exclusiveMaximum":1})",
                            R"({"type":"integer","exclusiveMinimum":1,"exclusiveMaximum":2})", R"({"type":"integer","minimum":1e30})"})
    EXPECT_EQ(compile_schema(empty).error().message, "no finite value fits the schema") << empty;
}

TEST(JsonSchema, arrays_count_their_items) {
  const Texts texts = {"[]", "[1]", "[1,2]", "[1, 2]", "[\n  1,\n  2,\n  3\n]", "[1,2,3,4]", "[1,]", "[,1]", "[ ]", "[\"a\"]"};
  EXPECT_EQ(accepted(R"({"type":"array","items":{"type":"integer"},"minItems":1,"maxItems":3})", texts), (Texts{"[1]", "[1,2]", "[1, 2]", "[\n  1,\n  2,\n  3\n]"}));
  EXPECT_EQ(accepted(R"({"type":"array","items":{"type":"integer"},"minItems":3})", texts), (Texts{"[\n  1,\n  2,\n  3\n]", "[1,2,3,4]"}));
  EXPECT_EQ(accepted(R"({"type":"array","maxItems":0})", texts), (Texts{"[]", "[ ]"}));
  EXPECT_EQ(accepted(R"({"type":"array","items":false})", texts), (Texts{"[]", "[ ]"}));
  EXPECT_EQ(accepted(R"({"type":"array","items":{"type":"integer"}})", texts), (Texts{"[]", "[1]", "[1,2]", "[1, 2]", "[\n  1,\n  2,\n  3\n]", "[1,2,3,4]", "[ ]"}));
}

TEST(JsonSchema, members_come_in_the_order_of_the_schema) {
  const std::string closed = R"({"type":"object","properties":{"b":{"type":"integer"},"a":{"type":"null"},"c":{"type":"boolean"}},"required":["a"],"additionalProperties":false})";
  EXPECT_EQ(accepted(closed, {"{}", R"({"a":null})", R"({"b":1,"a":null})", R"({"a":null,"b":1})", R"({"b": 1, "a": null, "c": true})", R"({"b":1})", R"({"a":null,})",
                              R"({"a":null,"a":null})", R"({"a":null,"d":1})", R"({"a":null,"c":true})"}),
            (Texts{R"({"a":null})", R"({"b":1,"a":null})", R"({"b": 1, "a": null, "c": true})", R"({"a":null,"c":true})"}));
  EXPECT_EQ(accepted(R"({"type":"object","properties":{"a":{},"b":{}},"additionalProperties":false})", {"{}", R"({"a":1})", R"({"b":1})", R"({"a":1,"b":[]})", R"({"a":1,})"}),
            (Texts{"{}", R"({"a":1})", R"({"b":1})", R"({"a":1,"b":[]})"}));
}

TEST(JsonSchema, additional_members_are_never_a_named_one_in_disguise) {
  const std::string open = R"({"type":"object","properties":{"ab":{"type":"integer"}},"additionalProperties":{"type":"null"}})";
  EXPECT_EQ(accepted(open, {R"({"ab":1})", R"({"ab":null})", R"({"\u0061b":null})", R"({"a":null})", R"({"abc":null,"":null})", R"({"ab":1,"ab":null})", R"({"x":1})"}),
            (Texts{R"({"ab":1})", R"({"a":null})", R"({"abc":null,"":null})"}));
  EXPECT_EQ(accepted(R"({"type":"object","required":["x"]})", {"{}", R"({"x":1})", R"({"x":1,"y":{}})"}), (Texts{R"({"x":1})", R"({"x":1,"y":{}})"}));
  EXPECT_EQ(accepted(R"({"type":"object","properties":{"a":{}}})", {"{}", R"({"a":1})", R"({"b":1})"}), (Texts{"{}", R"({"a":1})"}));
}

TEST(JsonSchema, nothing_follows_the_last_comma) {
  const Texts texts = {R"({"a":1,})", R"({"a":1, })", "[1,]", "[1, ]", "{,}", "[,]", R"({"a":[1,{"b":2,}]})"};
  EXPECT_EQ(accepted("{}", texts), Texts());
  EXPECT_EQ(accepted(R"({"type":"object"})", texts), Texts());
  EXPECT_EQ(accepted(R"({"type":"object","properties":{"a":{}},"additionalProperties":{}})", texts), Texts());
}

TEST(JsonSchema, values_and_choices) {
  EXPECT_EQ(accepted(R"({"enum":["red","rose",1,null,{"a":[1,2]},"\n\""]})", {"\"red\"", "\"rose\"", "\"ro\"", "1", "11", "null", R"({"a":[1,2]})", "\"\\n\\\"\"", "2"}),
            (Texts{"\"red\"", "\"rose\"", "1", "null", R"({"a":[1,2]})", "\"\\n\\\"\""}));
  EXPECT_EQ(accepted(R"({"enum":["a",1,2.5],"type":"number"})", {"\"a\"", "1", "2.5"}), (Texts{"1", "2.5"}));
  EXPECT_EQ(accepted(R"({"const":{"x":1.0}})", {R"({"x":1.0})", R"({"x":1})"}), (Texts{R"({"x":1.0})"}));
  EXPECT_EQ(accepted(R"({"anyOf":[{"type":"integer"},{"type":"string","maxLength":1},{"enum":[7,"xyz"]}]})", {"7", "\"a\"", "\"xyz\"", "\"xy\"", "null"}),
            (Texts{"7", "\"a\"", "\"xyz\""}));
  EXPECT_EQ(accepted(R"({"oneOf":[{"type":"integer"},{"type":"string"}]})", {"7", "\"a\"", "null"}), (Texts{"7", "\"a\""}));
  const std::string tagged = R"({"oneOf":[{"type":"object","properties":{"k":{"const":"a"},"n":{"type":"integer"}},"required":["k","n"],"additionalProperties":false},
    {"type":"object","properties":{"k":{"const":"b"}},"required":["k"],"additionalProperties":false}]})";
  EXPECT_EQ(accepted(tagged, {R"({"k":"a","n":1})", R"({"k":"b"})", R"({"k":"a"})", R"({"k":"b","n":1})"}), (Texts{R"({"k":"a","n":1})", R"({"k":"b"})"}));
}

TEST(JsonSchema, recursion_ends_within_the_depth) {
  const std::string list = R"({"$defs":{"list":{"type":"object","properties":{"next":{"anyOf":[{"$ref":"#/$defs/list"},{"type":"null"}]}},"required":["next"],
    "additionalProperties":false}},"$ref":"#/$defs/list"})";
  Machine machine(*compile_schema(list, {.grammar = {.depth_max = 3}}));
  const auto nested = [](int depth) {
    std::string text = "null";
    for (int i = 0; i < depth; ++i) text = "{\"next\":" + text + "}";
    return text;
  };
  EXPECT_TRUE(accepts(machine, nested(1)));
  EXPECT_TRUE(accepts(machine, nested(3)));
  EXPECT_FALSE(accepts(machine, nested(4)));
  // Where the depth ends the object may not even be opened, so that no answer runs into a dead end.
  auto at = machine.start();
  for (const char byte : std::string("{\"next\":{\"next\":{\"next\":")) at = machine.next(at, static_cast<std::uint8_t>(byte));
  ASSERT_NE(at, Machine::kDead);
  EXPECT_EQ(machine.next(at, '{'), Machine::kDead);
  EXPECT_NE(machine.next(at, 'n'), Machine::kDead);
  EXPECT_EQ(compile_schema(R"({"$defs":{"a":{"type":"object","properties":{"a":{"$ref":"#/$defs/a"}},"required":["a"]}},"$ref":"#/$defs/a"})").error().message,
            "no finite value fits the schema");
  EXPECT_EQ(compile_schema(R"({"$defs":{"a":{"anyOf":[{"$ref":"#/$defs/a"},{"type":"null"}]}},"$ref":"#/$defs/a"})").error().message,
            "a schema refers to itself without a value between");
  EXPECT_EQ(compile_schema(R"({"$ref":"#"})").error().message, "$ref goes round in a circle");
}

TEST(JsonSchema, patterns_are_found_as_ecma_does) {
  const auto fits = [](const std::string& pattern, const Texts& texts) {
    Texts quoted;
    for (const auto& text : texts) quoted.push_back("\"" + text + "\"");
    Texts out;
    for (const auto& text : accepted("{\"type\":\"string\",\"pattern\":\"" + pattern + "\"}", quoted)) out.push_back(text.substr(1, text.size() - 2));
    return out;
  };
  EXPECT_EQ(fits("^a+$", {"", "a", "aaa", "ab", "ba"}), (Texts{"a", "aaa"}));
  EXPECT_EQ(fits("b", {"", "b", "abc", "ac"}), (Texts{"b", "abc"}));
  EXPECT_EQ(fits("^(ab|c)*d?$", {"", "abc", "cabd", "dd", "a"}), (Texts{"", "abc", "cabd"}));
  EXPECT_EQ(fits("^[0-9]{2,3}$", {"1", "12", "123", "1234", "1a"}), (Texts{"12", "123"}));
  EXPECT_EQ(fits("^[^a-c\\\\d]$", {"a", "d", "5", "\xC3\xA9"}), (Texts{"d"}));
  EXPECT_EQ(fits("^[^a]$", {"a", "d", "\xC3\xA9", "\\n"}), (Texts{"d", "\xC3\xA9", "\\n"}));
  EXPECT_EQ(fits("^.$", {"a", "\\n", "\xF0\x9F\x98\x80", "\\\"", "\""}), (Texts{"a", "\xF0\x9F\x98\x80", "\\\""}));
  EXPECT_EQ(fits("^\\\\w+\\\\s\\\\$$", {"ab $", "ab$", "ab\\t$"}), (Texts{"ab $", "ab\\t$"}));
  EXPECT_EQ(fits("^a|b$", {"a", "ax", "xb", "xa", "bx"}), (Texts{"a", "ax", "xb"}));
  EXPECT_EQ(accepted(R"({"type":"string","pattern":"^(ab)+$","minLength":3,"maxLength":6})", {"\"ab\"", "\"abab\"", "\"ababab\"", "\"abababab\"", "\"aba\""}),
            (Texts{"\"abab\"", "\"ababab\""}));
  EXPECT_EQ(compile_schema(R"({"type":"string","pattern":"^a{5}$","maxLength":3})").error().message, "no string fits the pattern and its lengths");
}

// What fits is valid for Python's datetime, ipaddress and uuid, and for RFC 3339's appendix A, RFC 1123 and RFC 5321; the others are not.
TEST(JsonSchema, a_format_is_held_to_the_forms_that_its_readers_take) {
  const auto fits = [](const std::string& format, const Texts& texts) {
    Texts quoted, out;
    for (const auto& text : texts) quoted.push_back("\"" + text + "\"");
    for (const auto& text : accepted("{\"type\":\"string\",\"format\":\"" + format + "\"}", quoted)) out.push_back(text.substr(1, text.size() - 2));
    return out;
  };
  EXPECT_EQ(fits("date", {"2024-02-29", "2023-02-29", "1900-02-29", "2000-02-29", "2024-04-31", "2024-12-31", "2024-13-01", "0000-01-01", "2024-1-1", "2024-01-01T"}),
            (Texts{"2024-02-29", "2000-02-29", "2024-12-31"}));
  EXPECT_EQ(fits("time", {"23:59:59Z", "24:00:00Z", "12:00:00.123456+05:30", "12:00:00", "12:00Z", "12:00:60Z", "12:00:00+25:00"}), (Texts{"23:59:59Z", "12:00:00.123456+05:30"}));
  EXPECT_EQ(fits("date-time", {"2024-02-29T12:00:00Z", "2024-02-29 12:00:00Z", "2024-02-30T12:00:00Z", "2024-02-29T12:00:00-00:30", "2024-02-29"}),
            (Texts{"2024-02-29T12:00:00Z", "2024-02-29T12:00:00-00:30"}));
  EXPECT_EQ(fits("duration", {"P1Y2M3DT4H5M6S", "PT36H", "P4W", "P1M", "PT1M30S", "P", "PT", "P1YT", "P1Y4D", "PT1H6S", "1D", "P1W2D"}),
            (Texts{"P1Y2M3DT4H5M6S", "PT36H", "P4W", "P1M", "PT1M30S"}));
  EXPECT_EQ(fits("uuid", {"123e4567-e89b-12d3-a456-426614174000", "123E4567-E89B-12D3-A456-426614174000", "123e4567e89b12d3a456426614174000", "123e4567-e89b-12d3-a456-42661417400"}),
            (Texts{"123e4567-e89b-12d3-a456-426614174000", "123E4567-E89B-12D3-A456-426614174000"}));
  EXPECT_EQ(fits("ipv4", {"0.0.0.0", "255.255.255.255", "256.0.0.1", "01.2.3.4", "1.2.3", "1.2.3.4.5"}), (Texts{"0.0.0.0", "255.255.255.255"}));
  EXPECT_EQ(fits("ipv6", {"::", "::1", "1::", "fe80::1:2", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "1:2:3:4:5:6:7", "1::2::3", "1:2:3:4:5:6:7:8:9", "12345::", ":1", "1:2:3:4::5:6:7:8"}),
            (Texts{"::", "::1", "1::", "fe80::1:2", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8"}));
  EXPECT_EQ(fits("email", {"a.b+c@x-1.example.org", "a@b", "@b.c", "a..b@c.de", ".a@c.de", "a@-b.de", "a@b-.de", "a b@c.de"}), (Texts{"a.b+c@x-1.example.org"}));
  EXPECT_EQ(fits("hostname", {"localhost", "a.b-c.example.org", "-a", "a-", "a..b", "a_b"}), (Texts{"localhost", "a.b-c.example.org"}));
  EXPECT_EQ(accepted(R"({"format":"date","pattern":"^2024-"})", {"\"2024-01-31\"", "\"2025-01-31\"", "\"2024-01-32\""}), (Texts{"\"2024-01-31\""}));
  EXPECT_EQ(accepted(R"({"type":["string","null"],"format":"ipv4","maxLength":7})", {"\"1.2.3.4\"", "\"1.2.3.45\"", "null"}), (Texts{"\"1.2.3.4\"", "null"}));
}

// Each of them alone would be taken; all of them took minutes.
TEST(JsonSchema, patterns_together_take_no_more_work_than_one_may) {
  std::string places;
  for (int i = 0; i < 500; ++i) places += (i == 0 ? "\"p" : ",\"p") + std::to_string(i) + R"(":{"type":"string","pattern":"x((a?){20}){20}y"})";
  const auto began = std::chrono::steady_clock::now();
  EXPECT_EQ(compile_schema(R"({"type":"object","properties":{)" + places + "}}").error().code, ErrorCode::limit_exceeded);
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(5));
  EXPECT_TRUE(compile_schema(R"({"type":"string","pattern":"x((a?){20}){20}y"})"));
}

// As Pydantic writes a union that a member tells apart.
TEST(JsonSchema, a_discriminator_says_nothing_about_a_value) {
  EXPECT_EQ(accepted(R"({"$defs":{"A":{"type":"object","properties":{"kind":{"const":"a","type":"string"}},"required":["kind"]},"B":{"type":"object","properties":{"kind":{"const":"b","type":"string"}},"required":["kind"]}},
                         "discriminator":{"mapping":{"a":"#/$defs/A","b":"#/$defs/B"},"propertyName":"kind"},"oneOf":[{"$ref":"#/$defs/A"},{"$ref":"#/$defs/B"}]})",
                     {R"({"kind":"a"})", R"({"kind":"b"})", R"({"kind":"c"})"}),
            (Texts{R"({"kind":"a"})", R"({"kind":"b"})"}));
}

TEST(JsonSchema, what_is_not_done_is_refused_by_its_name_and_place) {
  for (const auto& [schema, message] : {std::pair{R"({"not":{}})", "'not' is not supported"},
                                        {R"({"type":"integer","multipleOf":3})", "'multipleOf' is not supported"},
                                        {R"({"type":"string","format":"regex"})", "the 'format' 'regex' is not supported"},
                                        {R"({"type":"integer","format":"int32"})", "'format' of what is no string is not supported"},
                                        {R"({"type":"array","uniqueItems":true})", "uniqueItems is not supported"},
                                        {R"({"type":"array","prefixItems":[{}]})", "'prefixItems' is not supported"},
                                        {R"({"type":"object","patternProperties":{}})", "'patternProperties' is not supported"},
                                        {R"({"type":"object","minProperties":1})", "'minProperties' is not supported"},
                                        {R"({"if":{},"then":{}})", "'if' is not supported"},
                                        {R"({"allOf":[{},{}]})", "allOf of several schemas is not supported"},
                                        {R"({"anyOf":[{}],"type":"object"})", "'type' beside 'anyOf' is not supported"},
                                        {R"({"enum":["a"],"minLength":1})", "'minLength' beside 'enum' is not supported"},
                                        {R"({"nullable":true})", "'nullable' is not supported"},
                                        {R"({"$ref":"http://169.254.169.254/"})", "$ref to another document is not supported"},
                                        {R"({"$ref":"#anchor"})", "$ref to an anchor is not supported"},
                                        {R"({"type":"string","pattern":"(?=a)b"})", "pattern: a group that begins with '(?' and is not '(?:' is not supported"},
                                        {R"({"type":"string","pattern":"a\\b"})", "pattern: the escape of 'b' is not supported"},
                                        {R"({"type":"string","pattern":"(a)\\1"})", "pattern: the escape of '1' is not supported"},
                                        {R"({"type":"string","pattern":"\\p{L}"})", "pattern: the escape of 'p' is not supported"}}) {
    const auto compiled = compile_schema(schema);
    ASSERT_FALSE(compiled) << schema;
    EXPECT_EQ(compiled.error().message, message);
    EXPECT_EQ(compiled.error().code, ErrorCode::unsupported);
  }
  EXPECT_EQ(compile_schema(R"({"type":"object","properties":{"a/b":{"items":{"not":{}},"type":"array"}}})").error().where, "#/properties/a~1b/items");
  EXPECT_EQ(compile_schema(R"({"oneOf":[{"type":"integer"},{"type":"number"}]})").error().code, ErrorCode::unsupported);
  EXPECT_EQ(compile_schema(R"({"oneOf":[{"type":"object"},{"type":"object"}]})").error().code, ErrorCode::unsupported);
  EXPECT_EQ(compile_schema(R"({"enum":[123456789012345678901234567890]})").error().code, ErrorCode::unsupported);
}

TEST(JsonSchema, what_is_no_schema_is_refused) {
  for (const char* bad : {"", "{", "5", "[]", "null", "false", R"({"type":"thing"})", R"({"type":[]})", R"({"type":5})", R"({"enum":[]})", R"({"enum":5})", R"({"anyOf":[]})",
                          R"({"required":"a","type":"object"})", R"({"properties":[],"type":"object"})", R"({"type":"string","minLength":-1})",
                          R"({"type":"string","minLength":2,"maxLength":1})", R"({"type":"array","minItems":1.5})", R"({"type":"string","pattern":"("})",
                          R"({"type":"string","pattern":"[a"})", R"({"type":"string","pattern":"*"})", R"({"type":"string","pattern":"a{2,1}"})", R"({"type":"string","pattern":"a**"})",
                          R"({"$ref":"#/$defs/none"})", R"({"type":"object","required":["a"],"additionalProperties":false})", R"({"a":1,"a":2})", R"({"items":5,"type":"array"})"})
    EXPECT_FALSE(compile_schema(bad)) << bad;
}

// Each ends within its bound, quickly.
TEST(JsonSchema, bombs_are_refused) {
  std::string nested = R"({"type":"integer"})", wide = "{\"type\":\"object\",\"properties\":{", chain = "{\"$defs\":{";
  for (int i = 0; i < 100; ++i) nested = R"({"type":"array","items":)" + nested + "}";
  for (int i = 0; i < 600; ++i) wide += (i > 0 ? ",\"" : "\"") + std::to_string(i) + "\":{}";
  for (int i = 0; i < 500; ++i) chain += "\"" + std::to_string(i) + R"(":{"type":"array","minItems":1,"items":{"$ref":"#/$defs/)" + std::to_string(i + 1) + "\"}},";
  wide += "}}";
  chain += R"("500":{"type":"null"}},"$ref":"#/$defs/0"})";
  for (const std::string& bomb : {nested, wide, chain, std::string(100'000, ' ') + "{}", std::string(R"s({"type":"string","pattern":"((((a{90}){90}){90}){90})"})s"),
                                  std::string(R"({"type":"string","pattern":"^(a|b)*a(a|b){30}$"})"), std::string(R"({"type":"string","pattern":"^a{1000000}$"})"),
                                  std::string(R"({"type":"string","pattern":"^[a-z]*$","maxLength":100000})"), std::string(R"({"type":"array","minItems":100000000000})"),
                                  "{\"type\":\"string\",\"pattern\":\"" + std::string(4000, '(') + "\"}"}) {
    const auto begun = std::chrono::steady_clock::now();
    const auto compiled = compile_schema(bomb);
    ASSERT_FALSE(compiled) << bomb.substr(0, 80);
    EXPECT_EQ(compiled.error().code, ErrorCode::limit_exceeded) << bomb.substr(0, 80) << compiled.error().message;
    EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(20)) << bomb.substr(0, 80);  // it takes less than one on an idle machine
  }
}

TEST(JsonSchema, a_text_that_can_be_read_in_too_many_ways_exhausts_the_machine) {
  const std::string ambiguous = R"({"$defs":{"v":{"anyOf":[{"type":"array","items":{"$ref":"#/$defs/v"}},{"type":"array","items":{"$ref":"#/$defs/v"}},{"type":"null"}]}},"$ref":"#/$defs/v"})";
  Machine machine(grammar_of(ambiguous));
  auto at = machine.start();
  for (int i = 0; i < 40 && !machine.exhausted(); ++i) at = machine.next(at, '[');
  EXPECT_TRUE(machine.exhausted());
  EXPECT_EQ(at, Machine::kDead);
}

TEST(JsonSchema, a_machine_that_forgot_goes_on_where_it_was) {
  Machine machine(grammar_of(R"({"type":"array","items":{"type":"string","maxLength":5},"maxItems":3})"));
  auto at = machine.start();
  for (const char byte : std::string("[\"abc\", \"d")) at = machine.next(at, static_cast<std::uint8_t>(byte));
  const auto before = machine.size();
  at = machine.forget_all_but(at);
  EXPECT_LT(machine.size(), before);
  for (const char byte : std::string("efgh\",\"\"")) at = machine.next(at, static_cast<std::uint8_t>(byte));
  EXPECT_EQ(machine.next(at, ','), Machine::kDead);
  EXPECT_TRUE(machine.finished(machine.next(at, ']')));
  EXPECT_TRUE(accepts(machine, "[]"));
}

}  // namespace
}  // namespace redoubt::json_schema
