// SPDX-License-Identifier: Apache-2.0
#include "monitor/prompt.h"

#include <gtest/gtest.h>

namespace redoubt::monitor {
namespace {

TEST(Prompt, is_the_last_thing_that_a_user_said) {
  EXPECT_EQ(prompt_of_text(R"({"messages":[{"role":"user","content":"a"},{"role":"user","content":"b"},{"role":"assistant","content":"c"}]})"), "b");
  EXPECT_EQ(prompt_of_text(R"({"prompt":"a","completion":"b"})"), "a");
  EXPECT_EQ(prompt_of_text(R"({"prompt":["a"]})"), "a");
  EXPECT_EQ(prompt_of_text(R"({"inputs":"a"})"), "a");
  EXPECT_EQ(prompt_of_text(R"({"text":"a"})"), "a");
}

TEST(Prompt, parts_of_a_content_are_joined) {
  EXPECT_EQ(prompt_of_text(R"({"messages":[{"role":"user","content":[{"type":"text","text":"a "},{"type":"text","text":"b"}]}]})"), "a b");
}

// A request that the gateway takes and a row that a person wrote must be the same prompt: drift would be seen in their form.
TEST(Prompt, a_request_and_a_row_with_the_same_words_are_equal) {
  EXPECT_EQ(prompt_of_text(R"({"model":"m","messages":[{"role":"system","content":"s"},{"role":"user","content":[{"type":"text","text":"How?"}]}]})"),
            prompt_of_text(R"({"messages":[{"role":"user","content":"How?"},{"role":"assistant","content":"So."}]})"));
}

TEST(Prompt, no_form_of_json_throws) {
  for (const char* body : {"", "{", "null", "1", "[]", R"("text")", "{}", R"({"messages":[]})", R"({"messages":{}})", R"({"messages":[null]})", R"({"messages":[[]]})",
                           R"({"messages":[{"role":5,"content":"a"}]})", R"({"messages":[{"role":null}]})", R"({"messages":[{"role":"user"}]})",
                           R"({"messages":[{"role":"user","content":5}]})", R"({"messages":[{"role":"user","content":[5,null,[],{"text":7},{"type":"image_url"}]}]})",
                           R"({"prompt":{},"inputs":[{}],"text":null})", R"({"role":{"user":1}})"}) {
    EXPECT_NO_THROW(EXPECT_EQ(prompt_of_text(body), std::nullopt) << body) << body;
  }
  EXPECT_EQ(prompt_of_text(std::string(10'000, '[')), std::nullopt);
}

TEST(Prompt, of_a_capture_is_that_of_its_input) {
  const Json body = {{"prompt", "a"}};
  EXPECT_EQ(prompt_of_capture({{"captureData", {{"endpointInput", {{"data", dump_json(body)}}}}}}), "a");
  EXPECT_EQ(prompt_of_capture({{"captureData", {{"endpointInput", {{"data", "eyJwcm9tcHQiOiJhIn0="}, {"encoding", "BASE64"}}}}}}), "a");
  EXPECT_EQ(prompt_of_capture({{"captureData", {{"endpointInput", {{"data", "{}"}, {"encoding", "BASE64"}}}}}}), std::nullopt);
  for (const Json& line : {Json(), Json(1), Json::array(), Json{{"captureData", 1}}, Json{{"captureData", {{"endpointInput", "x"}}}},
                           Json{{"captureData", {{"endpointInput", {{"data", 5}}}}}}, Json{{"captureData", {{"endpointInput", {{"data", "{"}}}}}}}) {
    EXPECT_NO_THROW(EXPECT_EQ(prompt_of_capture(line), std::nullopt));
  }
}

}  // namespace
}  // namespace redoubt::monitor
