// SPDX-License-Identifier: Apache-2.0
#include "engine/job/job.h"

#include <gtest/gtest.h>

#include "base/file.h"

namespace redoubt::engine::job {
namespace {

Hyperparameters of(const char* text) {
  return Hyperparameters::from_json(Json::parse(text), "hyperparameters.json").value();
}

TEST(Hyperparameters, values_may_be_strings_as_sagemaker_sends_them) {
  auto values = of(R"({"lora_r": "16", "learning_rate": "5e-4", "flag": "true", "target_modules": "[\"q_proj\"]"})");
  EXPECT_EQ(values.integer("lora_r", 8, 1, 1024).value(), 16);
  EXPECT_DOUBLE_EQ(values.number("learning_rate", 1, 0, 1).value(), 5e-4);
  EXPECT_TRUE(values.boolean("flag", false).value());
  EXPECT_EQ(values.value("target_modules").value(), Json::array({"q_proj"}));
}

TEST(Hyperparameters, a_missing_value_is_the_default) {
  auto values = of("{}");
  EXPECT_EQ(values.integer("seed", 42, 0, 100).value(), 42);
  EXPECT_EQ(values.text("dtype", "bf16").value(), "bf16");
}

TEST(Hyperparameters, bad_values_are_refused_by_name) {
  auto values = of(R"({"epochs": "3x", "batch_size": 0, "learning_rate": "nan", "dtype": "int8"})");
  for (const auto& result : {values.integer("epochs", 1, 1, 9), values.integer("batch_size", 1, 1, 9)}) {
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, ErrorCode::invalid_argument);
  }
  EXPECT_NE(values.integer("epochs", 1, 1, 9).error().where.find("epochs"), std::string::npos);
  EXPECT_FALSE(values.number("learning_rate", 1, 0, 1));
  EXPECT_FALSE(values.choice("dtype", "bf16", {"bf16", "fp32"}));
  EXPECT_FALSE(values.expect_only({"epochs"}));
}

TEST(EventWriter, each_event_is_one_json_line) {
  std::FILE* file = std::tmpfile();
  EventWriter events(file);
  events.write("step", {{"step", 1}, {"loss", 2.5}});
  std::rewind(file);
  char line[200] = {};
  ASSERT_TRUE(std::fgets(line, sizeof line, file));
  std::fclose(file);
  EXPECT_EQ(Json::parse(line), Json::parse(R"({"event":"step","step":1,"loss":2.5})"));
}

TEST(Failure, is_written_below_output) {
  auto folder = TemporaryFolder::create().value();
  Paths paths{folder.path()};
  ASSERT_TRUE(write_failure(paths, {ErrorCode::invalid_argument, "no data", "train.jsonl", "give some"}));
  EXPECT_EQ(read_text_file(paths.failure()).value(), "no data (train.jsonl); give some\n");
}

}  // namespace
}  // namespace redoubt::engine::job
