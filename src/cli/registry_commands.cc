// SPDX-License-Identifier: Apache-2.0
//
// redoubt registry: list, show, approve, reject, revoke, outside, adopt, restore, card, answers, lineage, export, rebuild.
#include <fmt/format.h>

#include <sstream>

#include "base/file.h"
#include "base/terminal.h"
#include "cli/commands.h"
#include "cli/session.h"
#include "governance/registry_view.h"
#include "stages/publish/review.h"

namespace redoubt::cli {
namespace {

using provider::ModelVersion;

constexpr std::uint64_t kGenerationsBytesMax = 64 << 20;

Json version_json(const ModelVersion& version) {
  return {{"name", version.name}, {"version", version.version}, {"digest", version.digest}, {"state", provider::to_string(version.state)},
          {"metrics", version.metrics}, {"created", version.created}, {"created_by", version.created_by},
          {"statement", version.statement}, {"reason", version.reason}};
}

std::string metric_text(const ModelVersion& version, const char* metric) {
  const auto value = json_number(version.metrics, metric, "metrics");
  return value ? fmt::format("{:.3f}", *value) : "-";
}

Result<int> list_versions(Invocation& invocation, const Output& output) {
  auto session = TRY(Session::open(invocation.global));
  Json values = Json::array();
  Table table{{"NAME", "VERSION", "STATE", "EVAL LOSS", "PERPLEXITY", "CREATED", "DIGEST"}, {}};
  for (const auto& version : TRY(TRY(session->registry())->list())) {
    values.push_back(version_json(version));
    table.rows.push_back({version.name, version.version, provider::to_string(version.state), metric_text(version, "eval_loss"),
                          metric_text(version, "perplexity"), version.created, version.digest.substr(0, 19)});
  }
  output.result(values, table.rows.empty() ? "no versions yet; 'redoubt run PIPELINE.yaml' registers one" : render(table));
  return 0;
}

struct VersionTarget {
  std::string version;
  std::string reason;
  std::string folder;
};

Result<ModelVersion> find(Session& session, const VersionTarget& target) {
  const auto name = TRY(governance::parse_version_name(target.version));
  return TRY(session.registry())->get(name.name, name.version);
}

Result<governance::RegisteredVersion> registered(Session& session, const ModelVersion& version) {
  auto recorder = TRY(session.recorder());
  return recorder->load<governance::RegisterStep>(TRY(Digest::parse(version.statement)));
}

Result<std::string> card_text(Session& session, const ModelVersion& version, const std::string& file_name) {
  const Digest card = TRY(TRY(registered(session, version)).output("card"));
  for (const auto& file : TRY(session.store().manifest(card)).files) {
    if (file.path != file_name) continue;
    const auto blob = TRY(session.store().open_blob(file.sha256));
    RandomAccessSource source(*blob);
    return to_text(TRY(read_all(source, 1 << 20)));
  }
  return fail(ErrorCode::not_found, "the version has no " + file_name, version.name + "/" + version.version);
}

Result<int> show_version(Invocation& invocation, const VersionTarget& target, const Output& output) {
  auto session = TRY(Session::open(invocation.global));
  const auto version = TRY(find(*session, target));
  output.result(version_json(version), version_json(version).dump(2));
  return 0;
}

Result<int> card(Invocation& invocation, const VersionTarget& target, const Output& output) {
  auto session = TRY(Session::open(invocation.global));
  const auto version = TRY(find(*session, target));
  const auto json = output.json() ? TRY(parse_json(TRY(card_text(*session, version, "card.json")), "card.json")) : Json();
  output.result(json, output.json() ? "" : TRY(card_text(*session, version, "card.md")));
  return 0;
}

// The rows that a model answered by itself in an evaluation, by their index.
Result<std::map<std::int64_t, Json>> generations_of(Session& session, const Digest& evaluation) {
  std::map<std::int64_t, Json> rows;
  for (const auto& file : TRY(session.store().manifest(evaluation)).files) {
    if (file.path != "generations.jsonl") continue;
    std::istringstream lines(to_text(TRY(session.store().read_blob(file.sha256, kGenerationsBytesMax))));
    for (std::string line; std::getline(lines, line);) {
      auto row = TRY(parse_json(line, file.path));
      const auto index = TRY(json_integer(row, "index", file.path));
      rows.emplace(index, std::move(row));
    }
  }
  return rows;
}

// For whoever decides: what the base and the tuned model answered to rows that no trainer saw, side by side.
Result<int> answers(Invocation& invocation, const VersionTarget& target, const Output& output) {
  auto session = TRY(Session::open(invocation.global));
  if (!session->require(governance::Permission::approve)) TRY(session->require(governance::Permission::run_pipeline));
  const auto version = TRY(find(*session, target));
  const auto registration = TRY(registered(*session, version));
  const auto named = registration.record().inputs.find("statement:evaluate");
  if (named == registration.record().inputs.end()) return fail(ErrorCode::tampered, "the register statement names no evaluation", registration.statement().tagged());
  const auto evaluation = TRY(TRY(session->recorder())->load<governance::EvaluateStep>(named->second));
  const auto tuned = TRY(generations_of(*session, TRY(evaluation.output("evaluation"))));
  auto base = TRY(generations_of(*session, TRY(evaluation.output("base_evaluation"))));
  if (tuned.empty()) return fail(ErrorCode::not_found, "no row was answered by the models themselves in this version's evaluation", target.version, "say how many in the pipeline file: evaluate.generations");
  Json values = Json::array();
  std::string text;
  for (const auto& [index, row] : tuned) {
    values.push_back({{"index", index}, {"prompt", json_or(row, "prompt", "")}, {"expected", json_or(row, "expected", "")}, {"base", json_or(base[index], "generated", "")}, {"tuned", json_or(row, "generated", "")}});
    for (const char* part : {"prompt", "expected", "base", "tuned"}) text += fmt::format("{}: {}\n", part, values.back()[part].get<std::string>());
    text += "\n";
  }
  output.result(values, text);
  return 0;
}

Result<int> lineage(Invocation& invocation, const VersionTarget& target, const Output& output) {
  auto session = TRY(Session::open(invocation.global));
  const auto version = TRY(find(*session, target));
  const auto registration = TRY(registered(*session, version));
  Json steps = Json::array();
  Table table{{"STEP", "BY", "FINISHED", "STATEMENT", "OUTPUT", "DIGEST"}, {}};
  const auto add = [&](const attest::StepRecord& record, const Digest& statement) {
    Json outputs = Json::object(), inputs = Json::object();
    for (const auto& [name, digest] : record.inputs) {
      if (name.starts_with("statement:")) continue;
      inputs[name] = digest.tagged();
      if (name == "vault") table.rows.push_back({record.step, record.identity, to_rfc3339(record.finished), statement.hex().substr(0, 12), "(from) vault", digest.hex().substr(0, 12)});
    }
    for (const auto& [name, digest] : record.outputs) {
      outputs[name] = digest.tagged();
      table.rows.push_back({record.step, record.identity, to_rfc3339(record.finished), statement.hex().substr(0, 12), name, digest.hex().substr(0, 12)});
    }
    steps.push_back({{"step", record.step}, {"identity", record.identity}, {"finished", to_rfc3339(record.finished)}, {"statement", statement.tagged()}, {"inputs", inputs}, {"outputs", outputs}});
  };
  for (const auto& [name, statement] : registration.record().inputs) {
    const auto evidence = TRY(session->evidence().find(statement));
    add(TRY(attest::to_step_record(evidence.statement)), statement);
  }
  add(registration.record(), registration.statement());
  output.result(steps, render(table));
  return 0;
}

// Everywhere, whatever fails on the way; then the first failure, for the ledger says already that nobody may serve it.
Status withdraw(Session& session, const provider::ModelVersion& version) {
  auto* host = TRY(session.endpoint_host());
  Status first;
  for (const char* environment : {"dev", "staging", "production"}) {
    auto done = host->withdraw(environment, version.name, version.version);
    if (done || !first) continue;
    first = fail(done.error().code, fmt::format("the version is revoked, but may still be served in {}: {}", environment, done.error().message), done.error().where,
                 fmt::format("redoubt endpoint stop --environment {}", environment));
  }
  return first;
}

Result<int> review(Invocation& invocation, const VersionTarget& target, stages::publish::Decision decision, const Output& output) {
  const auto name = TRY(governance::parse_version_name(target.version));
  auto session = TRY(Session::open(invocation.global, Duty::review));
  TRY(session->require(governance::Permission::approve));
  auto recorder = TRY(session->recorder());
  stages::publish::ReviewDeps deps{*TRY(session->registry()), *recorder};
  const auto reviewed = TRY(stages::publish::review({name.name, name.version, decision, target.reason}, deps));
  const auto version = TRY(TRY(session->registry())->get(name.name, name.version));
  if (decision == stages::publish::Decision::revoke) {
    // Endpoints see it at their next look anyway; this makes it at once.
    TRY(session->act_for(Duty::deploy));
    TRY(withdraw(*session, version));
  }
  output.result({{"name", version.name}, {"version", version.version}, {"state", provider::to_string(version.state)},
                 {"reviewer", session->identity()}, {"statement", reviewed.statement().tagged()}},
                fmt::format("{} is {} (by {})", target.version, provider::to_string(version.state), session->identity()));
  return 0;
}

// What was decided where others can reach the registry, such as SageMaker's console.
Result<int> outside(Invocation& invocation, const Output& output) {
  auto session = TRY(Session::open(invocation.global));
  Json values = Json::array();
  Table table{{"NAME", "VERSION", "LEDGER", "THERE", "BY", "CHANGED", "REASON"}, {}};
  for (const auto& decision : TRY(TRY(session->registry())->outside_decisions())) {
    const char *ours = provider::to_string(decision.ledger_state), *theirs = provider::to_string(decision.outside_state);
    values.push_back({{"name", decision.name}, {"version", decision.version}, {"digest", decision.digest}, {"ledger_state", ours}, {"outside_state", theirs},
                      {"principal", decision.principal}, {"changed", decision.changed}, {"reason", decision.reason}, {"where", decision.where}});
    table.rows.push_back({decision.name, decision.version, ours, theirs, decision.principal, decision.changed, without_control_characters(decision.reason)});
  }
  output.result(values, table.rows.empty() ? "nothing was decided past the ledger"
                                           : render(table) + "none of it counts yet: 'registry adopt' signs a decision, 'registry restore' undoes it");
  return 0;
}

Result<provider::OutsideDecision> find_outside(Session& session, const std::string& version_name) {
  const auto name = TRY(governance::parse_version_name(version_name));
  for (auto& decision : TRY(TRY(session.registry())->outside_decisions())) {
    if (decision.name == name.name && decision.version == name.version) return decision;
  }
  return fail(ErrorCode::not_found, "nothing was decided about it past the ledger", version_name, "list what was with 'redoubt registry outside'");
}

Result<stages::publish::Decision> decision_of(const provider::OutsideDecision& outside, const std::string& where) {
  using provider::VersionState;
  const bool runs = outside.ledger_state == VersionState::approved || outside.ledger_state == VersionState::deployed;
  if (outside.outside_state == VersionState::approved) return stages::publish::Decision::approve;
  if (outside.outside_state == VersionState::rejected) return runs ? stages::publish::Decision::revoke : stages::publish::Decision::reject;
  return fail(ErrorCode::gate_refused, "a decision can't be taken back to pending", where, "put the state back with 'redoubt registry restore', or revoke the version");
}

// A reviewer signs what another principal decided there; from then on it counts.
Result<int> adopt(Invocation& invocation, const VersionTarget& target, const Output& output) {
  auto session = TRY(Session::open(invocation.global, Duty::review));
  TRY(session->require(governance::Permission::approve));
  const auto decided = TRY(find_outside(*session, target.version));
  const auto decision = TRY(decision_of(decided, target.version));
  stages::publish::ReviewOptions options{decided.name, decided.version, decision, target.reason.empty() ? decided.reason : target.reason};
  options.outside = {{"principal", decided.principal}, {"changed", decided.changed}, {"where", decided.where}};
  auto recorder = TRY(session->recorder());
  stages::publish::ReviewDeps deps{*TRY(session->registry()), *recorder};
  const auto reviewed = TRY(stages::publish::review(options, deps));
  const auto version = TRY(find(*session, target));
  output.result({{"name", version.name}, {"version", version.version}, {"state", provider::to_string(version.state)}, {"reviewer", session->identity()},
                 {"principal", decided.principal}, {"statement", reviewed.statement().tagged()}},
                fmt::format("{} is {} (decided by {}, signed by {})", target.version, provider::to_string(version.state), decided.principal, session->identity()));
  return 0;
}

Result<int> restore_decision(Invocation& invocation, const VersionTarget& target, const Output& output) {
  auto session = TRY(Session::open(invocation.global, Duty::review));
  TRY(session->require(governance::Permission::approve));
  const auto decided = TRY(find_outside(*session, target.version));
  TRY(TRY(session->registry())->restore(decided.name, decided.version));
  output.result({{"name", decided.name}, {"version", decided.version}, {"state", provider::to_string(decided.ledger_state)}},
                fmt::format("{} is {} there again", target.version, provider::to_string(decided.ledger_state)));
  return 0;
}

// Writes the release's files with its signature, for tools that verify a folder: model_signing verify key ...
Result<int> export_release(Invocation& invocation, const VersionTarget& target, const Output& output) {
  auto session = TRY(Session::open(invocation.global));
  TRY(session->require(governance::Permission::run_pipeline));
  const auto version = TRY(find(*session, target));
  const auto registration = TRY(registered(*session, version));
  const std::filesystem::path folder = target.folder;
  if (std::filesystem::exists(folder) && !std::filesystem::is_empty(folder)) {
    return fail(ErrorCode::already_exists, "the folder is not empty", folder.string(), "name a new folder");
  }
  TRY(session->store().export_folder(TRY(registration.output("release")), folder));
  const std::filesystem::path beside = folder.string() + ".signature";
  TRY(session->store().export_folder(TRY(registration.output("signature")), beside));
  output.result({{"folder", folder.string()}, {"signature", (beside / "model.sig").string()}, {"public_key", (beside / "model.pub").string()}},
                fmt::format("{}\nverify it with: model_signing verify key --public_key {} --signature {} {}", folder.string(),
                            (beside / "model.pub").string(), (beside / "model.sig").string(), folder.string()));
  return 0;
}

Result<int> rebuild(Invocation& invocation, const Output& output) {
  auto session = TRY(Session::open(invocation.global, Duty::registration));
  TRY(session->require(governance::Permission::run_pipeline));
  TRY(session->rebuild_registry());
  const auto count = TRY(TRY(session->registry())->list()).size();
  output.result({{"versions", count}}, fmt::format("rebuilt from the ledger: {} versions", count));
  return 0;
}

}  // namespace

void add_registry_commands(CLI::App& app, Invocation& invocation) {
  CLI::App* group = app.add_subcommand("registry", "Versions of models, and their review")->require_subcommand(1);
  auto target = std::make_shared<VersionTarget>();
  const auto add = [&](const char* name, const char* help, auto body) {
    CLI::App* command = add_command(*group, invocation, name, help, [&invocation, target, body](const Output& output) { return body(invocation, *target, output); });
    command->add_option("version", target->version, "NAME/VERSION")->required();
    return command;
  };
  add_command(*group, invocation, "list", "All versions", [&invocation](const Output& output) { return list_versions(invocation, output); });
  add_command(*group, invocation, "rebuild", "Replays the ledger into a new registry", [&invocation](const Output& output) { return rebuild(invocation, output); });
  add_command(*group, invocation, "outside", "What was decided past the ledger, such as in a console", [&invocation](const Output& output) { return outside(invocation, output); });
  add("adopt", "Signs such a decision, so that it counts; not by who ran the pipeline", adopt)->add_option("--reason", target->reason, "instead of the words given there");
  add("restore", "Undoes such a decision", restore_decision);
  add("show", "One version", show_version);
  add("card", "Its model card", card);
  add("answers", "What the base and the tuned model answered to held-out rows, side by side, for who decides", answers);
  add("lineage", "What it was made of, by digest", lineage);
  add("export", "Its files and their signature", export_release)->add_option("-o,--output", target->folder, "a new folder")->required();
  const auto add_review = [&](const char* name, const char* help, stages::publish::Decision decision) {
    add(name, help, [decision](Invocation& i, const VersionTarget& t, const Output& o) { return review(i, t, decision, o); })
        ->add_option("--reason", target->reason, "why, for the auditor")
        ->required();
  };
  add_review("approve", "Approves it for deployment; not by who ran the pipeline", stages::publish::Decision::approve);
  add_review("reject", "Rejects it", stages::publish::Decision::reject);
  add_review("revoke", "Withdraws an approval", stages::publish::Decision::revoke);
}

}  // namespace redoubt::cli
