// SPDX-License-Identifier: Apache-2.0
#include "stages/data/side_leakage.h"

#include <gtest/gtest.h>

namespace redoubt::stages::data {
namespace {

std::string row(const std::string& question, const std::string& answer) { return Json{{"prompt", question}, {"completion", answer}}.dump(); }

const std::string kLong = "The pump of the second circuit has to be vented by hand before the machine is started after a longer rest, or its bearing runs dry; part ";
const std::string kOther = "Invoices are kept for ten years, letters for six, and whoever throws one away sooner answers for it; the drawers in the cellar are numbered ";

class SideLeakageTest : public ::testing::Test {
 protected:
  void begin(Policy policy) {
    leakage_ = *SideLeakage::create(policy, rows::Question::user);
    leakage_->begin_side("eval", "data.jsonl", SideLeakage::Later::compared);
    EXPECT_FALSE(*leakage_->leaves_out(row(kLong + "17?", "yes"), 3));
    leakage_->begin_side("validation", "data.jsonl", SideLeakage::Later::compared);
  }
  std::unique_ptr<SideLeakage> leakage_;
};

TEST_F(SideLeakageTest, nearly_the_same_text_on_another_side_is_told_and_stays) {
  begin({});
  EXPECT_FALSE(*leakage_->leaves_out(row(kLong + "18?", "yes"), 4));
  EXPECT_FALSE(*leakage_->leaves_out(row(kOther + "1?", "no"), 5));
  leakage_->begin_side("train", "data.jsonl", SideLeakage::Later::none);
  EXPECT_FALSE(*leakage_->leaves_out(row(kLong + "19?", "yes"), 6));
  EXPECT_FALSE(*leakage_->leaves_out(row(kOther + "2?", "no"), 7));
  EXPECT_EQ(leakage_->to_json(), (Json{{"LEAKED_NEAR_DUPLICATE", {{"validation", 1}, {"train", 2}}}, {"dropped_rows", 0}}));
}

TEST_F(SideLeakageTest, a_policy_that_drops_leaves_the_held_out_row_and_takes_the_other) {
  Policy policy;
  policy.actions["LEAKED_NEAR_DUPLICATE"] = Action::drop;
  begin(policy);
  EXPECT_TRUE(*leakage_->leaves_out(row(kLong + "18?", "yes"), 4));
  EXPECT_FALSE(*leakage_->leaves_out(row(kOther + "1?", "no"), 5));
  leakage_->begin_side("train", "data.jsonl", SideLeakage::Later::none);
  EXPECT_TRUE(*leakage_->leaves_out(row(kOther + "2?", "no"), 7));
  // Rows of one side may be alike.
  EXPECT_FALSE(*leakage_->leaves_out(row("What is the capital of the country to the north of here?", "a"), 8));
  EXPECT_FALSE(*leakage_->leaves_out(row("What is the capital of the country to the north of here!", "a"), 9));
  EXPECT_EQ(leakage_->to_json()["dropped_rows"], 2);
}

TEST_F(SideLeakageTest, a_policy_that_stops_names_the_row_the_side_and_the_other_row) {
  Policy policy;
  policy.actions["LEAKED_NEAR_DUPLICATE"] = Action::stop;
  begin(policy);
  const auto refused = leakage_->leaves_out(row(kLong + "18?", "yes"), 41);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::gate_refused);
  EXPECT_EQ(refused.error().where, "data.jsonl:41");
  EXPECT_NE(refused.error().message.find("line 3 of data.jsonl (eval)"), std::string::npos) << refused.error().message;
}

TEST_F(SideLeakageTest, runs_of_words_count_only_where_the_policy_names_them) {
  const std::string phrase = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen";
  const auto apart = [&](Policy policy) {
    begin(std::move(policy));
    EXPECT_FALSE(*leakage_->leaves_out(row("What comes after nought when a child counts the steps of the old stone stair aloud?", phrase), 4));
    leakage_->begin_side("train", "data.jsonl", SideLeakage::Later::none);
    return *leakage_->leaves_out(row("Recite.", phrase + " and then everything else that stands on the long list behind the door of the school, in its order"), 5);
  };
  EXPECT_FALSE(apart({}));
  Policy policy;
  policy.actions["LEAKED_NGRAM"] = Action::drop;
  EXPECT_TRUE(apart(policy));
}

}  // namespace
}  // namespace redoubt::stages::data
