// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "base/schema.h"
#include "base/tagged_yaml.h"

namespace redoubt {
namespace {

const Json kSchema = Json::parse(R"({
  "type": "object", "additionalProperties": false, "required": ["name"],
  "properties": {
    "name": {"type": "string", "pattern": "^[a-z-]+$"},
    "learning_rate": {"type": "number", "exclusiveMinimum": 0, "default": 0.5},
    "place": {"type": "string", "pattern": "^https://[A-Za-z0-9.-]+(:[0-9]+)?$"},
    "epochs": {"type": "integer", "minimum": 1, "maximum": 9},
    "mode": {"enum": ["stop", "warn"]},
    "hosts": {"type": "array", "items": {"$ref": "#/$defs/host"}},
    "inner": {"type": "object", "additionalProperties": false, "properties": {"deep": {"type": "boolean"}}}
  },
  "$defs": {"host": {"type": "string", "minLength": 1}}})");

Error refused(std::string_view text) {
  auto document = parse_yaml(text, "c.yaml");
  if (!document) return document.error();
  auto checked = check_against_schema(*document, kSchema);
  EXPECT_FALSE(checked) << text;
  return checked ? Error{} : checked.error();
}

TEST(Yaml, types_scalars_by_the_core_schema) {
  const auto value = parse_yaml("a: 1\nb: '1'\nc: 1.5e-3\nd: true\ne: yes\nf:\ng: [x, 2]\nh: 0x\ni: inf\nj: \"\"\n", "t")->value;
  EXPECT_EQ(dump_json(value), R"({"a":1,"b":"1","c":0.0015,"d":true,"e":"yes","f":null,"g":["x",2],"h":"0x","i":"inf","j":""})");
}

TEST(Yaml, refuses_duplicate_keys_and_broken_text_with_the_line) {
  EXPECT_EQ(parse_yaml("a: 1\nb: 2\na: 3\n", "t.yaml").error().where, "t.yaml:3");
  EXPECT_EQ(parse_yaml("a: [1\nb: 2\n", "t.yaml").error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(parse_yaml("", "t.yaml").error().code, ErrorCode::invalid_argument);
}

TEST(Yaml, tags_are_refused_or_mean_what_the_reader_says) {
  EXPECT_EQ(parse_yaml("a: !Ref b\n", "t.yaml").error().where, "t.yaml:1");
  EXPECT_EQ(parse_yaml("a: 1\nb: !Join [x]\n", "t.yaml").error().where, "t.yaml:2");
  const YamlTagMeaning meaning = [](std::string_view tag, Json value) -> Result<Json> {
    if (tag == "No") return fail(ErrorCode::invalid_argument, "no");
    return Json{{std::string(tag), std::move(value)}};
  };
  EXPECT_EQ(dump_json(parse_tagged_yaml("a: !Ref 1\nb: !Join [x, !Ref y]\nc: !Map {d: 2}\n", "t", meaning)->value), R"({"a":{"Ref":"1"},"b":{"Join":["x",{"Ref":"y"}]},"c":{"Map":{"d":2}}})");
  EXPECT_EQ(parse_tagged_yaml("a: 1\nb: !No x\n", "t.yaml", meaning).error().where, "t.yaml:2");
}

TEST(Schema, fills_in_defaults) {
  const auto checked = check_against_schema(*parse_yaml("name: a\n", "c.yaml"), kSchema);
  EXPECT_EQ((*checked)["learning_rate"], 0.5);
}

TEST(Schema, names_line_and_nearest_key_of_an_unknown_one) {
  const auto error = refused("name: a\nlerning_rate: 1\n");
  EXPECT_EQ(error.where, "c.yaml:2");
  EXPECT_EQ(error.hint, "did you mean 'learning_rate'?");
  EXPECT_EQ(refused("name: a\ninner:\n  dep: true\n").hint, "did you mean 'deep'?");
}

TEST(Schema, refuses_wrong_types_ranges_and_missing_fields) {
  EXPECT_NE(refused("epochs: 3\n").message.find("'name' is missing"), std::string::npos);
  EXPECT_EQ(refused("name: a\nepochs: 12\n").where, "c.yaml:2");
  EXPECT_NE(refused("name: a\nepochs: many\n").message.find("must be integer"), std::string::npos);
  EXPECT_NE(refused("name: a\nmode: go\n").message.find("none of"), std::string::npos);
  EXPECT_EQ(refused("name: a\nhosts:\n  - x\n  - ''\n").where, "c.yaml:4");
  EXPECT_NE(refused("name: A\n").message.find("form"), std::string::npos);
  EXPECT_NE(refused("name: a\nlearning_rate: 0\n").message.find("more than 0"), std::string::npos);
}

TEST(Schema, a_text_of_any_length_ends_in_an_answer) {
  for (const std::size_t size : {9'000, 30'000, 65'000, 900'000}) {
    EXPECT_EQ(refused("name: a\nplace: https://" + std::string(size, 'a') + "\n").message, "place: is too long") << size;
  }
  EXPECT_TRUE(check_against_schema(*parse_yaml("name: a\nplace: https://" + std::string(8'000, 'a') + "\n", "c.yaml"), kSchema));
}

}  // namespace
}  // namespace redoubt
