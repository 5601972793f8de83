// SPDX-License-Identifier: Apache-2.0
//
// redoubt aws up, diff, down, doctor, cost: the account that the providers of AWS work in. None of them needs a workspace.
#include <fmt/format.h>

#include <algorithm>

#include "base/file.h"
#include "cli/aws_account.h"
#include "cli/aws_client.h"
#include "cli/aws_providers_file.h"
#include "cli/commands.h"
#include "pipeline/providers.h"
#include "provider/aws/stack/cost.h"
#include "provider/aws/stack/region_facts.h"
#include "provider/aws/stack/stack_check.h"
#include "provider/aws/stack/template_bucket.h"

namespace redoubt::cli {
namespace {

namespace fs = std::filesystem;
namespace stack = provider::aws::stack;

struct AwsOptions : AwsAccountOptions {
  std::string parameters_file;                                 // empty: cloudformation/ENVIRONMENT.json beside the template, where there is one
  std::vector<std::string> parameters;                         // KEY=VALUE
  std::string template_bucket;
  std::string write_providers;                                 // up: the file to write
  bool yes = false, unprotect = false, replace = false;
  bool booked = false, kept_prices = false;
  std::string month;
  stack::Usage usage;
};

using Account = AwsAccount;

const Clock& machine_clock() {
  static const SystemClock kClock;
  return kClock;
}

Result<stack::Parameters> parameters_of_line(const AwsOptions& options) {
  stack::Parameters out;
  for (const auto& one : options.parameters) {
    const auto equals = one.find('=');
    if (equals == one.npos || equals == 0) return fail(ErrorCode::invalid_argument, "not KEY=VALUE: " + one, "--parameter");
    out[one.substr(0, equals)] = one.substr(equals + 1);
  }
  return out;
}

Result<stack::Parameters> parameters_of_file(const AwsOptions& options) {
  const fs::path usual = fs::path(options.template_file).parent_path() / "cloudformation" / (options.environment + ".json");
  if (options.parameters_file.empty() && !is_plain_file(usual)) return stack::Parameters{};
  return stack::load_parameters(options.parameters_file.empty() ? usual : fs::path(options.parameters_file));
}

// Line before file before what the stack has before the template's defaults.
Result<stack::Parameters> choose_parameters(Account& account, const std::optional<stack::StackState>& now, const AwsOptions& options, const Output& output) {
  auto chosen = TRY(parameters_of_line(options));
  TRY(stack::check_parameters(account.source, chosen, "--parameter"));
  const auto from_file = TRY(parameters_of_file(options));
  TRY(stack::check_parameters(account.source, from_file, options.parameters_file.empty() ? "cloudformation/" + options.environment + ".json" : options.parameters_file));
  chosen.insert(from_file.begin(), from_file.end());
  if (const auto given = chosen.find("Environment"); given != chosen.end() && given->second != options.environment) {
    return fail(ErrorCode::invalid_argument, fmt::format("the parameters are those of {}, not of {}", given->second, options.environment), "Environment");
  }
  chosen["Environment"] = options.environment;
  const Json known = json_or(account.source.body, "Parameters", Json::object());
  for (const auto& [key, value] : now ? now->parameters : stack::Parameters{}) {
    if (known.contains(key)) chosen.emplace(key, value);
  }
  if (known.contains("S3PrefixListId") && (!chosen.contains("S3PrefixListId") || chosen["S3PrefixListId"].empty())) chosen["S3PrefixListId"] = TRY(stack::s3_prefix_list(*account.client));
  if (!now && known.contains("EnableGuardDuty") && !chosen.contains("EnableGuardDuty")) {
    if (TRY(stack::is_guardduty_on(*account.client))) {
      chosen["EnableGuardDuty"] = "false";
      output.say("the region has a GuardDuty detector already, so the stack makes none (EnableGuardDuty=false)");
    }
  }
  return chosen;
}

Json changes_json(const std::vector<stack::ResourceChange>& changes) {
  Json out = Json::array();
  for (const auto& one : changes) {
    out.push_back({{"action", one.action}, {"resource", one.logical_id}, {"type", one.type}, {"id", one.physical_id}, {"replacement", one.replacement}, {"causes", one.causes}, {"loses_data", one.loses_data()}});
  }
  return out;
}

std::string changes_text(const std::vector<stack::ResourceChange>& changes) {
  if (changes.empty()) return "nothing differs";
  Table table{{"CHANGE", "RESOURCE", "TYPE", "REPLACED", "BECAUSE OF"}, {}};
  for (const auto& one : changes) {
    std::string causes;
    for (const auto& cause : one.causes) causes += (causes.empty() ? "" : ", ") + cause;
    table.rows.push_back({one.action, one.logical_id, one.type, one.replacement.empty() ? "-" : one.replacement, causes});
  }
  return render(table);
}

struct Plan {
  bool is_new = false;
  stack::StackInput input;
  std::vector<stack::ResourceChange> changes;
};

// All that a new stack would be made of.
Result<std::vector<stack::ResourceChange>> all_of(Account& account, const stack::Parameters& parameters) {
  const stack::StackFacts facts{parameters, {}, account.stack.name(), "", account.client->region(), TRY(account.client->account()), account.client->partition()};
  const stack::TemplateValues values(account.source, facts);
  const Json resources = json_or(account.source.body, "Resources", Json::object());
  std::vector<stack::ResourceChange> out;
  for (const auto& [name, resource] : resources.items()) {
    if (TRY(values.is_made(resource))) out.push_back({"Add", name, json_or(resource, "Type", ""), "", "", {}});
  }
  return out;
}

Result<Plan> plan(Account& account, const AwsOptions& options, const Output& output) {
  const auto now = TRY(account.stack.state());
  TRY(stack::Stack::check_can_change(now, account.stack.name()));
  Plan plan{!now, {"", TRY(choose_parameters(account, now, options, output)), {{"redoubt", options.environment}}}, {}};
  plan.input.template_url = TRY(stack::publish_template(*account.client, account.source, options.template_bucket));
  plan.changes = TRY(now ? account.stack.changes(plan.input) : all_of(account, plan.input.parameters));
  return plan;
}

Result<int> diff_stack(Invocation& invocation, const AwsOptions& options, const Output& output) {
  auto account = TRY(open_aws_account(invocation, options));
  const auto planned = TRY(plan(account, options, output));
  output.result({{"stack", account.stack.name()}, {"is_new", planned.is_new}, {"changes", changes_json(planned.changes)}},
                planned.is_new ? fmt::format("there is no stack {} yet; it would be made with\n{}", account.stack.name(), changes_text(planned.changes))
                               : changes_text(planned.changes));
  return 0;
}

// What holds data is never replaced or given up by the way.
Status check_losses(const Account& account, const Plan& planned, const AwsOptions& options) {
  for (const auto& change : planned.changes) {
    if (options.replace || !change.loses_data()) continue;
    return fail(ErrorCode::gate_refused, fmt::format("the change would {} what holds data: {} ({})", change.action == "Remove" ? "give up" : "replace", change.logical_id, change.type), "stack " + account.stack.name(),
                "look at 'redoubt aws diff'; say --replace where it is meant (what is retained stays in the account, under nobody's care)");
  }
  return {};
}

Result<stack::StackState> carry_out_plan(Account& account, const Plan& planned, const Output& output) {
  const auto say = [&](const std::string& line) { output.say(line); };
  if (planned.is_new) return account.stack.make(planned.input, say);
  if (!planned.changes.empty()) return account.stack.change(planned.input, say);
  auto now = TRY(account.stack.state());
  if (!now) return fail(ErrorCode::unavailable, "the stack went away meanwhile", "stack " + account.stack.name(), "run it again");
  return std::move(*now);
}

void guard_production(Account& account, const AwsOptions& options, const Output& output) {
  if (options.environment != "production") return;
  const auto now = account.stack.state();
  if (now && *now && (*now)->is_protected) return;
  if (auto done = account.stack.protect(true); !done) output.say("the stack is not protected from being deleted: " + done.error().message);
}

Result<int> up(Invocation& invocation, const AwsOptions& options, const Output& output) {
  if (!options.write_providers.empty() && is_there(options.write_providers)) return fail(ErrorCode::already_exists, "the file is there already", options.write_providers, "name another, or remove it");
  auto account = TRY(open_aws_account(invocation, options));
  const auto planned = TRY(plan(account, options, output));
  TRY(check_losses(account, planned, options));
  if (!planned.changes.empty()) output.say(changes_text(planned.changes));
  const auto state = TRY(carry_out_plan(account, planned, output));
  guard_production(account, options, output);
  if (!options.write_providers.empty()) TRY(write_file(options.write_providers, providers_file_of(account.client->region(), options.environment, state.outputs), FileMode::readable_by_all));
  Table table{{"OUTPUT", "VALUE"}, {}};
  for (const auto& [name, value] : state.outputs) table.rows.push_back({name, value});
  output.result({{"stack", account.stack.name()}, {"status", state.status}, {"changes", changes_json(planned.changes)}, {"outputs", state.outputs}},
                fmt::format("{} {}: {}\n{}", account.stack.name(), planned.changes.empty() ? "was up to date" : "is up", state.status, render(table)));
  return 0;
}

Result<int> down(Invocation& invocation, const AwsOptions& options, const Output& output) {
  auto account = TRY(open_aws_account(invocation, options));
  const auto& name = account.stack.name();
  const auto now = TRY(account.stack.state());
  if (!now) return fail(ErrorCode::not_found, "there is no such stack in " + account.client->region(), "stack " + name, "name its region and, where it is not redoubt-ENVIRONMENT, --stack");
  Json stays = Json::array();
  std::string list;
  for (const auto& one : TRY(account.stack.resources())) {
    const Json resources = json_or(account.source.body, "Resources", Json::object());
    if (json_or(json_or(resources, one.logical_id.c_str(), Json::object()), "DeletionPolicy", "Delete") != "Retain") continue;
    stays.push_back({{"resource", one.logical_id}, {"type", one.type}, {"id", one.physical_id}});
    list += fmt::format("  {} ({})\n", one.physical_id, one.type);
  }
  if (!options.yes) return fail(ErrorCode::gate_refused, "this takes the stack down, its roles, network, alarms and trail", "stack " + name, "say --yes where it is meant; keys, buckets, images and secrets that the template retains stay");
  if (now->is_protected) {
    if (!options.unprotect) return fail(ErrorCode::gate_refused, "the stack is protected from being deleted", "stack " + name, "say --unprotect --yes where it is meant");
    TRY(account.stack.protect(false));
  }
  TRY(account.stack.remove([&](const std::string& line) { output.say(line); }));
  output.result({{"stack", name}, {"stays", stays}}, fmt::format("{} is down{}{}", name, list.empty() ? "" : "; what stays, and what it costs until you delete it:\n", list));
  return 0;
}

Result<int> check_live_stack(Invocation& invocation, const AwsOptions& options, const Output& output) {
  auto account = TRY(open_aws_account(invocation, options));
  const auto report = TRY(stack::check_stack(account.stack, *account.client, account.source, machine_clock().now()));
  Json findings = Json::array();
  Table table{{"FOUND", "RESOURCE", "ID", "WHAT"}, {}};
  for (const auto& one : report.findings) {
    findings.push_back({{"fault", to_string(one.fault)}, {"resource", one.resource}, {"type", one.type}, {"id", one.id}, {"detail", one.detail}});
    table.rows.push_back({to_string(one.fault), one.resource, one.id.empty() ? "-" : one.id, one.detail});
  }
  auto sum = fmt::format("{} resources of {} were read, {} findings; {} more are known by the stack alone", report.read.size(), account.stack.name(), report.findings.size(), report.not_read.size());
  for (const auto& note : report.notes) sum += "\n" + note;
  output.result({{"stack", account.stack.name()}, {"status", report.status}, {"checked", report.read.size()}, {"not_read", report.not_read}, {"findings", findings}, {"notes", report.notes}}, table.rows.empty() ? sum : render(table) + sum);
  return report.findings.empty() ? 0 : exit_code_of(ErrorCode::gate_refused);
}

Result<int> show_booked(Invocation& invocation, const AwsOptions& options, const Output& output) {
  auto client = TRY(open_aws_client(TRY(aws_block(invocation, options)), machine_clock()));
  const auto today = machine_clock().now();
  const auto costs = TRY(stack::booked_costs(*client, options.environment, options.month.empty() ? to_rfc3339(today).substr(0, 7) : options.month, today));
  Json lines = Json::array();
  Table table{{"SERVICE", "BOOKED"}, {}};
  double sum = 0;
  for (const auto& one : costs) {
    lines.push_back({{"service", one.service}, {"amount", one.amount}, {"currency", one.currency}});
    table.rows.push_back({one.service, fmt::format("{:.2f} {}", one.amount, one.currency)});
    sum += one.amount;
  }
  table.rows.push_back({"all", fmt::format("{:.2f}", sum)});
  output.result({{"environment", options.environment}, {"booked", lines}, {"sum", sum}}, costs.empty() ? "nothing was booked under the tag redoubt=" + options.environment : render(table));
  return 0;
}

constexpr double kMinutesOfAMonth = 730 * 60;

// The runs that watch an endpoint, as its block says (compose.cc has the same defaults).
void add_monitor(const Json& endpoint, stack::Usage& usage) {
  const Json monitoring = json_or(endpoint, "monitoring", Json::object());
  const std::string mode = json_or(monitoring, "mode", "processing");
  if (mode == "off" || (mode == "processing" && json_or(monitoring, "scheduler_role_arn", "").empty())) return;  // nobody starts them
  if (usage.monitor_instance.empty()) usage.monitor_instance = json_or(monitoring, "instance_type", "ml.m5.large");
  double kinds = 1;
  for (const char* more : {"model_quality", "bias", "explainability"}) kinds += mode == "model-monitor" && monitoring.contains(more) ? 1 : 0;
  if (!usage.monitor_runs) usage.monitor_runs = kinds * kMinutesOfAMonth / static_cast<double>(json_or(monitoring, "schedule_minutes", std::int64_t{60}));
}

// What the file of providers says, where the line says nothing.
Result<stack::Usage> usage_of(const Invocation& invocation, const AwsOptions& options) {
  auto usage = options.usage;
  if (invocation.global.providers.empty()) return usage;
  const Json providers = TRY(pipeline::load_providers(invocation.global.providers));
  const auto jobs = pipeline::choice_of(providers, "jobs"), endpoint = pipeline::choice_of(providers, "endpoint");
  if (jobs.kind == "sagemaker" && usage.training_instance.empty()) usage.training_instance = json_or(jobs.options, "instance_type", "");
  if (jobs.kind == "sagemaker") usage.is_spot = json_or(jobs.options, "spot", true);
  if (endpoint.kind == "sagemaker" && usage.endpoint_instance.empty()) usage.endpoint_instance = json_or(endpoint.options, "instance_type", "");
  if (endpoint.kind == "sagemaker") usage.endpoint_instances = static_cast<double>(json_or(endpoint.options, "instances", std::int64_t{1}));
  if (endpoint.kind == "sagemaker") add_monitor(endpoint.options, usage);
  return usage;
}

Result<stack::InstancePrices> prices_of(const Invocation& invocation, const AwsOptions& options, const stack::Usage& usage) {
  if (options.kept_prices || (usage.training_instance.empty() && usage.endpoint_instance.empty() && usage.monitor_instance.empty())) return stack::kept_prices();
  Json block = TRY(aws_block(invocation, options));
  const auto region = TRY(open_aws_client(block, machine_clock()))->region();
  block["region"] = region.starts_with("eu-") ? "eu-central-1" : region.starts_with("ap-") ? "ap-south-1" : "us-east-1";  // where the price list is
  return stack::ask_prices(*TRY(open_aws_client(block, machine_clock())), region, usage);
}

Result<int> cost(Invocation& invocation, const AwsOptions& options, const Output& output) {
  if (options.booked) return show_booked(invocation, options, output);
  const auto usage = TRY(usage_of(invocation, options));
  const auto prices = TRY(prices_of(invocation, options, usage));
  Json lines = Json::array();
  Table table{{"WHAT", "A MONTH", "UNIT", "PRICE", "DOLLARS"}, {}};
  double sum = 0;
  for (const auto& one : TRY(stack::estimate(usage, prices))) {
    lines.push_back({{"what", one.what}, {"quantity", one.quantity}, {"unit", one.unit}, {"price", one.price}, {"amount", one.amount()}});
    table.rows.push_back({one.what, fmt::format("{:g}", one.quantity), one.unit, fmt::format("{:g}", one.price), fmt::format("{:.2f}", one.amount())});
    sum += one.amount();
  }
  table.rows.push_back({"all", "", "", "", fmt::format("{:.2f}", sum)});
  const auto warning = stack::warning_of(prices, machine_clock().now());
  if (!warning.empty()) output.say(warning);
  output.result({{"environment", options.environment}, {"estimate", lines}, {"sum", sum}, {"prices", prices.source}, {"prices_as_of", prices.as_of.empty() ? Json(nullptr) : Json(prices.as_of)}, {"warning", warning.empty() ? Json(nullptr) : Json(warning)}},
                fmt::format("{}prices of instances: {}{}", render(table), prices.source, prices.as_of.empty() ? "" : ", as of " + prices.as_of));
  return 0;
}

using AwsBody = Result<int> (*)(Invocation& invocation, const AwsOptions& options, const Output& output);

CLI::App* add_stack_command(CLI::App& group, Invocation& invocation, std::shared_ptr<AwsOptions> options, const char* name, const char* help, AwsBody body) {
  CLI::App* command = add_command(group, invocation, name, help, [&invocation, options, body](const Output& output) { return body(invocation, *options, output); });
  add_aws_environment_options(*command, *options);
  return command;
}

CLI::App* with_stack(CLI::App* command, const std::shared_ptr<AwsOptions>& options) {
  add_aws_stack_options(*command, *options);
  return command;
}

CLI::App* with_parameters(CLI::App* command, const std::shared_ptr<AwsOptions>& options) {
  command->add_option("--parameters", options->parameters_file, "a file of them (default: cloudformation/ENVIRONMENT.json beside the template)");
  command->add_option("--parameter", options->parameters, "KEY=VALUE, before the file's; may be given often")->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_option("--template-bucket", options->template_bucket, "where the template is put (default: redoubt-templates-ACCOUNT-REGION, made where it is missing)");
  return command;
}

void add_cost_options(CLI::App* command, const std::shared_ptr<AwsOptions>& options) {
  auto& usage = options->usage;
  command->add_flag("--booked", options->booked, "what the account booked, instead of an estimate");
  command->add_option("--month", options->month, "with --booked: such as 2026-11 (default: this one)");
  command->add_flag("--kept-prices", options->kept_prices, "estimate with the prices kept here, without asking AWS");
  command->add_option("--training-instance", usage.training_instance, "default: what the file of providers says");
  command->add_option("--training-hours", usage.training_hours, "a month (default: 20)")->check(CLI::NonNegativeNumber);
  command->add_option("--endpoint-instance", usage.endpoint_instance, "default: what the file of providers says");
  command->add_option("--endpoint-hours", usage.endpoint_hours, "a month (default: 730)")->check(CLI::NonNegativeNumber);
  command->add_option("--monitor-instance", usage.monitor_instance, "of the runs that watch the endpoint; default: what the file of providers says");
  command->add_option("--monitor-runs", usage.monitor_runs, "a month (default: what the file of providers says, or 730)")->check(CLI::NonNegativeNumber);
  command->add_option("--monitor-minutes", usage.monitor_minutes, "of a run (default: 5)")->check(CLI::NonNegativeNumber);
  command->add_option("--storage-gb", usage.object_gigabytes, "in S3 (default: 50)")->check(CLI::NonNegativeNumber);
  command->add_option("--images-gb", usage.image_gigabytes, "in ECR (default: 5)")->check(CLI::NonNegativeNumber);
  command->add_option("--logs-gb", usage.log_gigabytes, "a month (default: 5)")->check(CLI::NonNegativeNumber);
}

}  // namespace

void add_aws_commands(CLI::App& app, Invocation& invocation) {
  auto options = std::make_shared<AwsOptions>();
  CLI::App* group = app.add_subcommand("aws", "The account that AWS's providers work in: one CloudFormation stack an environment")->require_subcommand(1);
  CLI::App* up_command = with_parameters(with_stack(add_stack_command(*group, invocation, options, "up", "Makes the stack, or brings it up to date", up), options), options);
  up_command->add_flag("--replace", options->replace, "also where that replaces or gives up what holds data");
  up_command->add_option("--write-providers", options->write_providers, "writes a file for --providers with the stack's names");
  with_parameters(with_stack(add_stack_command(*group, invocation, options, "diff", "What 'up' would change", diff_stack), options), options);
  CLI::App* down_command = with_stack(add_stack_command(*group, invocation, options, "down", "Takes the stack away; keys, buckets and images stay", down), options);
  down_command->add_flag("--yes", options->yes, "it is meant");
  down_command->add_flag("--unprotect", options->unprotect, "also where it is protected from being deleted");
  with_stack(add_stack_command(*group, invocation, options, "doctor", "The live account against the template: what is missing, too open or different; exit status 3 where there is any", check_live_stack), options);
  add_aws_view_commands(*group, invocation);
  add_cost_options(add_stack_command(*group, invocation, options, "cost", "What it costs a month: an estimate, or what was booked", cost), options);
}

}  // namespace redoubt::cli
