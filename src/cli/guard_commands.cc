// SPDX-License-Identifier: Apache-2.0
//
// redoubt guard: rule packs of the endpoint's guards, signed and looked at; what the guards make of a text.
#include <fmt/format.h>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/endpoint_guards.h"
#include "cli/prompt.h"

namespace redoubt::cli {
namespace {

struct GuardPackOptions {
  std::string file, key_file, output;
};

Result<int> sign_pack(const GuardPackOptions& options, const Output& output) {
  const auto rules = TRY(read_text_file(options.file, kRulePackBytesMax));
  const Secret pem = TRY(read_secret_file(options.key_file));
  const auto key = crypto::SigningKey::from_pem(pem);
  if (!key) return fail(key.error().code, key.error().message, options.key_file, "name a private key in PEM: 'openssl genpkey -algorithm ed25519' makes one");
  TRY(write_file(options.output, TRY(guards::sign_rule_pack(rules, *key, options.file)), FileMode::readable_by_all));
  output.result({{"file", options.output}, {"key_id", key->public_key().key_id()}}, fmt::format("{} is signed by the key {}", options.output, key->public_key().key_id()));
  return 0;
}

Result<int> rules(const GuardPackOptions& options, const Output& output) {
  std::vector<guards::PatternRule> list;
  if (options.file.empty()) {
    list = TRY(guards::own_rules());
  } else {
    const auto pem = TRY(read_text_file(options.key_file, kRulePackKeyBytesMax));
    const auto key = TRY(crypto::PublicKey::from_pem(pem));
    list = TRY(guards::open_rule_pack(TRY(read_text_file(options.file, kRulePackBytesMax)), key, options.file));
  }
  Json values = Json::array();
  Table table{{"RULE", "SEVERITY", "OF", "ACTION", "MEANING"}, {}};
  for (const auto& rule : list) {
    const char* side = rule.input && rule.output ? "both" : rule.input ? "input" : "output";
    values.push_back({{"id", rule.id}, {"severity", rule.severity}, {"where", side}, {"action", guards::to_string(rule.action)}, {"meaning", rule.meaning}, {"pattern", rule.pattern}});
    table.rows.push_back({rule.id, rule.severity, side, guards::to_string(rule.action), rule.meaning});
  }
  output.result(values, render(table));
  return 0;
}

}  // namespace

void add_guard_commands(CLI::App& app, Invocation& invocation) {
  auto options = std::make_shared<GuardPackOptions>();
  CLI::App* guard = app.add_subcommand("guard", "Rule packs of the endpoint's guards")->require_subcommand(1);
  CLI::App* signing = add_command(*guard, invocation, "sign", "Signs a file of rules", [options](const Output& output) { return sign_pack(*options, output); });
  signing->add_option("file", options->file, "the rules (docs/formats/rule_pack.md)")->required();
  signing->add_option("--private-key", options->key_file, "in PEM")->required();
  signing->add_option("-o,--output", options->output, "the signed pack")->required();
  CLI::App* showing = add_command(*guard, invocation, "rules", "The rules of a pack, or those that come with the program", [options](const Output& output) { return rules(*options, output); });
  CLI::Option* pack = showing->add_option("file", options->file, "a signed pack (default: the program's own rules)");
  CLI::Option* key = showing->add_option("--public-key", options->key_file, "that must have signed it, in PEM");
  pack->needs(key);
  key->needs(pack);
}

}  // namespace redoubt::cli
