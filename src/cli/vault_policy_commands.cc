// SPDX-License-Identifier: Apache-2.0
//
// redoubt vault: policy set, policy show, lifecycle run, unarchive.
#include <fmt/format.h>

#include "base/file.h"
#include "cli/capture_keeper.h"
#include "cli/commands.h"
#include "cli/local_endpoint.h"
#include "cli/vault_work.h"
#include "pipeline/config.h"

namespace redoubt::cli {
namespace {

using custody::LifecycleStep;
using custody::NamedVersion;
using governance::Permission;

struct VaultPolicyOptions {
  std::string file, target;
  bool dry_run = false;
};

// What the vault goes by; the rest of the file is the deployment's.
Json vault_part(const Json& policy) {
  Json out = Json::object();
  for (const char* block : {"vault", "keys"}) {
    if (policy.contains(block)) out[block] = policy[block];
  }
  return out;
}

// A folder of a store is made by who names it, and by nobody else: later, one that is gone is a disk that is not there.
Status make_stores(VaultWork& work, const custody::Rules& rules) {
  for (const auto& uri : {rules.archive, rules.replica}) {
    if (uri.starts_with("file:/")) TRY(make_folder(uri.substr(5)));
    if (!uri.empty()) (void)TRY(TRY(work.session->providers().store_at(uri))->list("keys/"));
  }
  if (!rules.archive.empty() && rules.archive == rules.replica) return fail(ErrorCode::invalid_argument, "archive and replica are the same store", "policy: vault.replica.store", "name two");
  return {};
}

Result<int> set_policy(Invocation& invocation, const VaultPolicyOptions& options, const Output& output) {
  const Json policy = vault_part(TRY(pipeline::load_policy(options.file)));
  const auto rules = TRY(custody::Rules::from_json(policy));
  auto work = TRY(VaultWork::open(invocation, Permission::set_policy));
  if (!work->view.in_archive().empty() && rules.archive != work->rules.archive) {
    return fail(ErrorCode::gate_refused, fmt::format("{} artifacts are in the archive that the policy would no longer name", work->view.in_archive().size()), work->rules.archive, "bring them back first: redoubt vault unarchive NAME");
  }
  TRY(make_stores(*work, rules));
  TRY(work->stores.record({{"action", "policy"}, {"policy", policy}}));
  output.result({{"policy", policy}, {"rules", rules.rules.size()}, {"by", work->session->identity()}}, fmt::format("set: {} rules; keys are overdue after {} days\nnext: redoubt vault lifecycle run --dry-run", rules.rules.size(), rules.rotate_after_days));
  return 0;
}

Result<int> show_policy(Invocation& invocation, const VaultPolicyOptions&, const Output& output) {
  const auto work = TRY(VaultWork::look(invocation, Permission::read_audit));
  const Json policy = work->view.policy().value_or(Json::object());
  output.result(policy, policy.empty() ? "no policy was set: nothing expires, and keys are overdue after 90 days" : policy.dump(2));
  return 0;
}

Json step_json(const LifecycleStep& step) {
  return {{"action", to_string(step.action)}, {"target", step.version.text()}, {"digest", step.version.artifact.tagged()}, {"kind", step.version.kind}, {"created", to_rfc3339(step.version.made)}, {"why", step.why}};
}

Status carry_out_lifecycle(VaultWork& work, const std::vector<LifecycleStep>& steps, const custody::Needs& needs) {
  std::vector<NamedVersion> expired;
  for (const auto& step : steps) {
    if (step.action == LifecycleStep::Action::expire) expired.push_back(step.version);
  }
  if (!expired.empty()) TRY(custody::delete_versions(work.stores, work.view, needs, expired, "expire", {{"rule", "expire_after"}}));
  TRY(work.refresh());
  for (const auto& step : steps) {
    if (step.action != LifecycleStep::Action::archive || work.view.archived().contains({step.version.place, step.version.artifact})) continue;
    TRY(custody::archive(work.stores, step.version, needs, "archive_after"));
    TRY(work.refresh());
  }
  return {};
}

// Of environments whose endpoint does not run; one that runs looks after its own.
Result<custody::ExpiredCaptures> expire_unattended(VaultWork& work, const GlobalOptions& global, CaptureRun run) {
  std::set<std::string> environments;
  for (const auto& name : TRY(list_folder(work.session->workspace().layout().state()))) {
    for (const std::string_view start : {"captures-", "capture-parts-"}) {
      if (name.starts_with(start)) environments.insert(name.substr(start.size()));
    }
  }
  custody::ExpiredCaptures all;
  for (const auto& environment : environments) {
    all.add(TRY(expire_unattended_captures(*work.session, work.stores, endpoint_process(global, environment).lock_file(), environment, run)));
  }
  return all;
}

Result<int> run_lifecycle(Invocation& invocation, const VaultPolicyOptions& options, const Output& output) {
  if (!options.file.empty() && !options.dry_run) return fail(ErrorCode::invalid_argument, "a file of rules is only tried out", options.file, "say --dry-run, or set it: redoubt --as admin vault policy set " + options.file);
  auto work = TRY(options.dry_run ? VaultWork::look(invocation, Permission::read_audit) : VaultWork::open(invocation, Permission::manage_data));
  const auto rules = options.file.empty() ? work->rules : TRY(custody::Rules::from_json(TRY(pipeline::load_policy(options.file))));
  const auto needs = TRY(work->needs());
  const auto needed = [&](const NamedVersion& version) { return version.place.own_key.empty() ? needs.why(version.artifact) : std::string(); };
  const auto steps = TRY(custody::plan_lifecycle(work->view, TRY(custody::unnamed_artifacts(work->stores, work->view)), rules, work->now(), needed));
  if (!options.dry_run) TRY(carry_out_lifecycle(*work, steps, needs));
  const auto captures = TRY(expire_unattended(*work, invocation.global, options.dry_run ? CaptureRun::dry : CaptureRun::carry_out));
  Json values = Json::array();
  std::map<std::string, int> counts = {{"expire", 0}, {"archive", 0}, {"keep", 0}};
  Table table{{"ACTION", "TARGET", "KIND", "CREATED", "WHY"}, {}};
  for (const auto& step : steps) {
    values.push_back(step_json(step));
    ++counts[to_string(step.action)];
    table.rows.push_back({to_string(step.action), step.version.text().substr(0, 48), step.version.kind, to_rfc3339(step.version.made), step.why});
  }
  const std::string summary = fmt::format("{}: {} expired, {} archived, {} kept because something stands against it; {} batches of captures of endpoints that don't run expired\n", options.dry_run ? "would be done" : "done", counts["expire"], counts["archive"], counts["keep"],
                                          captures.batches);
  output.result({{"dry_run", options.dry_run}, {"steps", values}, {"expired", counts["expire"]}, {"archived", counts["archive"]}, {"kept", counts["keep"]}, {"captures", {{"batches", captures.batches}, {"bytes", captures.bytes}}}}, (table.rows.empty() ? "" : render(table)) + summary);
  return 0;
}

Result<int> unarchive(Invocation& invocation, const VaultPolicyOptions& options, const Output& output) {
  const auto target = TRY(custody::parse_target(options.target));
  auto work = TRY(VaultWork::open(invocation, Permission::manage_data));
  std::uint64_t bytes = 0, moved = 0;
  auto versions = work->view.versions_of(target);
  if (versions.empty() && target.name.empty()) {  // what the pipeline made and nobody named
    versions.emplace_back();
    versions.back().artifact = target.artifact;
  }
  for (const auto& version : versions) {
    if (!work->view.in_archive().contains({version.place, version.artifact})) continue;
    bytes += TRY(custody::unarchive(work->stores, version));
    ++moved;
    TRY(work->refresh());
  }
  if (moved == 0) return fail(ErrorCode::not_found, "nothing of it is in the archive", target.text(), "see 'redoubt vault list'");
  output.result({{"target", target.text()}, {"artifacts", moved}, {"bytes", bytes}}, fmt::format("{} artifacts of {} are back ({} bytes)", moved, target.text(), bytes));
  return 0;
}

}  // namespace

void add_vault_policy_commands(CLI::App& group, Invocation& invocation) {
  auto options = std::make_shared<VaultPolicyOptions>();
  const auto add = [&](CLI::App& parent, const char* name, const char* help, auto body) {
    return add_command(parent, invocation, name, help, [&invocation, options, body](const Output& output) { return body(invocation, *options, output); });
  };
  CLI::App* policy = group.add_subcommand("policy", "How long what is kept, where copies go, when keys are overdue")->require_subcommand(1);
  add(*policy, "set", "Takes the blocks 'vault' and 'keys' of a policy file into the ledger, by an admin", set_policy)->add_option("file", options->file, "such as config/policy.yaml")->required();
  add(*policy, "show", "Those that hold now", show_policy);
  CLI::App* lifecycle = group.add_subcommand("lifecycle", "What the policy's rules ask for")->require_subcommand(1);
  CLI::App* run = add(*lifecycle, "run", "Deletes what has expired and archives what is old enough; what a hold or a release needs stays", run_lifecycle);
  run->add_flag("--dry-run", options->dry_run, "only say what would be done");
  run->add_option("--policy", options->file, "with --dry-run: try out the rules of this file");
  add(group, "unarchive", "Brings archived versions back", unarchive)->add_option("target", options->target, "NAME, NAME@VERSION or sha256:DIGEST")->required();
}

}  // namespace redoubt::cli
