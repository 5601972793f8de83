// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/stack/stack.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "provider/aws/stack/cost.h"
#include "provider/aws/testing_client.h"

namespace redoubt::provider::aws::stack {
namespace {

const WaitOptions kAtOnce{1, 1, 5};

Template template_of(const std::string& text) {
  const auto folder = *TemporaryFolder::create();
  const auto file = folder.path() / "template.yaml";
  EXPECT_TRUE(write_file(file, text));
  auto source = load_template(file);
  EXPECT_TRUE(source) << source.error().message;
  return source ? *source : Template{};
}

const char* const kTemplate = R"(
Parameters:
  Environment: {Type: String, AllowedValues: [dev, production], Default: dev}
  Days: {Type: Number, Default: 90, MinValue: 1, MaxValue: 3650}
  Mail: {Type: String, Default: "", AllowedPattern: '^([^@]+@[^@]+)?$'}
Conditions:
  HasMail: !Not [!Equals [!Ref Mail, ""]]
  IsLive: !And [!Equals [!Ref Environment, production], Condition: HasMail]
Resources:
  Bucket: {Type: 'AWS::S3::Bucket', Properties: {BucketName: !Sub 'redoubt-${Environment}-${AWS::AccountId}'}}
  Key: {Type: 'AWS::KMS::Key'}
  Mailing: {Type: 'AWS::SNS::Subscription', Condition: HasMail}
  Live: {Type: 'AWS::SNS::Topic', Condition: IsLive, Properties: {KmsMasterKeyId: !GetAtt Key.Arn, DisplayName: !If [HasMail, !Ref Mail, !Ref 'AWS::NoValue'],
    TopicName: !Join ['-', [a, !Ref Environment]], Other: !Sub '${Bucket.Arn}/*', Unknown: !Sub '${Key.KeyId}x', Literal: !Sub '${!literal}'}}
)";

TEST(Template, functions_come_to_what_the_stack_makes_of_them) {
  const auto source = template_of(kTemplate);
  const StackFacts facts{{{"Mail", "a@b"}, {"Environment", "production"}}, {{"Bucket", "redoubt-production-1"}, {"Key", "1234"}}, "s", "", "eu-central-1", "123456789012", "aws"};
  const TemplateValues values(source, facts);
  const auto live = values.value_of(source.body["Resources"]["Live"]["Properties"]);
  ASSERT_TRUE(live) << live.error().message;
  EXPECT_EQ(dump_json(*live), R"({"DisplayName":"a@b","KmsMasterKeyId":"arn:aws:kms:eu-central-1:123456789012:key/1234","Literal":"${literal}",)"
                              R"("Other":"arn:aws:s3:::redoubt-production-1/*","TopicName":"a-production","Unknown":null})");
  EXPECT_TRUE(*values.is_made(source.body["Resources"]["Live"]));
  const StackFacts without_mail{{}, {}, "s", "", "eu-central-1", "123456789012", "aws"};
  EXPECT_FALSE(*TemplateValues(source, without_mail).is_made(source.body["Resources"]["Mailing"]));
  const auto no_value = TemplateValues(source, without_mail).value_of(source.body["Resources"]["Live"]["Properties"]);
  EXPECT_FALSE(no_value->contains("DisplayName"));
}

TEST(Template, a_function_that_is_not_known_and_a_name_that_is_not_there_are_refused) {
  const auto source = template_of("Resources: {A: {Type: T, Properties: {B: !Cidr [x, 1, 2], C: !Ref Nobody}}}\n");
  const StackFacts facts;
  const TemplateValues values(source, facts);
  EXPECT_NE(values.value_of(source.body["Resources"]["A"]["Properties"]["B"]).error().message.find("Fn::Cidr"), std::string::npos);
  EXPECT_NE(values.value_of(source.body["Resources"]["A"]["Properties"]["C"]).error().message.find("Nobody"), std::string::npos);
}

TEST(Template, parameters_are_held_against_what_it_allows) {
  const auto source = template_of(kTemplate);
  EXPECT_TRUE(check_parameters(source, {{"Days", "30"}, {"Mail", ""}, {"Environment", "dev"}}, "t"));
  for (const Parameters& wrong : {Parameters{{"Days", "0"}}, {{"Days", "x"}}, {{"Mail", "nobody"}}, {{"Environment", "test"}}, {{"Nothing", "1"}}}) {
    const auto checked = check_parameters(source, wrong, "t");
    ASSERT_FALSE(checked);
    EXPECT_NE(checked.error().message.find(wrong.begin()->first), std::string::npos);
  }
}

Json stack_in(const char* status) { return {{"Stacks", Json::array({{{"StackId", "arn:1"}, {"StackName", "redoubt-dev"}, {"StackStatus", status}}})}}; }

TEST(Stack, a_failure_names_the_resource_that_failed_first) {
  TestingClient client;
  client.answer = [](const auto&, const auto& operation, const auto& input) -> Result<Json> {
    if (operation == "DescribeStacks" && input.at("StackName") == "redoubt-dev") return TestingClient::refuse("ValidationError: Stack with id redoubt-dev does not exist", ErrorCode::invalid_argument);
    if (operation == "DescribeStacks") return stack_in("DELETE_COMPLETE");
    if (operation == "CreateStack") return Json{{"StackId", "arn:1"}};
    const auto event = [](const char* id, const char* status, const char* resource, const char* reason) {
      return Json{{"EventId", id}, {"ResourceStatus", status}, {"LogicalResourceId", resource}, {"ResourceType", "T"}, {"ResourceStatusReason", reason}};
    };
    return Json{{"StackEvents", {event("3", "DELETE_COMPLETE", "Key", ""), event("2", "CREATE_FAILED", "Vpc", "Resource creation cancelled"), event("1", "CREATE_FAILED", "Key", "quota")}}};
  };
  auto stack = Stack::create("redoubt-dev", client, kAtOnce);
  std::vector<std::string> told;
  const auto made = stack->make({"https://t", {}, {}}, [&](const std::string& line) { told.push_back(line); });
  ASSERT_FALSE(made);
  EXPECT_NE(made.error().message.find("Key (T): quota"), std::string::npos) << made.error().message;
  EXPECT_EQ(told.size(), 3u);
  EXPECT_EQ(client.last("CreateStack").at("OnFailure"), "DELETE");
  EXPECT_EQ(client.last("CreateStack").at("RetainExceptOnCreate"), true);
}

TEST(Stack, a_stack_that_is_being_changed_or_was_never_whole_is_not_touched) {
  const auto refused = [](const char* status) {
    const auto checked = Stack::check_can_change(StackState{"arn:1", status, "", {}, {}, false}, "redoubt-dev");
    return checked ? std::string() : checked.error().hint;
  };
  EXPECT_NE(refused("UPDATE_IN_PROGRESS").find("ended"), std::string::npos);
  EXPECT_NE(refused("ROLLBACK_COMPLETE").find("aws down"), std::string::npos);
  EXPECT_NE(refused("UPDATE_ROLLBACK_FAILED").find("continue-update-rollback"), std::string::npos);
  EXPECT_EQ(refused("UPDATE_ROLLBACK_COMPLETE"), "");
}

TEST(Stack, a_plan_leaves_no_change_set_behind) {
  TestingClient client;
  client.answer = [](const auto&, const auto& operation, const auto&) -> Result<Json> {
    if (operation == "CreateChangeSet") return Json{{"Id", "arn:set"}};
    if (operation != "DescribeChangeSet") return Json::object();
    const Json change = {{"Action", "Modify"}, {"LogicalResourceId", "Bucket"}, {"ResourceType", "AWS::S3::Bucket"}, {"Replacement", "True"},
                         {"Details", Json::array({{{"Target", {{"Attribute", "Properties"}, {"Name", "BucketName"}}}}})}};
    return Json{{"Status", "CREATE_COMPLETE"}, {"Changes", Json::array({{{"Type", "Resource"}, {"ResourceChange", change}}})}};
  };
  const auto changes = Stack::create("redoubt-dev", client, kAtOnce)->changes({"https://t", {}, {}});
  ASSERT_TRUE(changes);
  EXPECT_TRUE(changes->at(0).loses_data());
  EXPECT_EQ(changes->at(0).causes, std::vector<std::string>{"Properties.BucketName"});
  EXPECT_EQ(client.last("DeleteChangeSet").at("ChangeSetName"), "arn:set");
}

TEST(Stack, a_change_set_that_was_left_goes_before_the_next_plan) {
  TestingClient client;
  bool is_left = true;
  client.answer = [&](const auto&, const auto& operation, const auto& input) -> Result<Json> {
    if (operation == "CreateChangeSet" && is_left) return TestingClient::refuse("AlreadyExistsException: it exists", ErrorCode::already_exists);
    if (operation == "DeleteChangeSet") is_left = false;
    if (operation == "CreateChangeSet") return Json{{"Id", "arn:" + input.at("ChangeSetName").template get<std::string>()}};
    return operation == "DescribeChangeSet" ? Result<Json>(Json{{"Status", "CREATE_COMPLETE"}}) : Result<Json>(Json::object());
  };
  ASSERT_TRUE(Stack::create("redoubt-dev", client, kAtOnce)->changes({"https://t", {}, {}}));
  EXPECT_EQ(client.count("DeleteChangeSet"), 2);
}

TEST(Stack, a_reader_that_sees_the_past_or_nothing_is_not_taken_for_the_end) {
  TestingClient client;
  int looks = 0;
  client.answer = [&](const auto&, const auto& operation, const auto&) -> Result<Json> {
    if (operation == "UpdateStack") return Json{{"StackId", "arn:1"}};
    if (operation == "DescribeStackEvents") {
      Json events = Json::array({{{"EventId", "1"}, {"ResourceStatus", "CREATE_COMPLETE"}}});
      if (looks > 3) events.insert(events.begin(), {{"EventId", "2"}, {"ResourceStatus", "UPDATE_COMPLETE"}});
      return Json{{"StackEvents", events}};
    }
    if (++looks == 2) return TestingClient::refuse("ValidationError: Stack does not exist", ErrorCode::not_found);
    return stack_in(looks > 3 ? "UPDATE_COMPLETE" : "CREATE_COMPLETE");
  };
  const auto changed = Stack::create("redoubt-dev", client, kAtOnce)->change({"https://t", {}, {}}, [](const auto&) {});
  ASSERT_TRUE(changed) << changed.error().message;
  EXPECT_EQ(changed->status, "UPDATE_COMPLETE");
}

TEST(Cost, an_hour_s_price_is_read_from_the_price_list) {
  TestingClient client;
  std::vector<std::string> components;
  client.answer = [&](const auto&, const auto&, const auto& input) -> Result<Json> {
    EXPECT_EQ(input.at("ServiceCode"), "AmazonSageMaker");
    components.push_back(input.at("Filters").at(2).at("Value"));
    const Json product = {{"terms", {{"OnDemand", {{"A.B", {{"priceDimensions", {{"A.B.C", {{"unit", "Hrs"}, {"pricePerUnit", {{"USD", "1.7600000000"}}}}}}}}}}}}}};
    return Json{{"PriceList", {product.dump()}}};
  };
  Usage usage;
  usage.endpoint_instance = "ml.g5.xlarge";
  usage.endpoint_instances = 2;
  usage.endpoint_hours = 100;
  usage.monitor_instance = "ml.m5.large";
  usage.monitor_runs = 120;
  const auto prices = ask_prices(client, "eu-central-1", usage);
  ASSERT_TRUE(prices) << prices.error().message;
  const auto lines = estimate(usage, *prices);
  EXPECT_DOUBLE_EQ(lines->at(0).amount(), 352.0);
  EXPECT_DOUBLE_EQ(lines->at(1).amount(), 17.6) << "120 runs of five minutes are ten hours";
  EXPECT_EQ(components, (std::vector<std::string>{"Hosting", "Processing"}));
  client.answer = [](const auto&, const auto&, const auto&) -> Result<Json> { return Json{{"PriceList", Json::array()}}; };
  EXPECT_EQ(ask_prices(client, "eu-central-1", usage).error().code, ErrorCode::not_found);
}

TEST(Cost, kept_prices_carry_their_day_and_warn_when_they_are_old) {
  const auto day = parse_rfc3339(kept_prices().as_of + "T00:00:00Z").value();
  EXPECT_EQ(warning_of(kept_prices(), day + kPricesAgeMax), "");
  EXPECT_NE(warning_of(kept_prices(), day + kPricesAgeMax + std::chrono::hours(25)).find("181 days ago"), std::string::npos);
  EXPECT_EQ(warning_of({{}, {}, {}, "AWS Price List, eu-central-1"}, day + 2 * kPricesAgeMax), "");
}

}  // namespace
}  // namespace redoubt::provider::aws::stack
