// SPDX-License-Identifier: Apache-2.0
//
// What the commands below `redoubt aws` share: which environment's stack they are about, and the account that it stands in.
#pragma once

#include <memory>

#include "cli/command.h"
#include "provider/aws/stack/stack.h"

namespace redoubt::cli {

struct AwsAccountOptions {
  std::string environment;
  std::string stack_name;  // empty: redoubt-ENVIRONMENT
  std::string template_file = "config/cloudformation_template.yaml";
  std::string region, profile;
};

// The client is declared first: the stack refers to it.
struct AwsAccount {
  std::unique_ptr<provider::aws::Client> client;
  provider::aws::stack::Template source;
  provider::aws::stack::Stack stack;
};

// The block `aws` of the file of providers, with what the line says instead.
Result<Json> aws_block(const Invocation& invocation, const AwsAccountOptions& options);
Result<AwsAccount> open_aws_account(const Invocation& invocation, const AwsAccountOptions& options);

// `options` is what the command keeps; it outlives the line.
void add_aws_environment_options(CLI::App& command, AwsAccountOptions& options);
void add_aws_stack_options(CLI::App& command, AwsAccountOptions& options);

// redoubt aws compliance, access: what the account's guards and our own evidence say of it. `group` is `redoubt aws`.
void add_aws_view_commands(CLI::App& group, Invocation& invocation);

}  // namespace redoubt::cli
