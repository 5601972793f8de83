// SPDX-License-Identifier: Apache-2.0
//
// redoubt audit: verify, query, export, mirror, proof.
#include <fmt/format.h>

#include <charconv>

#include "base/file.h"
#include "cli/audit.h"
#include "cli/commands.h"

namespace redoubt::cli {
namespace {

struct Query {
  std::string step, identity, entry, file;
  std::uint64_t limit = 100;
};

// Those of a service that did not answer, each with its cure; empty where all was checked.
std::string unchecked_table(const AuditReport& report) {
  if (report.unchecked.empty()) return {};
  Table table{{"NOT CHECKED", "COUNT", "FIRST", "WHY"}, {}};
  std::string cures;
  for (const auto& [kind, why, count] : report.unchecked) {
    table.rows.push_back({kind, std::to_string(count), why.where, why.message});
    if (!why.hint.empty()) cures += fmt::format("{}: {}\n", kind, why.hint);
  }
  return render(table) + (cures.empty() ? "" : "\nwhat helps:\n" + cures);
}

// What was found weighs more than what could not be looked at.
int conclude(const AuditReport& report, const Output& output) {
  std::uint64_t unchecked = 0;
  for (const auto& one : report.unchecked) unchecked += one.count;
  if (!report.problems.empty()) output.say(fmt::format("redoubt: {} problems: this workspace was changed from outside, or its disk is failing", report.problems.size()));
  if (unchecked > 0) output.say(fmt::format("redoubt: {} things could not be checked: a service did not give them; once it does, verify again", unchecked));
  if (!report.problems.empty()) return exit_code_of(ErrorCode::tampered);
  return unchecked > 0 ? exit_code_of(ErrorCode::unavailable) : 0;
}

Result<int> verify_workspace(Invocation& invocation, const Output& output) {
  const AuditReport report = TRY(audit_workspace(invocation.global));
  Json problems = Json::array(), unchecked = Json::array();
  Table table{{"KIND", "OBJECT", "DETAIL"}, {}};
  for (const auto& problem : report.problems) {
    problems.push_back({{"kind", problem.kind}, {"object", problem.object}, {"detail", problem.detail}});
    table.rows.push_back({problem.kind, problem.object, problem.detail});
  }
  for (const auto& [kind, why, count] : report.unchecked) unchecked.push_back({{"kind", kind}, {"object", why.where}, {"detail", why.message}, {"hint", why.hint}, {"count", count}});
  Json set_back = Json::array();
  for (const auto& [entry, finished, before] : report.clock_set_back) {
    set_back.push_back({{"entry", entry}, {"finished", to_rfc3339(finished)}, {"before", to_rfc3339(before)}});
    output.say(fmt::format("redoubt: the clock was set back before entry {}: it is dated {}, the one before it {}", entry, to_rfc3339(finished), to_rfc3339(before)));
  }
  const std::string text = report.ok() ? fmt::format("ok: {} ledger entries, root {}, {} stored objects; nothing was changed", report.entries, report.root.hex(), report.objects)
                                       : (report.problems.empty() ? "" : render(table)) + unchecked_table(report);
  output.result({{"ok", report.ok()}, {"entries", report.entries}, {"root", report.root.hex()}, {"problems", problems}, {"unchecked", unchecked}, {"clock_set_back", set_back}, {"objects", report.objects}}, text);
  return conclude(report, output);
}

Json tagged(const std::map<std::string, Digest>& digests) {
  Json out = Json::object();
  for (const auto& [name, digest] : digests) out[name] = digest.tagged();
  return out;
}

Result<int> query(Invocation& invocation, const Query& options, const Output& output) {
  auto session = TRY(Session::open(invocation.global));
  TRY(session->require(governance::Permission::read_audit));
  const std::uint64_t size = TRY(session->evidence().checkpoint()).head.size;
  Json values = Json::array();
  Table table{{"ENTRY", "FINISHED", "IDENTITY", "STEP", "STATEMENT", "RESULT"}, {}};
  for (std::uint64_t index = size; index-- > 0 && values.size() < options.limit;) {
    const auto entry = TRY(session->evidence().at(index));
    const auto record = TRY(attest::to_step_record(entry.statement));
    if ((!options.step.empty() && record.step != options.step) || (!options.identity.empty() && entry.identity != options.identity)) continue;
    values.push_back({{"entry", index}, {"step", record.step}, {"identity", entry.identity}, {"finished", to_rfc3339(record.finished)},
                      {"statement", entry.digest.tagged()}, {"inputs", tagged(record.inputs)}, {"outputs", tagged(record.outputs)}, {"result", record.result}});
    std::string result = dump_json(record.result);
    if (result.size() > 70) result = result.substr(0, 67) + "...";
    table.rows.push_back({std::to_string(index), to_rfc3339(record.finished), entry.identity, record.step, entry.digest.hex().substr(0, 12), result});
  }
  output.result(values, render(table));
  return 0;
}

// Standard output as a sink.
class StdoutSink final : public Sink {
 public:
  Status write(ByteView bytes) override {
    if (std::fwrite(bytes.data(), 1, bytes.size(), stdout) != bytes.size()) return fail(ErrorCode::unavailable, "cannot write to standard output");
    return {};
  }
};

// All of it is written whatever it says, and whoever reads the exit status alone is told too.
int conclude_export(std::uint64_t unverified, const Output& output) {
  if (unverified == 0) return 0;
  output.say(fmt::format("redoubt: {} entries do not verify: 'redoubt audit verify' names what was changed", unverified));
  return exit_code_of(ErrorCode::tampered);
}

Result<int> export_lines(Invocation& invocation, const Query& options, const Output& output) {
  auto session = TRY(Session::open(invocation.global));
  TRY(session->require(governance::Permission::read_audit));
  if (options.file.empty()) {
    StdoutSink sink;
    return conclude_export(TRY(session->evidence().export_lines(sink)), output);
  }
  auto file = TRY(AtomicFile::create(options.file));
  const auto unverified = TRY(session->evidence().export_lines(*file));
  TRY(file->commit());
  output.result({{"file", options.file}, {"unverified", unverified}}, "written: " + options.file);
  return conclude_export(unverified, output);
}

Result<int> proof(Invocation& invocation, const Query& options, const Output& output) {
  auto session = TRY(Session::open(invocation.global));
  TRY(session->require(governance::Permission::read_audit));
  std::uint64_t index = 0;
  const char* end = options.entry.data() + options.entry.size();
  if (const auto [rest, error] = std::from_chars(options.entry.data(), end, index); error != std::errc() || rest != end) {
    index = TRY(session->evidence().find(TRY(Digest::parse(options.entry)))).index;
  }
  const std::string text = ledger::to_text(TRY(session->evidence().proof(index)));
  output.result({{"entry", index}, {"proof", text}}, text);
  return 0;
}

Result<int> mirror_entries(Invocation& invocation, const Output& output) {
  auto session = TRY(Session::open(invocation.global, Duty::operate));
  const auto told = TRY(session->mirror_audit());
  output.result({{"told", told}}, fmt::format("{} {} told", told, told == 1 ? "entry was" : "entries were"));
  return 0;
}

}  // namespace

void add_audit_commands(CLI::App& app, Invocation& invocation) {
  CLI::App* group = app.add_subcommand("audit", "The tamper-evident record")->require_subcommand(1);
  auto query_options = std::make_shared<Query>();
  add_command(*group, invocation, "verify", "Checks the ledger, every object, the registry and the images, and names what was changed",
              [&invocation](const Output& output) { return verify_workspace(invocation, output); });
  CLI::App* find = add_command(*group, invocation, "query", "Entries, newest first",
                               [&invocation, query_options](const Output& output) { return query(invocation, *query_options, output); });
  find->add_option("--step", query_options->step, "only this step: acquire, data, image, train, evaluate, register, review, deploy, ...");
  find->add_option("--identity", query_options->identity, "only what this identity signed");
  find->add_option("--limit", query_options->limit, "at most so many")->check(CLI::Range(1, 100000));
  add_command(*group, invocation, "export", "All entries as JSON lines",
              [&invocation, query_options](const Output& output) { return export_lines(invocation, *query_options, output); })
      ->add_option("-o,--output", query_options->file, "a file instead of standard output");
  add_command(*group, invocation, "mirror", "Brings the entries that the firm's monitoring has not seen to it (the providers' block 'audit')",
              [&invocation](const Output& output) { return mirror_entries(invocation, output); });
  add_command(*group, invocation, "proof", "An entry's inclusion proof as a .tlog-proof receipt",
              [&invocation, query_options](const Output& output) { return proof(invocation, *query_options, output); })
      ->add_option("entry", query_options->entry, "its number, or a statement's digest")
      ->required();
}

}  // namespace redoubt::cli
