// SPDX-License-Identifier: Apache-2.0
//
// redoubt vault: delete, requests, approve, reject, hold, totp.
#include <fmt/format.h>

#include "base/terminal.h"
#include "cli/commands.h"
#include "cli/vault_data.h"
#include "cli/vault_work.h"
#include "crypto/random.h"

namespace redoubt::cli {
namespace {

using governance::Permission;

struct DeletionOptions {
  std::string target, reason, id, identity;
  bool totp = false, all = false;
};

Result<int> delete_versions(Invocation& invocation, const DeletionOptions& options, const Output& output) {
  const auto target = TRY(custody::parse_target(options.target));
  auto work = TRY(VaultWork::open(invocation, Permission::manage_data));
  const auto versions = TRY(work->versions(target));
  TRY(check_factor(*work, options.totp));
  TRY(custody::may_delete(work->view, work->rules, TRY(work->needs()), versions, work->now()));
  if (!options.totp) return ask_for_approval(*work, "delete", target, versions, options.reason, output);
  Json about = TRY(read_code(*work));
  about.update({{"reason", options.reason}, {"requested_by", work->session->identity()}});
  return carry_out_deletion(*work, target, versions, about, output);
}

Result<int> list_requests(Invocation& invocation, const DeletionOptions& options, const Output& output) {
  const auto work = TRY(VaultWork::look(invocation, Permission::read_audit));
  Json values = Json::array();
  Table table{{"ID", "OPERATION", "TARGET", "BY", "STATE", "EXPIRES", "REASON"}, {}};
  for (const auto& request : work->view.requests()) {
    const std::string state = state_of(request, work->now());
    if (!options.all && state != "open") continue;
    values.push_back({{"request", request.id}, {"operation", request.operation}, {"target", request.target.text()}, {"requested_by", request.by}, {"decided_by", request.decided_by},
                      {"state", state}, {"made", to_rfc3339(request.made)}, {"expires", to_rfc3339(request.expires)}, {"reason", request.reason}});
    table.rows.push_back({request.id, request.operation, request.target.text(), request.by, state, to_rfc3339(request.expires), without_control_characters(request.reason)});
  }
  output.result(values, table.rows.empty() ? "nothing waits for approval" : render(table));
  return 0;
}

// What was asked for, as it was then: a version that was put since is another matter.
Result<std::vector<custody::NamedVersion>> versions_asked_for(VaultWork& work, const custody::Request& request) {
  auto versions = TRY(work.versions(request.target));
  std::erase_if(versions, [&](const custody::NamedVersion& version) { return !request.artifacts.contains(version.artifact) || (!version.name.empty() && version.made > request.made); });
  if (versions.empty()) return fail(ErrorCode::not_found, "what the request is about is gone", request.id, "see 'redoubt vault show'");
  return versions;
}

Result<int> approve(Invocation& invocation, const DeletionOptions& options, const Output& output) {
  auto work = TRY(VaultWork::open(invocation, Permission::approve));
  const auto request = TRY(custody::request_to_decide(work->view, options.id, work->session->identity(), work->now()));
  const Json about = {{"request", request.id}, {"requested_by", request.by}, {"approved_by", work->session->identity()}, {"second_factor", "person"}, {"reason", request.reason}};
  if (request.operation == "erase") return carry_out_erasure(*work, request.target.name, about, "", output);
  return carry_out_deletion(*work, request.target, TRY(versions_asked_for(*work, request)), about, output);
}

Result<int> reject(Invocation& invocation, const DeletionOptions& options, const Output& output) {
  auto work = TRY(VaultWork::open(invocation, Permission::read_audit));
  const auto request = custody::request_to_decide(work->view, options.id, work->session->identity(), work->now());
  // Who asked may take it back; anybody else needs the reviewer's role.
  const bool takes_back = !request && request.error().code == ErrorCode::permission_denied;
  if (!request && !takes_back) return fail(request.error());
  if (!takes_back) TRY(work->session->require(Permission::approve));
  TRY(work->stores.record({{"action", "reject"}, {"request", options.id}, {"reason", options.reason}}));
  output.result({{"request", options.id}, {"state", "rejected"}, {"by", work->session->identity()}}, options.id + " is rejected; nothing was deleted");
  return 0;
}

Result<int> place_hold(Invocation& invocation, const DeletionOptions& options, const Output& output) {
  const auto target = TRY(custody::parse_target(options.target));
  auto work = TRY(VaultWork::open(invocation, Permission::hold_data));
  const auto versions = TRY(work->versions(target));
  const std::string id = work->view.next_id("hold");
  TRY(work->stores.record({{"action", "hold"}, {"hold", id}, {"target", target.text()}, {"reason", options.reason}}));
  // Whoever holds data wants to know what was made of them already.
  Json uses = Json::array();
  std::string told;
  for (const auto& version : versions) {
    for (auto& use : TRY(uses_of(*work->session, version.artifact))) {
      told += fmt::format("\n{} was used by a pipeline at {} (ledger entry {})", version.text(), use["at"].get<std::string>(), use["entry"].get<std::uint64_t>());
      use["version"] = version.text();
      uses.push_back(std::move(use));
    }
  }
  output.result({{"hold", id}, {"target", target.text()}, {"by", work->session->identity()}, {"reason", options.reason}, {"used_by", uses}},
                fmt::format("{}: nothing of {} is deleted, archived or erased until it is released{}", id, target.text(), told));
  return 0;
}

Result<int> release_hold(Invocation& invocation, const DeletionOptions& options, const Output& output) {
  auto work = TRY(VaultWork::open(invocation, Permission::hold_data));
  const auto& holds = work->view.holds();
  const auto found = std::find_if(holds.begin(), holds.end(), [&](const custody::Hold& hold) { return hold.id == options.id; });
  if (found == holds.end()) return fail(ErrorCode::not_found, "there is no such hold", options.id, "see 'redoubt vault hold list'");
  if (found->released) return fail(ErrorCode::already_exists, "the hold was released already, by " + found->released_by, options.id);
  TRY(work->stores.record({{"action", "release"}, {"hold", options.id}, {"reason", options.reason}}));
  output.result({{"hold", options.id}, {"released", true}, {"by", work->session->identity()}}, options.id + " is released");
  return 0;
}

Result<int> list_holds(Invocation& invocation, const DeletionOptions& options, const Output& output) {
  const auto work = TRY(VaultWork::look(invocation, Permission::read_audit));
  Json values = Json::array();
  Table table{{"ID", "TARGET", "BY", "PLACED", "RELEASED", "REASON"}, {}};
  for (const auto& hold : work->view.holds()) {
    if (hold.released && !options.all) continue;
    values.push_back({{"hold", hold.id}, {"target", hold.target.text()}, {"by", hold.by}, {"placed", to_rfc3339(hold.placed)}, {"reason", hold.reason},
                      {"released", hold.released ? Json(to_rfc3339(*hold.released)) : Json()}, {"released_by", hold.released_by}, {"release_reason", hold.release_reason}});
    table.rows.push_back({hold.id, hold.target.text(), hold.by, to_rfc3339(hold.placed), hold.released ? to_rfc3339(*hold.released) : "-", without_control_characters(hold.reason)});
  }
  output.result(values, table.rows.empty() ? "no holds" : render(table));
  return 0;
}

bool is_enrolled(const custody::View& view, const std::string& identity) {
  const auto found = view.enrolments().find(identity);
  return found != view.enrolments().end() && found->second.enrolled != TimePoint{};
}

Result<int> enrol(Invocation& invocation, const DeletionOptions&, const Output& output) {
  auto work = TRY(VaultWork::open(invocation, Permission::manage_data));
  const std::string identity = work->session->identity();
  // Else a stolen key file would be worth a second factor too.
  if (is_enrolled(work->view, identity)) return fail(ErrorCode::permission_denied, "this identity has one-time codes already", identity, "an admin takes them away: redoubt --as admin vault totp reset " + identity);
  const Secret secret = crypto::random_secret(crypto::kTotpSecretBytes);
  TRY(work->session->record_change(custody::kVaultStep, [&]() -> Result<Json> {
    TRY(TRY(work->session->workspace().state_file("totp-" + identity)).write_json({{"secret", to_base64(secret.reveal(SecretAccess::for_storage()))}}));
    return Json{{"action", "totp-enrol"}};
  }));
  const Secret uri = crypto::otpauth_uri(secret, "Redoubt", identity + "@" + work->session->workspace().id().substr(0, 8));
  const std::string text = to_text(uri.reveal(SecretAccess::for_user()));
  output.say("redoubt: this is shown once; give it to your authenticator, and keep it nowhere else");
  output.result({{"identity", identity}, {"uri", text}, {"algorithm", "SHA1"}, {"digits", 6}, {"period", 30}}, text);
  return 0;
}

Result<int> totp_status(Invocation& invocation, const DeletionOptions&, const Output& output) {
  const auto work = TRY(VaultWork::look(invocation, Permission::read_audit));
  Json values = Json::array();
  Table table{{"IDENTITY", "ENROLLED", "WRONG CODES"}, {}};
  for (const auto& [identity, enrolment] : work->view.enrolments()) {
    if (!is_enrolled(work->view, identity)) continue;
    values.push_back({{"identity", identity}, {"enrolled", to_rfc3339(enrolment.enrolled)}, {"wrong_codes", enrolment.refused.size()}});
    table.rows.push_back({identity, to_rfc3339(enrolment.enrolled), std::to_string(enrolment.refused.size())});
  }
  output.result(values, table.rows.empty() ? "nobody has one-time codes: redoubt vault totp enrol" : render(table));
  return 0;
}

Result<int> totp_reset(Invocation& invocation, const DeletionOptions& options, const Output& output) {
  auto work = TRY(VaultWork::open(invocation, Permission::manage_identities));
  if (options.identity == work->session->identity()) return fail(ErrorCode::permission_denied, "nobody takes away a second factor of their own", options.identity, "another admin has to");
  if (!is_enrolled(work->view, options.identity)) return fail(ErrorCode::not_found, "this identity has no one-time codes", options.identity, "see 'redoubt vault totp status'");
  TRY(work->session->record_change(custody::kVaultStep, [&]() -> Result<Json> {
    TRY(TRY(work->session->workspace().state_file("totp-" + options.identity)).write_json({{"secret", ""}}));
    return Json{{"action", "totp-reset"}, {"name", options.identity}};
  }));
  output.result({{"identity", options.identity}, {"reset", true}}, options.identity + " has no one-time codes any more and may enrol again");
  return 0;
}

}  // namespace

void add_vault_deletion_commands(CLI::App& group, Invocation& invocation) {
  auto options = std::make_shared<DeletionOptions>();
  const auto add = [&](CLI::App& parent, const char* name, const char* help, auto body) {
    return add_command(parent, invocation, name, help, [&invocation, options, body](const Output& output) { return body(invocation, *options, output); });
  };
  CLI::App* delete_command = add(group, "delete", "Deletes versions for ever, with a one-time code or after another person's approval (exit status 6 until then)", delete_versions);
  delete_command->add_option("target", options->target, "NAME (all versions), NAME@VERSION or sha256:DIGEST")->required();
  delete_command->add_option("--reason", options->reason, "why, for the auditor")->required();
  delete_command->add_flag("--totp", options->totp, "with a one-time code, read from stdin or the terminal");
  add(group, "requests", "What waits for another person", list_requests)->add_flag("--all", options->all, "decided and expired ones too");
  add(group, "approve", "Carries out what somebody else asked for", approve)->add_option("request", options->id, "such as request-1")->required();
  CLI::App* reject_command = add(group, "reject", "Ends a request: a reviewer's no, or taken back by who asked", reject);
  reject_command->add_option("request", options->id, "such as request-1")->required();
  reject_command->add_option("--reason", options->reason, "why, for the auditor")->required();
  CLI::App* hold = group.add_subcommand("hold", "Legal holds: they beat every deletion, rule and erasure")->require_subcommand(1);
  CLI::App* place = add(*hold, "place", "Nothing of the target goes until the hold is released", place_hold);
  place->add_option("target", options->target, "NAME (its later versions too), NAME@VERSION or sha256:DIGEST")->required();
  place->add_option("--reason", options->reason, "why, for the auditor")->required();
  CLI::App* release = add(*hold, "release", "Ends a hold", release_hold);
  release->add_option("hold", options->id, "such as hold-1")->required();
  release->add_option("--reason", options->reason, "why, for the auditor")->required();
  add(*hold, "list", "Holds that stand", list_holds)->add_flag("--all", options->all, "released ones too");
  CLI::App* totp = group.add_subcommand("totp", "One-time codes (RFC 6238) as a second factor")->require_subcommand(1);
  add(*totp, "enrol", "Makes a secret for the acting identity and shows its otpauth URI once", enrol)->alias("enroll");
  add(*totp, "status", "Who has one-time codes", totp_status);
  add(*totp, "reset", "Takes an identity's codes away, by an admin", totp_reset)->add_option("identity", options->identity, "whose")->required();
}

}  // namespace redoubt::cli
