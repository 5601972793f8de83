// SPDX-License-Identifier: Apache-2.0
#include "openai/embeddings.h"

#include <gtest/gtest.h>

#include "base/json.h"

namespace redoubt::openai {
namespace {

const RequestLimits kEmbeddingLimits{.prompt_bytes_max = 40, .embedding_inputs_max = 3};

Result<CompletionRequest> parse(const std::string& more) { return parse_embedding_request(R"({"model":"m",)" + more + "}", kEmbeddingLimits); }

// The parameter that is refused; "taken" if none is.
std::string refused_embedding(const std::string& more) {
  const auto parsed = parse(more);
  return parsed ? "taken" : parsed.error().where;
}

TEST(Embeddings, a_text_tokens_and_lists_of_both_are_taken) {
  EXPECT_EQ(parse(R"("input":"a b")")->generate.texts.at(0).text, "a b");
  EXPECT_EQ(parse(R"("input":[1,2.0,3])")->generate.texts.at(0).tokens, (std::vector<std::int32_t>{1, 2, 3}));
  const auto both = parse(R"("input":["a",[5],"b"],"encoding_format":"base64","dimensions":4,"user":"u")").value();
  ASSERT_EQ(both.generate.texts.size(), 3u);
  EXPECT_EQ(both.generate.texts[1].tokens, std::vector<std::int32_t>{5});
  EXPECT_EQ(both.generate.texts[2].text, "b");
  EXPECT_TRUE(both.base64);
  EXPECT_EQ(both.dimensions, 4);
  EXPECT_EQ(both.protocol, Protocol::embedding);
  EXPECT_FALSE(parse(R"("input":"a","encoding_format":null,"dimensions":null)")->base64);
}

TEST(Embeddings, what_cannot_be_honoured_is_named) {
  for (const char* input : {R"("")", "[]", R"([""])", "[[]]", "null", "5", "true", "{}", R"(["a","b","c","d"])", R"([1,"a"])", "[-1]", "[1.5]", "[1000000000]", "[[[1]]]", R"("01234567890123456789012345678901234567890")",
                            "[1,2,3,4,5,6,7,8,9,10,11]", R"([{"text":"a"}])"})
    EXPECT_EQ(refused_embedding(std::string("\"input\":") + input), "input") << input;
  EXPECT_EQ(refused_embedding(R"("encoding_format":"float")"), "input");
  EXPECT_EQ(refused_embedding(R"("input":"a","encoding_format":"int8")"), "encoding_format");
  EXPECT_EQ(refused_embedding(R"("input":"a","dimensions":0)"), "dimensions");
  EXPECT_EQ(refused_embedding(R"("input":"a","dimensions":"4")"), "dimensions");
  EXPECT_EQ(refused_embedding(R"("input":"a","stream":true)"), "stream");
  EXPECT_EQ(parse_embedding_request(R"({"input":"a"})", kEmbeddingLimits).error().where, "model");
  EXPECT_EQ(refused_embedding(R"("input":[1,2,3,4,5,6,7,8,9,10])"), "taken");  // 40 bytes
}

TEST(Embeddings, numbers_are_written_as_the_floats_that_they_are) {
  // 0.1f, -2.5f, 1e-20f
  const std::vector<std::string> two = {"zczMPQAAIMAI5Twe", "zczMPQ=="};
  const auto floats = Json::parse(embeddings_body("m\"x", two, false, 9));
  EXPECT_EQ(floats["data"][0]["embedding"][0].get<float>(), 0.1f);
  EXPECT_EQ(floats["data"][0]["embedding"][1].get<float>(), -2.5f);
  EXPECT_EQ(floats["data"][0]["embedding"][2].get<float>(), 1e-20f);
  EXPECT_EQ(floats["data"][1]["index"], 1);
  EXPECT_EQ(floats["model"], "m\"x");
  EXPECT_EQ(floats["usage"], (Json{{"prompt_tokens", 9}, {"total_tokens", 9}}));
  EXPECT_EQ(Json::parse(embeddings_body("m", two, true, 9))["data"][0]["embedding"], two[0]);
}

}  // namespace
}  // namespace redoubt::openai
