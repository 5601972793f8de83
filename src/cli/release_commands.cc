// SPDX-License-Identifier: Apache-2.0
//
// redoubt release bundle, verify.
#include <fmt/format.h>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/session.h"
#include "custody/certificate.h"
#include "governance/registry_view.h"
#include "ledger/release_bundle.h"

namespace redoubt::cli {
namespace {

struct ReleaseOptions {
  std::string version, file, root;
};

using governance::Recorded;

// A manifest's text and, where the verifier reads them, its files.
Result<ledger::ReleaseArtifact> artifact_of(Session& session, const attest::StepRecord& record, const std::string& output, bool with_files) {
  const auto digest = record.outputs.find(output);
  if (digest == record.outputs.end()) return fail(ErrorCode::tampered, "the step '" + record.step + "' has no output '" + output + "'");
  ledger::ReleaseArtifact artifact{record.step, output, "", {}};
  const auto manifest = TRY(session.store().manifest(digest->second));
  artifact.manifest = TRY(vault::encode_manifest(manifest));
  if (!with_files) return artifact;
  for (const auto& file : manifest.files) artifact.files[file.path] = TRY(session.store().read_blob(file.sha256, 16 << 20));
  return artifact;
}

Result<ledger::ReleaseArtifact> sbom_artifact(Session& session, const attest::StepRecord& record) {
  const auto digest = record.outputs.find("sbom");
  if (digest == record.outputs.end()) return fail(ErrorCode::tampered, "the image step has no SBOM");
  auto sbom = TRY(session.store().read_blob(digest->second, 16 << 20));
  return ledger::ReleaseArtifact{record.step, "sbom", "", {{"", std::move(sbom)}}};
}

Result<ledger::ReleaseContents> contents_of(Session& session, const governance::VersionName& version) {
  ledger::ReleaseContents contents;
  contents.name = version.name;
  contents.version = version.version;
  contents.created = session.clock().now();
  std::set<std::string> signers;
  const auto chain = TRY(ledger::find_release(session.evidence(), version.name, version.version));
  for (const auto& evidence : chain) {
    contents.entries.push_back(evidence.index);
    signers.insert(evidence.identity);
    const auto record = TRY(attest::to_step_record(evidence.statement));
    if (record.step == "acquire") contents.artifacts.push_back(TRY(artifact_of(session, record, "model", false)));
    if (record.step == "train") contents.artifacts.push_back(TRY(artifact_of(session, record, attest::trained_weights(record).output, false)));
    if (record.step == "image") contents.artifacts.push_back(TRY(sbom_artifact(session, record)));
    if (record.step == "register") {
      contents.artifacts.push_back(TRY(artifact_of(session, record, "release", false)));
      contents.artifacts.push_back(TRY(artifact_of(session, record, "card", true)));
      contents.artifacts.push_back(TRY(artifact_of(session, record, "signature", true)));
    }
  }
  for (const auto& identity : session.workspace().identities().list()) {
    if (!signers.contains(identity.name)) continue;
    ledger::ReleaseIdentity known{identity.name, {}, {identity.key}};
    for (auto role : identity.roles) known.roles.emplace_back(governance::to_string(role));
    contents.identities.push_back(std::move(known));
  }
  return contents;
}

Result<int> bundle(Invocation& invocation, const ReleaseOptions& options, const Output& output) {
  const auto name = TRY(governance::parse_version_name(options.version));
  auto session = TRY(Session::open(invocation.global));
  TRY(session->identities_settled());  // the bundle vouches for their roles
  const auto contents = TRY(contents_of(*session, name));
  const std::string text = TRY(ledger::make_release_bundle(session->evidence(), session->ledger_key(), contents));
  TRY(write_file(options.file, text, FileMode::readable_by_all));
  const std::string root = session->ledger_key().public_key().to_pem();
  output.result({{"file", options.file}, {"bytes", text.size()}, {"statements", contents.entries.size()}, {"root", root}},
                fmt::format("{} ({} bytes, {} statements)\nverify it anywhere: redoubt verify {}\nthe root to compare, given to the verifier another way:\n{}", options.file, text.size(),
                            contents.entries.size(), options.file, root));
  return 0;
}

Json problems_json(const Problems& problems, std::string& lines) {
  Json out = Json::array();
  for (const auto& problem : problems) {
    out.push_back({{"kind", problem.kind}, {"object", problem.object}, {"detail", problem.detail}});
    lines += fmt::format("{} {}: {}\n", problem.kind, problem.object, problem.detail);
  }
  return out;
}

std::string trust_text(const std::string& root, bool is_known) { return is_known ? "" : fmt::format("compare the root with the one you were given another way: {}\n", root); }

Result<int> verify_erasure(const std::string& text, const std::optional<crypto::PublicKey>& root, const Output& output) {
  const auto report = custody::verify_certificate(text, root);
  std::string lines;
  const Json problems = problems_json(report.problems, lines);
  const bool ok = report.problems.empty();
  const std::string name = json_or(report.erasure, "name", "");
  if (ok) {
    lines = fmt::format("{} was erased at {}: the key {} was destroyed, {} objects open no more\nasked for by {}, carried out by {}\n{}", name, to_rfc3339(report.erased), json_or(report.erasure, "uri", ""),
                        report.objects.size(), report.requested_by, report.identity, trust_text(report.root, report.root_known));
  }
  output.result({{"ok", ok}, {"kind", "erasure"}, {"name", name}, {"erased", ok ? Json(to_rfc3339(report.erased)) : Json()}, {"identity", report.identity}, {"requested_by", report.requested_by},
                 {"root", report.root}, {"root_known", report.root_known}, {"erasure", report.erasure}, {"objects", report.objects}, {"problems", problems}},
                lines);
  if (ok) return 0;
  output.say(fmt::format("redoubt: the certificate does not verify: {} {}: {}", report.problems.front().kind, report.problems.front().object, report.problems.front().detail));
  return exit_code_of(ErrorCode::tampered);
}

Result<int> verify_proof_file(const ReleaseOptions& options, const Output& output) {
  std::optional<crypto::PublicKey> root;
  if (!options.root.empty()) root = TRY(crypto::PublicKey::from_pem(TRY(read_text_file(options.root, 64 << 10))));
  const std::string text = TRY(read_text_file(options.file, ledger::kReleaseBundleBytesMax));
  if (custody::is_certificate(text)) return verify_erasure(text, root, output);
  const auto report = ledger::verify_release_bundle(text, root);
  Json steps = Json::array();
  std::string lines;
  const Json problems = problems_json(report.problems, lines);
  Table table{{"STEP", "BY", "FINISHED", "ENTRY"}, {}};
  for (const auto& step : report.steps) {
    steps.push_back({{"step", step.record.step}, {"identity", step.record.identity}, {"finished", to_rfc3339(step.record.finished)}, {"entry", step.index}});
    table.rows.push_back({step.record.step, step.record.identity, to_rfc3339(step.record.finished), std::to_string(step.index)});
  }
  const bool ok = report.problems.empty();
  const std::string trust = trust_text(report.root, report.root_known);
  output.result({{"ok", ok}, {"name", report.name}, {"version", report.version}, {"root", report.root}, {"root_known", report.root_known}, {"steps", steps}, {"problems", problems}},
                ok ? fmt::format("{}{}/{} verifies: every statement, proof and digest\n{}", render(table), report.name, report.version, trust) : lines);
  if (ok) return 0;
  const auto& first = report.problems.front();
  output.say(fmt::format("redoubt: the bundle does not verify: {} {}: {}", first.kind, first.object, first.detail));
  return exit_code_of(ErrorCode::tampered);
}

}  // namespace

void add_release_commands(CLI::App& app, Invocation& invocation) {
  auto options = std::make_shared<ReleaseOptions>();
  CLI::App* group = app.add_subcommand("release", "Proof of one version, for an auditor")->require_subcommand(1);
  CLI::App* bundle_command = add_command(*group, invocation, "bundle", "Writes a version's statements, proofs, card, SBOM and signature into one file",
                                         [&invocation, options](const Output& output) { return bundle(invocation, *options, output); });
  bundle_command->add_option("version", options->version, "NAME/VERSION")->required();
  bundle_command->add_option("-o,--output", options->file, "the file")->required();
  CLI::App* verify_command = add_command(app, invocation, "verify", "Checks a release bundle or a certificate of erasure, offline and without a workspace; exit status 4 when it does not verify",
                                         [options](const Output& output) { return verify_proof_file(*options, output); });
  verify_command->add_option("file", options->file, "a bundle or a certificate")->required();
  verify_command->add_option("--root", options->root, "the ledger's public key (PEM) that must have signed it");
}

}  // namespace redoubt::cli
