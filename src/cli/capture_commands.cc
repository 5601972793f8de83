// SPDX-License-Identifier: Apache-2.0
//
// redoubt capture: list, export.
#include <fmt/format.h>

#include <iostream>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/session.h"
#include "custody/captures.h"
#include "stages/deploy/deployment.h"

namespace redoubt::cli {
namespace {

using custody::CaptureBatch;
using governance::Permission;

struct CaptureOptions {
  std::string environment = "production", since, until, out;
};

struct CaptureSpan {
  TimePoint since = TimePoint::min(), until = TimePoint::max();
  bool has(TimePoint time) const { return time >= since && time < until; }
  bool may_have(const CaptureBatch& batch) const { return !batch.first || !batch.last || (*batch.last >= since && *batch.first < until); }
};

constexpr const char* kStandardOutput = "-";

Result<TimePoint> capture_time(const std::string& option, const std::string& text, TimePoint fallback) {
  if (text.empty()) return fallback;
  auto time = parse_rfc3339(text.size() == 10 ? text + "T00:00:00Z" : text);
  if (!time) time.error().where = option + " " + text;
  return time;
}

// Where an environment has none, why.
Result<std::vector<CaptureBatch>> batches_of(Session& session, const std::string& environment) {
  auto batches = TRY(custody::captured_batches(session.notes(), environment));
  if (!batches.empty()) return batches;
  const auto deployed = TRY(stages::deploy::current_deployment(session.evidence(), environment));
  if (!deployed) return fail(ErrorCode::not_found, "nothing was deployed to this environment", environment, "see 'redoubt registry list', or name another one: --environment NAME");
  if (TRY(session.endpoint_monitor()) != nullptr) return fail(ErrorCode::unsupported, "this endpoint's captures lie in its own bucket", environment, "read them there: endpoint.sagemaker.capture_uri of the providers");
  return batches;
}

Result<int> list_captures(Invocation& invocation, const CaptureOptions& options, const Output& output) {
  auto session = TRY(Session::open(invocation.global));
  TRY(session->require(Permission::read_audit));
  Json values = Json::array();
  Table table{{"STORED", "RECORDS", "BYTES", "FIRST", "LAST", "DIGEST"}, {}};
  const auto time_text = [](const std::optional<TimePoint>& time) { return time ? to_rfc3339(*time) : std::string("-"); };
  for (const auto& batch : TRY(batches_of(*session, options.environment))) {
    values.push_back({{"stored", to_rfc3339(batch.stored)}, {"records", batch.records ? Json(*batch.records) : Json()}, {"bytes", batch.bytes}, {"first", batch.first ? Json(to_rfc3339(*batch.first)) : Json()},
                      {"last", batch.last ? Json(to_rfc3339(*batch.last)) : Json()}, {"digest", batch.blob.tagged()}});
    table.rows.push_back({to_rfc3339(batch.stored), batch.records ? std::to_string(*batch.records) : "-", std::to_string(batch.bytes), time_text(batch.first), time_text(batch.last), batch.blob.hex().substr(0, 12)});
  }
  output.result(values, table.rows.empty() ? "nothing of " + options.environment + " is captured" : render(table));
  return 0;
}

// Each line of the span with its line end, as it was captured.
Status for_each_capture(Session& session, const std::string& environment, const std::vector<CaptureBatch>& batches, const CaptureSpan& span, const std::function<Status(std::string_view line)>& visit) {
  const bool is_whole = span.since == TimePoint::min() && span.until == TimePoint::max();
  for (const auto& batch : batches) {
    if (!span.may_have(batch)) continue;
    const auto lines = TRY(custody::read_captures(session.notes(), session.store(), environment, batch));
    const std::string_view text = lines ? text_of(*lines) : std::string_view();
    for (std::size_t from = 0; from < text.size();) {
      const auto end = std::min(text.find('\n', from), text.size() - 1) + 1;
      const auto line = text.substr(from, end - from);
      from = end;
      const auto time = custody::time_of_capture(line);
      if (is_whole || (time && span.has(*time))) TRY(visit(line));
    }
  }
  return {};
}

class StandardOutput final : public Sink {
 public:
  Status write(ByteView bytes) override {
    std::cout.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    if (std::cout.flush()) return {};
    return fail(ErrorCode::unavailable, "standard output can't be written", "stdout");
  }
};

Status check_capture_target(const CaptureOptions& options, const Output& output) {
  if (options.out == kStandardOutput && output.json()) return fail(ErrorCode::invalid_argument, "--json and --out - both ask for standard output", "--out -", "leave out --json, or name a file");
  if (options.out != kStandardOutput && is_there(options.out)) return fail(ErrorCode::already_exists, "the file is there already", options.out, "name a new file");
  return {};
}

Result<int> export_captures(Invocation& invocation, const CaptureOptions& options, const Output& output) {
  const CaptureSpan span{TRY(capture_time("--since", options.since, TimePoint::min())), TRY(capture_time("--until", options.until, TimePoint::max()))};
  if (span.since >= span.until) return fail(ErrorCode::invalid_argument, "the span ends before it begins", "--since " + options.since + " --until " + options.until, "--until is the first moment that is left out");
  TRY(check_capture_target(options, output));
  auto session = TRY(Session::open(invocation.global, Duty::operate));
  TRY(session->require(Permission::run_pipeline));
  const auto batches = TRY(batches_of(*session, options.environment));
  std::uint64_t records = 0, bytes = 0;
  TRY(for_each_capture(*session, options.environment, batches, span, [&](std::string_view line) -> Status {
    ++records;
    bytes += line.size();
    return {};
  }));
  std::unique_ptr<AtomicFile> file;
  if (options.out != kStandardOutput) file = TRY(AtomicFile::create(options.out));
  // The ledger hears of it before anybody reads a word.
  Json event = {{"action", "export"}, {"environment", options.environment}, {"records", records}, {"bytes", bytes}, {"since", nullptr}, {"until", nullptr}};
  if (!options.since.empty()) event["since"] = to_rfc3339(span.since);
  if (!options.until.empty()) event["until"] = to_rfc3339(span.until);
  TRY(session->record_event("capture", event));
  StandardOutput standard;
  Sink& sink = file ? static_cast<Sink&>(*file) : standard;
  TRY(for_each_capture(*session, options.environment, batches, span, [&](std::string_view line) { return sink.write(view_of(line)); }));
  if (file) TRY(file->commit_new());
  const std::string text = fmt::format("{} records of {}, {} bytes, in clear: {}", records, options.environment, bytes, options.out);
  if (!file) {
    output.say("redoubt: " + text);
    return 0;
  }
  event.update({{"file", std::filesystem::absolute(options.out).string()}, {"by", session->identity()}});
  output.result(event, text);
  return 0;
}

}  // namespace

void add_capture_commands(CLI::App& app, Invocation& invocation) {
  CLI::App* group = app.add_subcommand("capture", "What an endpoint was asked and answered, where deploy.capture keeps it")->require_subcommand(1);
  auto options = std::make_shared<CaptureOptions>();
  const auto add = [&](const char* name, const char* help, auto body) {
    CLI::App* command = add_command(*group, invocation, name, help, [&invocation, options, body](const Output& output) { return body(invocation, *options, output); });
    command->add_option("--environment", options->environment, "whose endpoint (default: production)");
    return command;
  };
  add("list", "The batches that are kept", list_captures);
  CLI::App* command = add("export", "Writes captured lines in clear; the ledger tells of it", export_captures);
  command->add_option("--since", options->since, "answered from then on: 2026-01-31 or 2026-01-31T08:00:00Z");
  command->add_option("--until", options->until, "answered before then");
  command->add_option("--out", options->out, "a new file, or - for standard output")->required();
}

}  // namespace redoubt::cli
