// SPDX-License-Identifier: Apache-2.0
//
// redoubt vault: put, list, show, get, restore, access-log. The rest of the group stands in files of its own.
#include <fmt/format.h>

#include "base/file.h"
#include "base/terminal.h"
#include "cli/commands.h"
#include "cli/vault_data.h"
#include "cli/vault_work.h"
#include "crypto/random.h"

namespace redoubt::cli {
namespace {

namespace fs = std::filesystem;
using custody::NamedVersion;
using custody::Target;
using governance::Permission;

struct VaultOptions {
  std::string target, path, artifact, kind = "data", note, folder, object, identity, since, until;
  bool own_key = false, all = false;
  std::uint64_t limit = 100;
};

// The place that a name's versions lie in: that of its living key, of a new one where that is asked for, or the workspace's.
Result<custody::Place> place_for(VaultWork& work, const std::string& name, bool own_key) {
  for (const auto& [id, key] : work.view.own_keys()) {
    if (key.name == name && !key.erasing) return custody::Place{id};
  }
  if (!own_key) return custody::Place{};
  if (!work.view.versions_of(Target{name, 0, {}}).empty()) {
    return fail(ErrorCode::invalid_argument, "this name has versions under the workspace's key already", name, "put it under another name, or delete those versions first");
  }
  const custody::Place place{to_hex(crypto::random_bytes(8))};
  const std::string uri = work.session->providers().own_key_uri(place.own_key);
  // The key first: one that the ledger does not know yet is nobody's.
  TRY(TRY(work.session->providers().keeper_of(uri))->create_key(uri));
  TRY(work.stores.record({{"action", "key"}, {"key", place.own_key}, {"uri", uri}, {"name", name}}));
  TRY(work.refresh());
  return place;
}

Result<Digest> import_path(vault::ArtifactStore& store, const fs::path& path, const std::string& kind) {
  if (is_folder(path)) return store.import_folder(path, kind);
  const auto file = TRY(FileReader::open_regular(path));
  const Digest digest = TRY(store.put_blob(static_cast<const RandomAccess&>(*file)));
  return store.put_manifest({kind, {{path.filename().string(), file->size(), digest}}});
}

Result<NamedVersion> record_version(VaultWork& work, const std::string& name, const custody::Place& place, const Digest& artifact, const VaultOptions& options, std::uint64_t restored_from) {
  const auto manifest = TRY(TRY(work.artifacts(place))->manifest(artifact));
  std::uint64_t bytes = 0;
  for (const auto& file : manifest.files) bytes += file.size;
  Json event = {{"action", "put"}, {"name", name}, {"version", work.view.next_number(name)}, {"artifact", artifact.tagged()}, {"kind", manifest.kind}, {"files", manifest.files.size()}, {"bytes", bytes}};
  if (!place.own_key.empty()) event["key"] = place.own_key;
  if (!options.note.empty()) event["comment"] = options.note;
  if (restored_from > 0) event["restored_from"] = restored_from;
  TRY(work.stores.record(event));
  TRY(work.refresh());
  return work.view.find(Target{name, event["version"].get<std::uint64_t>(), {}});
}

Result<int> put_version(Invocation& invocation, const VaultOptions& options, const Output& output) {
  const auto target = TRY(custody::parse_target(options.target));
  if (target.name.empty() || target.number != 0) return fail(ErrorCode::invalid_argument, "not a name", options.target, "write a name without a version; the vault counts them");
  if (options.path.empty() == options.artifact.empty()) return fail(ErrorCode::invalid_argument, "what to put is not named", options.target, "name a file or folder, or --artifact DIGEST of what is in the vault");
  auto work = TRY(VaultWork::open(invocation, Permission::run_pipeline));
  const auto place = TRY(place_for(*work, target.name, options.own_key));
  if (!options.artifact.empty() && !place.own_key.empty()) {
    return fail(ErrorCode::invalid_argument, "an artifact of the vault is sealed already, and not under a key of its own", options.artifact, "export it, and put its files");
  }
  auto* store = TRY(work->artifacts(place));
  const Digest artifact = options.artifact.empty() ? TRY(import_path(*store, options.path, options.kind)) : TRY(Digest::parse(options.artifact));
  if (!options.artifact.empty()) (void)TRY(store->manifest(artifact));
  // Its new version lies here, which nothing is written for.
  if (NamedVersion archived; !options.artifact.empty() && work->view.archived().contains({place, artifact})) {
    archived.place = place;
    archived.artifact = artifact;
    TRY(custody::unarchive(work->stores, archived));
  }
  const auto version = TRY(record_version(*work, target.name, place, artifact, options, 0));
  if (auto* replica = work->rules.replicate_on_write && !place.own_key.empty() ? replica_of(*work).value_or(nullptr) : nullptr) {
    if (auto copied = copy_own_keys(*work, *replica); !copied) output.say("redoubt: the replica did not get the keyring of own keys: " + copied.error().message);
  }
  output.result(to_json(version), fmt::format("{} is {} ({} files, {} bytes){}", version.text(), version.artifact.tagged(), version.files, version.bytes, place.own_key.empty() ? "" : ", under a key of its own"));
  return 0;
}

Result<int> list_names(Invocation& invocation, const VaultOptions& options, const Output& output) {
  const auto work = TRY(VaultWork::look(invocation, Permission::read_audit));
  Json values = Json::array();
  Table table{{"NAME", "VERSION", "KIND", "BYTES", "CREATED", "BY", "STATE", "DIGEST"}, {}};
  for (const auto& [name, versions] : work->view.names()) {
    const auto newest = work->view.find(Target{name, 0, {}});
    for (const auto& version : versions) {
      if (!options.all && !(newest && newest->number == version.number)) continue;
      Json value = to_json(version);
      const bool archived = work->view.archived().contains({version.place, version.artifact}) && version.fate == custody::VersionFate::kept;
      value["archived"] = archived;
      value["held"] = !work->view.held(version).empty();
      values.push_back(value);
      table.rows.push_back({name, std::to_string(version.number), version.kind, std::to_string(version.bytes), to_rfc3339(version.made), version.by, archived ? "archived" : to_string(version.fate),
                            version.artifact.hex().substr(0, 12)});
    }
  }
  output.result(values, table.rows.empty() ? "the vault has no names yet: redoubt vault put NAME FILE" : render(table));
  return 0;
}

// What the rules say about a version, and what stands against its deletion.
Json rules_json(VaultWork& work, const NamedVersion& version, const custody::Needs& needs) {
  Json json = {{"hold", nullptr}, {"keep_until", nullptr}, {"expires", nullptr}, {"archived", work.view.archived().contains({version.place, version.artifact})}, {"needed_by", nullptr}};
  if (const auto hold = work.view.held(version); !hold.empty()) json["hold"] = hold;
  if (const auto need = needs.why(version.artifact); !need.empty()) json["needed_by"] = need;
  const auto* rule = work.rules.rule_of(version);
  if (rule != nullptr && rule->keep_at_least) json["keep_until"] = to_rfc3339(version.made + *rule->keep_at_least);
  if (rule != nullptr && rule->expire_after) json["expires"] = to_rfc3339(version.made + *rule->expire_after);
  return json;
}

Result<int> show_versions(Invocation& invocation, const VaultOptions& options, const Output& output) {
  const auto target = TRY(custody::parse_target(options.target));
  const auto work = TRY(VaultWork::look(invocation, Permission::read_audit));
  const auto found = TRY(target.name.empty() || target.number > 0 ? work->view.find(target) : work->view.find(Target{target.name, work->view.next_number(target.name) - 1, {}}));
  const auto needs = TRY(work->needs());
  Json versions = Json::array();
  Table table{{"VERSION", "CREATED", "BY", "BYTES", "STATE", "DIGEST", "NOTE"}, {}};
  for (const auto& version : work->view.names().at(found.name)) {
    if (target.number > 0 && version.number != target.number) continue;
    Json value = to_json(version);
    value.update(rules_json(*work, version, needs));
    value["used_by"] = TRY(uses_of(*work->session, version.artifact));
    versions.push_back(value);
    table.rows.push_back({std::to_string(version.number), to_rfc3339(version.made), version.by, std::to_string(version.bytes), value["hold"].is_string() ? "held" : value["archived"] == true ? "archived" : to_string(version.fate),
                          version.artifact.hex().substr(0, 12), without_control_characters(version.note)});
  }
  output.result({{"name", found.name}, {"versions", versions}}, found.name + "\n" + render(table));
  return 0;
}

Result<int> get_version(Invocation& invocation, const VaultOptions& options, const Output& output) {
  const auto target = TRY(custody::parse_target(options.target));
  const auto work = TRY(VaultWork::look(invocation, Permission::run_pipeline));
  const auto version = TRY(work->versions(target)).back();
  const fs::path folder = options.folder;
  if (is_there(folder) && (!is_folder(folder) || !TRY(list_folder(folder)).empty())) return fail(ErrorCode::already_exists, "the folder is not empty", folder.string(), "name a new folder");
  auto* store = TRY(work->artifacts(version.place));
  (void)TRY(store->manifest(version.artifact));
  Json event = {{"action", "get"}, {"artifact", version.artifact.tagged()}};
  if (!version.name.empty()) event.update({{"name", version.name}, {"version", version.number}});
  TRY(work->stores.record(event));
  TRY(store->export_folder(version.artifact, folder));
  Json value = to_json(version);
  value["folder"] = fs::absolute(folder).string();
  output.result(value, fmt::format("{}: {} files in {}, in clear", version.text(), version.files, folder.string()));
  return 0;
}

Result<int> restore_version(Invocation& invocation, const VaultOptions& options, const Output& output) {
  const auto target = TRY(custody::parse_target(options.target));
  if (target.name.empty() || target.number == 0) return fail(ErrorCode::invalid_argument, "no version is named", options.target, "write NAME@VERSION");
  auto work = TRY(VaultWork::open(invocation, Permission::run_pipeline));
  const auto version = TRY(work->versions(target)).front();
  if (const auto newest = TRY(work->view.find(Target{target.name, 0, {}})); newest.number == version.number) return fail(ErrorCode::already_exists, "this version is the newest", version.text());
  TRY(TRY(work->artifacts(version.place))->verify(version.artifact));
  VaultOptions again = options;
  again.note = version.note;
  const auto made = TRY(record_version(*work, version.name, version.place, version.artifact, again, version.number));
  output.result(to_json(made), fmt::format("{} is what {} was", made.text(), version.text()));
  return 0;
}

Result<TimePoint> parse_time(const std::string& text, const char* option, TimePoint fallback) {
  if (text.empty()) return fallback;
  auto time = parse_rfc3339(text.size() == 10 ? text + "T00:00:00Z" : text);
  if (!time) return fail(ErrorCode::invalid_argument, "not a time: " + text.substr(0, 40), option, "write it as 2026-01-31 or 2026-01-31T08:00:00Z");
  return time;
}

// The objects that a question is about: a name's or an artifact's files, or one object by its digest.
Result<std::set<std::string>> objects_asked_about(VaultWork& work, const std::string& object) {
  const auto target = TRY(custody::parse_target(object));
  std::set<std::string> keys;
  const auto add = [&](const custody::Place& place, const Digest& artifact) {
    keys.insert(place.prefix() + "manifests/" + artifact.hex());
    const auto store = work.artifacts(place);
    const auto manifest = store ? (*store)->manifest(artifact) : Result<vault::Manifest>(fail(store.error()));
    for (const auto& file : manifest ? manifest->files : std::vector<vault::ArtifactFile>{}) keys.insert(place.prefix() + "blobs/" + file.sha256.hex());
  };
  if (target.name.empty()) {
    keys.insert("blobs/" + target.artifact.hex());
    for (const auto& [id, key] : work.view.own_keys()) keys.insert(custody::Place{id}.prefix() + "blobs/" + target.artifact.hex());
    add({}, target.artifact);
  }
  const auto versions = target.name.empty() ? work.view.versions_of(target) : TRY(work.versions(target));
  for (const auto& version : versions) add(version.place, version.artifact);
  return keys;
}

Result<int> access_log(Invocation& invocation, const VaultOptions& options, const Output& output) {
  const auto work = TRY(VaultWork::look(invocation, Permission::read_audit));
  const auto since = TRY(parse_time(options.since, "--since", TimePoint::min())), until = TRY(parse_time(options.until, "--until", TimePoint::max()));
  const auto objects = options.object.empty() ? std::set<std::string>() : TRY(objects_asked_about(*work, options.object));
  std::vector<custody::Access> found;
  TRY(work->session->access_log().for_each([&](const custody::Access& access) {
    if (!options.identity.empty() && access.identity != options.identity) return;
    if (access.time < since || access.time > until || (!options.object.empty() && !objects.contains(access.object))) return;
    found.push_back(access);
    if (found.size() > 2 * options.limit) found.erase(found.begin(), found.end() - static_cast<std::ptrdiff_t>(options.limit));
  }));
  Json values = Json::array();
  Table table{{"TIME", "IDENTITY", "COMMAND", "BYTES", "OBJECT"}, {}};
  for (auto access = found.rbegin(); access != found.rend() && values.size() < options.limit; ++access) {
    values.push_back({{"number", access->number}, {"time", to_rfc3339(access->time)}, {"identity", access->identity}, {"command", access->command}, {"object", access->object}, {"bytes", access->bytes}});
    table.rows.push_back({to_rfc3339(access->time), access->identity, access->command, std::to_string(access->bytes), access->object});
  }
  output.result(values, table.rows.empty() ? "nobody read it" : render(table));
  return 0;
}

}  // namespace

void add_vault_commands(CLI::App& app, Invocation& invocation) {
  CLI::App* group = app.add_subcommand("vault", "Datasets and models under names: versions, holds, retention, deletion, replicas, erasure")->require_subcommand(1);
  auto options = std::make_shared<VaultOptions>();
  const auto add = [&](const char* name, const char* help, auto body) {
    return add_command(*group, invocation, name, help, [&invocation, options, body](const Output& output) { return body(invocation, *options, output); });
  };
  CLI::App* put_command = add("put", "Stores a file or folder as the newest version of a name", put_version);
  put_command->add_option("name", options->target, "letters, digits, '.', '_' and '-' in parts joined by '/'")->required();
  put_command->add_option("path", options->path, "a file, or a folder with everything below it");
  put_command->add_option("--artifact", options->artifact, "instead of a path: the digest of an artifact that the vault has, such as a model that a run acquired");
  put_command->add_option("--kind", options->kind, "data (default), model, adapter, ...: what the policy's rules go by");
  put_command->add_option("--note", options->note, "a line about it");
  put_command->add_flag("--own-key", options->own_key, "seal it under a key of its own, so that 'vault erase' can destroy it everywhere");
  add("list", "Names with their newest version", list_names)->add_flag("--all", options->all, "every version, those that are gone too");
  add("show", "A name's versions, and what the rules say about each", show_versions)->add_option("target", options->target, "NAME, NAME@VERSION or sha256:DIGEST")->required();
  CLI::App* get_command = add("get", "Writes a version's files in clear into a new folder", get_version);
  get_command->add_option("target", options->target, "NAME, NAME@VERSION or sha256:DIGEST")->required();
  get_command->add_option("-o,--output", options->folder, "a new folder")->required();
  add("restore", "Makes an earlier version the newest again", restore_version)->add_option("target", options->target, "NAME@VERSION")->required();
  add_vault_deletion_commands(*group, invocation);
  add_vault_policy_commands(*group, invocation);
  add_vault_replica_commands(*group, invocation);
  add_vault_erasure_commands(*group, invocation);
  CLI::App* accesses = add("access-log", "Who read what in clear, newest first", access_log);
  accesses->add_option("--object", options->object, "only this: NAME, NAME@VERSION or sha256:DIGEST of an artifact or a file");
  accesses->add_option("--identity", options->identity, "only this identity's reads");
  accesses->add_option("--since", options->since, "from then on: 2026-01-31 or 2026-01-31T08:00:00Z");
  accesses->add_option("--until", options->until, "until then");
  accesses->add_option("--limit", options->limit, "at most so many")->check(CLI::Range(1, 100000));
}

}  // namespace redoubt::cli
