// SPDX-License-Identifier: Apache-2.0
//
// redoubt vault: replicate, recover.
#include <fmt/format.h>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/vault_work.h"
#include "custody/replica.h"

namespace redoubt::cli {
namespace {

using governance::Permission;

struct ReplicaOptions {
  std::string store;
  bool check = false, deep = false;
};

Result<provider::ObjectStore*> store_of(VaultWork& work, const std::string& given, bool make) {
  const std::string uri = given.empty() ? work.rules.replica : given;
  if (uri.empty()) return fail(ErrorCode::invalid_argument, "no second store is named", "policy: vault.replica", "name one with --to or --from, or in the policy: redoubt vault policy set");
  if (make && !given.empty() && uri.starts_with("file:/")) TRY(make_folder(uri.substr(5)));
  return work.session->providers().store_at(uri);
}

Json differences_json(const custody::ReplicaDifferences& found) {
  return {{"in_sync", found.in_sync()}, {"objects", found.objects}, {"missing", found.missing}, {"stale", found.stale}, {"deleted", found.deleted}, {"differing", found.differing}, {"unknown", found.unknown}};
}

Result<int> check_replica(VaultWork& work, provider::ObjectStore& replica, const ReplicaOptions& options, Progress& progress, const Output& output) {
  const auto found = TRY(custody::compare_replica(work.session->providers().first_objects(), replica, work.view, {options.deep}, progress));
  Table table{{"DIFFERENCE", "OBJECTS", "FIRST"}, {}};
  const auto add = [&](const char* what, const std::vector<std::string>& keys) {
    if (!keys.empty()) table.rows.push_back({what, std::to_string(keys.size()), keys.front()});
  };
  add("missing there", found.missing);
  add("wrapped by an older key there", found.stale);
  add("deleted here", found.deleted);
  add("another object there", found.differing);
  add("unknown here", found.unknown);
  output.result(differences_json(found), found.in_sync() ? fmt::format("in sync: {} objects", found.objects) : render(table));
  if (!found.differing.empty()) return exit_code_of(ErrorCode::tampered);
  return found.in_sync() ? 0 : 1;
}

Result<int> replicate(Invocation& invocation, const ReplicaOptions& options, const Output& output) {
  auto work = TRY(options.check ? VaultWork::look(invocation, Permission::read_audit) : VaultWork::open(invocation, Permission::manage_data));
  auto* replica = TRY(store_of(*work, options.store, !options.check));
  if (options.check) return check_replica(*work, *replica, options, invocation.progress, output);
  const auto done = TRY(custody::replicate(work->session->providers().first_objects(), *replica, work->view, invocation.progress));
  const bool keys = TRY(copy_own_keys(*work, *replica));
  if (done.copied + done.rewrapped + done.removed > 0) {
    TRY(work->stores.record({{"action", "replicate"}, {"copied", done.copied}, {"bytes", done.bytes}, {"rewrapped", done.rewrapped}, {"removed", done.removed}}));
  }
  output.result({{"copied", done.copied}, {"bytes", done.bytes}, {"rewrapped", done.rewrapped}, {"removed", done.removed}, {"own_keys", keys}},
                fmt::format("{} objects copied ({} bytes), {} wrapped anew, {} removed there", done.copied, done.bytes, done.rewrapped, done.removed));
  return 0;
}

// The replica's keyring of own keys where ours is lost; a key that the ledger knows to be destroyed is destroyed in it at once.
Result<bool> recover_own_keys(VaultWork& work, provider::ObjectStore& replica) {
  auto& workspace = work.session->workspace();
  if (is_there(workspace.own_keyring())) return false;
  const auto there = replica.open(kOwnKeysObject);
  if (!there) return there.error().code == ErrorCode::not_found ? Result<bool>(false) : fail(there.error());
  RandomAccessSource source(**there);
  TRY(write_file(workspace.own_keyring(), TRY(read_all(source, 16 << 20))));
  auto* keys = TRY(workspace.own_keys());
  for (const auto& [id, key] : work.view.own_keys()) {
    if (key.erasing && TRY(keys->versions()).contains(id)) TRY(keys->destroy_key(key.uri));
  }
  return true;
}

// What does not verify here, with its place's prefix.
Result<std::vector<std::string>> damaged_objects(VaultWork& work) {
  std::vector<std::string> damaged;
  std::vector<custody::Place> places = {{}};
  for (const auto& [id, key] : work.view.own_keys()) {
    if (!key.erasing) places.push_back({id});
  }
  for (const auto& place : places) {
    for (const auto& damage : TRY(TRY(work.stores.artifacts(custody::kObjects, place))->verify_all())) {
      if (damage.error.code == ErrorCode::tampered) damaged.push_back(place.prefix() + damage.object);
      else return fail(damage.error);
    }
  }
  return damaged;
}

Result<int> recover(Invocation& invocation, const ReplicaOptions& options, const Output& output) {
  auto work = TRY(VaultWork::open(invocation, Permission::manage_data));
  auto* replica = TRY(store_of(*work, options.store, false));
  const bool keys = TRY(recover_own_keys(*work, *replica));
  const auto damaged = TRY(damaged_objects(*work));
  // Where the archive is away nobody knows what it has, so that all comes back.
  const auto archived = [&] { return custody::archived_objects(work->stores, work->view).value_or(std::set<std::string>()); };
  auto kept = archived();
  auto done = TRY(custody::recover(work->session->providers().first_objects(), *replica, work->view, damaged, invocation.progress, kept));
  // A manifest that came back may name what the archive has, too.
  if (auto still_kept = archived(); still_kept != kept) {
    const auto more = TRY(custody::recover(work->session->providers().first_objects(), *replica, work->view, {}, invocation.progress, still_kept));
    done.copied += more.copied;
    done.bytes += more.bytes;
  }
  const auto still = TRY(damaged_objects(*work));
  TRY(work->stores.record({{"action", "recover"}, {"copied", done.copied}, {"bytes", done.bytes}, {"damaged", done.damaged.size()}, {"still_damaged", still.size()}}));
  output.result({{"copied", done.copied}, {"bytes", done.bytes}, {"replaced", done.damaged}, {"own_keys", keys}, {"still_damaged", still}},
                fmt::format("{} objects came back ({} bytes), {} of them in place of damaged ones{}", done.copied, done.bytes, done.damaged.size(), still.empty() ? "; all verify" : ""));
  if (still.empty()) return 0;
  output.say(fmt::format("redoubt: {} objects do not verify, such as {}: the replica has no good copy of them", still.size(), still.front()));
  return exit_code_of(ErrorCode::tampered);
}

}  // namespace

void add_vault_replica_commands(CLI::App& group, Invocation& invocation) {
  auto options = std::make_shared<ReplicaOptions>();
  CLI::App* replicate_command = add_command(group, invocation, "replicate", "Copies sealed objects as they are into a second store, and takes away there what was deleted here",
                                            [&invocation, options](const Output& output) { return replicate(invocation, *options, output); });
  replicate_command->add_option("--to", options->store, "file:/FOLDER or s3://BUCKET/PREFIX?kms_key=KEY (default: the policy's)");
  replicate_command->add_flag("--check", options->check, "only say what differs; exit status 1 when it lags, 4 when an object is another one there");
  replicate_command->add_flag("--deep", options->deep, "with --check: compare every byte of both");
  CLI::App* recover_command = add_command(group, invocation, "recover", "Brings back from the second store what is lost or damaged here",
                                          [&invocation, options](const Output& output) { return recover(invocation, *options, output); });
  recover_command->add_option("--from", options->store, "file:/FOLDER or s3://BUCKET/PREFIX?kms_key=KEY (default: the policy's)");
}

}  // namespace redoubt::cli
