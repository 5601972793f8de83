// SPDX-License-Identifier: Apache-2.0
#include "cli/aws_account.h"

#include "cli/aws_client.h"
#include "pipeline/providers.h"

namespace redoubt::cli {

Result<Json> aws_block(const Invocation& invocation, const AwsAccountOptions& options) {
  Json block = Json::object();
  if (!invocation.global.providers.empty()) block = json_or(TRY(pipeline::load_providers(invocation.global.providers)), "aws", Json::object());
  if (!options.region.empty()) block["region"] = options.region;
  if (!options.profile.empty()) block["profile"] = options.profile;
  return block;
}

Result<AwsAccount> open_aws_account(const Invocation& invocation, const AwsAccountOptions& options) {
  static const SystemClock kClock;
  auto source = TRY(provider::aws::stack::load_template(options.template_file));
  auto client = TRY(open_aws_client(TRY(aws_block(invocation, options)), kClock));
  auto opened = TRY(provider::aws::stack::Stack::create(options.stack_name.empty() ? "redoubt-" + options.environment : options.stack_name, *client));
  return AwsAccount{std::move(client), std::move(source), std::move(opened)};
}

void add_aws_environment_options(CLI::App& command, AwsAccountOptions& options) {
  command.add_option("environment", options.environment, "dev, staging or production")->required()->check(CLI::IsMember({"dev", "staging", "production"}));
  command.add_option("--region", options.region, "instead of the one that the providers, the environment or the profile name");
  command.add_option("--profile", options.profile, "of ~/.aws/config");
}

void add_aws_stack_options(CLI::App& command, AwsAccountOptions& options) {
  command.add_option("--stack", options.stack_name, "its name (default: redoubt-ENVIRONMENT)");
  command.add_option("--template", options.template_file, "default: config/cloudformation_template.yaml");
}

}  // namespace redoubt::cli
