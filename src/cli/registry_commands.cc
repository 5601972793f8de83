// SPDX-License-Identifier: Apache-2.0
//
// redoubt registry: list, show, approve, reject, revoke, card, lineage, export, rebuild.
#include <fmt/format.h>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/session.h"
#include "governance/registry_view.h"
#include "stages/publish/review.h"

namespace redoubt::cli {
namespace {

using provider::ModelVersion;

Json to_json(const ModelVersion& version) {
  return {{"name", version.name}, {"version", version.version}, {"digest", version.digest}, {"state", provider::to_string(version.state)},
          {"metrics", version.metrics}, {"created", version.created}, {"created_by", version.created_by},
          {"statement", version.statement}, {"reason", version.reason}};
}

std::string metric_text(const ModelVersion& version, const char* metric) {
  const auto value = json_number(version.metrics, metric, "metrics");
  return value ? fmt::format("{:.3f}", *value) : "-";
}

Result<int> list(Invocation& invocation, const Output& output) {
  auto session = TRY(Session::open(invocation.global));
  Json values = Json::array();
  Table table{{"NAME", "VERSION", "STATE", "EVAL LOSS", "PERPLEXITY", "CREATED", "DIGEST"}, {}};
  for (const auto& version : TRY(TRY(session->registry())->list())) {
    values.push_back(to_json(version));
    table.rows.push_back({version.name, version.version, provider::to_string(version.state), metric_text(version, "eval_loss"),
                          metric_text(version, "perplexity"), version.created, version.digest.substr(0, 19)});
  }
  output.result(values, table.rows.empty() ? "no versions yet; 'redoubt run PIPELINE.yaml' registers one" : render(table));
  return 0;
}

struct Target {
  std::string version;
  std::string reason;
  std::string folder;
};

Result<ModelVersion> find(Session& session, const Target& target) {
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

Result<int> show(Invocation& invocation, const Target& target, const Output& output) {
  auto session = TRY(Session::open(invocation.global));
  const auto version = TRY(find(*session, target));
  output.result(to_json(version), to_json(version).dump(2));
  return 0;
}

Result<int> card(Invocation& invocation, const Target& target, const Output& output) {
  auto session = TRY(Session::open(invocation.global));
  const auto version = TRY(find(*session, target));
  const auto json = output.json() ? TRY(parse_json(TRY(card_text(*session, version, "card.json")), "card.json")) : Json();
  output.result(json, output.json() ? "" : TRY(card_text(*session, version, "card.md")));
  return 0;
}

Result<int> lineage(Invocation& invocation, const Target& target, const Output& output) {
  auto session = TRY(Session::open(invocation.global));
  const auto version = TRY(find(*session, target));
  const auto registration = TRY(registered(*session, version));
  Json steps = Json::array();
  Table table{{"STEP", "BY", "FINISHED", "STATEMENT", "OUTPUT", "DIGEST"}, {}};
  const auto add = [&](const attest::StepRecord& record, const Digest& statement) {
    Json outputs = Json::object();
    for (const auto& [name, digest] : record.outputs) {
      outputs[name] = digest.tagged();
      table.rows.push_back({record.step, record.identity, to_rfc3339(record.finished), statement.hex().substr(0, 12), name, digest.hex().substr(0, 12)});
    }
    steps.push_back({{"step", record.step}, {"identity", record.identity}, {"finished", to_rfc3339(record.finished)}, {"statement", statement.tagged()}, {"outputs", outputs}});
  };
  for (const auto& [name, statement] : registration.record().inputs) {
    const auto evidence = TRY(session->evidence().find(statement));
    add(TRY(attest::to_step_record(evidence.statement)), statement);
  }
  add(registration.record(), registration.statement());
  output.result(steps, render(table));
  return 0;
}

Result<int> review(Invocation& invocation, const Target& target, stages::publish::Decision decision, const Output& output) {
  const auto name = TRY(governance::parse_version_name(target.version));
  auto session = TRY(Session::open(invocation.global));
  TRY(session->require(governance::Permission::approve));
  auto recorder = TRY(session->recorder());
  stages::publish::ReviewDeps deps{*TRY(session->registry()), *recorder};
  const auto reviewed = TRY(stages::publish::review({name.name, name.version, decision, target.reason}, deps));
  const auto version = TRY(TRY(session->registry())->get(name.name, name.version));
  if (decision == stages::publish::Decision::revoke) {
    // Endpoints see it at their next look anyway; this makes it at once.
    for (const char* environment : {"dev", "staging", "production"}) TRY(TRY(session->endpoint_host())->withdraw(environment, version.name, version.version));
  }
  output.result({{"name", version.name}, {"version", version.version}, {"state", provider::to_string(version.state)},
                 {"reviewer", session->identity()}, {"statement", reviewed.statement().tagged()}},
                fmt::format("{} is {} (by {})", target.version, provider::to_string(version.state), session->identity()));
  return 0;
}

// Writes the release's files with its signature, for tools that verify a folder: model_signing verify key ...
Result<int> export_release(Invocation& invocation, const Target& target, const Output& output) {
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
  auto session = TRY(Session::open(invocation.global));
  TRY(session->require(governance::Permission::run_pipeline));
  TRY(session->rebuild_registry());
  const auto count = TRY(TRY(session->registry())->list()).size();
  output.result({{"versions", count}}, fmt::format("rebuilt from the ledger: {} versions", count));
  return 0;
}

}  // namespace

void add_registry_commands(CLI::App& app, Invocation& invocation) {
  CLI::App* group = app.add_subcommand("registry", "Versions of models, and their review")->require_subcommand(1);
  auto target = std::make_shared<Target>();
  const auto add = [&](const char* name, const char* help, auto body) {
    CLI::App* command = add_command(*group, invocation, name, help, [&invocation, target, body](const Output& output) { return body(invocation, *target, output); });
    command->add_option("version", target->version, "NAME/VERSION")->required();
    return command;
  };
  add_command(*group, invocation, "list", "All versions", [&invocation](const Output& output) { return list(invocation, output); });
  add_command(*group, invocation, "rebuild", "Replays the ledger into a new registry", [&invocation](const Output& output) { return rebuild(invocation, output); });
  add("show", "One version", show);
  add("card", "Its model card", card);
  add("lineage", "What it was made of, by digest", lineage);
  add("export", "Its files and their signature", export_release)->add_option("-o,--output", target->folder, "a new folder")->required();
  const auto add_review = [&](const char* name, const char* help, stages::publish::Decision decision) {
    add(name, help, [decision](Invocation& i, const Target& t, const Output& o) { return review(i, t, decision, o); })
        ->add_option("--reason", target->reason, "why, for the auditor")
        ->required();
  };
  add_review("approve", "Approves it for deployment; not by who ran the pipeline", stages::publish::Decision::approve);
  add_review("reject", "Rejects it", stages::publish::Decision::reject);
  add_review("revoke", "Withdraws an approval", stages::publish::Decision::revoke);
}

}  // namespace redoubt::cli
