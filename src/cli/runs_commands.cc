// SPDX-License-Identifier: Apache-2.0
//
// redoubt runs: list, show, diff, plot.
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/session.h"
#include "experiments/run.h"

namespace redoubt::cli {
namespace {

using experiments::Curve;
using experiments::Curves;
using experiments::Run;

constexpr std::size_t kShortId = 12;

struct RunsOptions {
  std::string step, sort, file;
  bool descending = false;
  std::uint64_t limit = 50;
  std::vector<std::string> ids;
};

// Of preferences a pair has one loss.
std::string loss_unit(const Run& run) { return json_or(run.record.parameters, "loss", "") == "dpo" ? "loss (nats per pair)" : "loss (nats per answer token)"; }

std::string short_id(const Run& run) { return run.id.hex().substr(0, kShortId); }

experiments::Characters terminal_characters() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const char* value = std::getenv(name);
    if (value == nullptr || *value == '\0') continue;
    const std::string locale = value;
    const bool wide = locale.find("UTF-8") != std::string::npos || locale.find("utf8") != std::string::npos;
    return wide ? experiments::Characters::braille : experiments::Characters::ascii;
  }
  return experiments::Characters::ascii;
}

// As wide as the terminal has room for beside the limits.
experiments::TerminalPlotOptions plot_options() {
  constexpr int kBeside = 12, kColumnsMin = 8;
  experiments::TerminalPlotOptions options{.characters = terminal_characters()};
  winsize window{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 0) options.columns = std::clamp(window.ws_col - kBeside, kColumnsMin, options.columns);
  return options;
}

Json digests(const std::map<std::string, Digest>& named) {
  Json out = Json::object();
  for (const auto& [name, digest] : named) out[name] = digest.tagged();
  return out;
}

Json run_json(const Run& run) {
  return {{"id", run.id.tagged()},  {"step", run.record.step}, {"identity", run.record.identity}, {"started", to_rfc3339(run.record.started)},
          {"finished", to_rfc3339(run.record.finished)}, {"seconds", run.seconds()}, {"parameters", run.record.parameters},
          {"inputs", digests(run.record.inputs)}, {"outputs", digests(run.record.outputs)}, {"metrics", run.metrics()}};
}

std::string metric(const Run& run, const std::string& name) {
  const auto all = run.metrics();
  const auto found = all.find(name);
  return found == all.end() ? "-" : fmt::format("{:.6g}", found->second);
}

Status sort_runs(std::vector<Run>& runs, const RunsOptions& options) {
  const auto value = [&](const Run& run) -> std::optional<double> {
    const auto all = run.metrics();
    const auto found = all.find(options.sort);
    return found == all.end() ? std::nullopt : std::optional(found->second);
  };
  if (!runs.empty() && std::none_of(runs.begin(), runs.end(), value)) {
    return fail(ErrorCode::invalid_argument, "no run has this metric", options.sort, "'redoubt runs show ID' names those of a run");
  }
  std::stable_sort(runs.begin(), runs.end(), [&](const Run& a, const Run& b) {
    const auto x = value(a), y = value(b);
    if (!x || !y) return x.has_value() && !y.has_value();  // runs without it come last, whichever the order
    return options.descending ? *x > *y : *x < *y;
  });
  return {};
}

Result<std::unique_ptr<Session>> open_for_runs(Invocation& invocation) {
  auto session = TRY(Session::open(invocation.global));
  TRY(session->require(governance::Permission::read_audit));
  return session;
}

Result<int> list_runs(Invocation& invocation, const RunsOptions& options, const Output& output) {
  auto session = TRY(open_for_runs(invocation));
  auto runs = TRY(experiments::list_runs(session->evidence()));
  if (!options.step.empty()) std::erase_if(runs, [&](const Run& run) { return run.record.step != options.step; });
  if (!options.sort.empty()) TRY(sort_runs(runs, options));
  if (runs.size() > options.limit) runs.resize(options.limit);
  Table table{{"RUN", "STEP", "FINISHED", "SECONDS", "EVAL LOSS", "PERPLEXITY", "BY"}, {}};
  if (!options.sort.empty()) table.columns.push_back(options.sort);
  Json values = Json::array();
  for (const auto& run : runs) {
    values.push_back(run_json(run));
    table.rows.push_back({short_id(run), run.record.step, to_rfc3339(run.record.finished), fmt::format("{:.1f}", run.seconds()), metric(run, "eval_loss"),
                          metric(run, "perplexity"), run.record.identity});
    if (!options.sort.empty()) table.rows.back().push_back(metric(run, options.sort));
  }
  output.result(values, table.rows.empty() ? "no runs yet; 'redoubt run PIPELINE.yaml' makes them" : render(table));
  return 0;
}

Json curve_json(const Curve& curve) {
  Json points = Json::array();
  for (const auto& [step, value] : curve.points) points.push_back({{"step", step}, {"value", value}});
  return points;
}

std::string describe_run(const Run& run, const Curves& curves) {
  Table table{{"RUN", run.id.hex()}, {}};
  const auto add = [&](const std::string& name, const std::string& value) { table.rows.push_back({name, value}); };
  add("step", run.record.step);
  add("identity", run.record.identity);
  add("finished", to_rfc3339(run.record.finished));
  add("seconds", fmt::format("{:.3f}", run.seconds()));
  if (curves.tokens_per_second) add("tokens per second", fmt::format("{:.0f}", *curves.tokens_per_second));
  for (const auto& [name, value] : run.parameters()) add("parameter " + name, dump_json(value));
  for (const auto& [name, digest] : run.record.inputs) add("input " + name, digest.tagged());
  for (const auto& [name, digest] : run.record.outputs) add("output " + name, digest.tagged());
  for (const auto& [name, value] : run.metrics()) add("metric " + name, fmt::format("{:.6g}", value));
  const std::string plot = experiments::terminal_plot({curves.loss, curves.eval_loss}, plot_options());
  return render(table) + (plot.empty() ? "" : "\n" + loss_unit(run) + "\n" + plot);
}

Result<int> show_run(Invocation& invocation, const RunsOptions& options, const Output& output) {
  auto session = TRY(open_for_runs(invocation));
  const Run run = TRY(experiments::find_run(TRY(experiments::list_runs(session->evidence())), options.ids.front()));
  const Curves curves = TRY(experiments::read_curves(session->store(), run));
  Json value = run_json(run);
  value["curves"] = {{"loss", curve_json(curves.loss)}, {"eval_loss", curve_json(curves.eval_loss)}};
  value["tokens_per_second"] = curves.tokens_per_second ? Json(*curves.tokens_per_second) : Json();
  output.result(value, describe_run(run, curves));
  return 0;
}

// What both, or one of them, have under a name, where it is not the same.
Json differences(const Json& a, const Json& b) {
  Json names = a, out = Json::object();
  names.update(b);
  for (const auto& [name, ignored] : names.items()) {
    const Json left = a.contains(name) ? a[name] : Json(), right = b.contains(name) ? b[name] : Json();
    if (left == right) continue;
    out[name] = {{"a", left}, {"b", right}};
    if (left.is_number() && right.is_number()) out[name]["delta"] = right.get<double>() - left.get<double>();
  }
  return out;
}

Result<int> diff_runs(Invocation& invocation, const RunsOptions& options, const Output& output) {
  auto session = TRY(open_for_runs(invocation));
  const auto runs = TRY(experiments::list_runs(session->evidence()));
  const Run a = TRY(experiments::find_run(runs, options.ids[0])), b = TRY(experiments::find_run(runs, options.ids[1]));
  Json value = {{"a", a.id.tagged()}, {"b", b.id.tagged()}};
  value["parameters"] = differences(Json(a.parameters()), Json(b.parameters()));
  value["metrics"] = differences(Json(a.metrics()), Json(b.metrics()));
  value["inputs"] = differences(digests(a.record.inputs), digests(b.record.inputs));
  value["outputs"] = differences(digests(a.record.outputs), digests(b.record.outputs));
  Table table{{"WHAT", "NAME", short_id(a), short_id(b), "DELTA"}, {}};
  for (const char* what : {"parameters", "metrics", "inputs", "outputs"}) {
    for (const auto& [name, pair] : value[what].items()) {
      table.rows.push_back({what, name, dump_json(pair["a"]), dump_json(pair["b"]), pair.contains("delta") ? fmt::format("{:+.6g}", pair["delta"].get<double>()) : ""});
    }
  }
  output.result(value, table.rows.empty() ? "the runs do not differ" : render(table));
  return 0;
}

Result<int> plot(Invocation& invocation, const RunsOptions& options, const Output& output) {
  auto session = TRY(open_for_runs(invocation));
  const auto runs = TRY(experiments::list_runs(session->evidence()));
  std::vector<Curve> curves;
  std::string unit;
  for (const auto& id : options.ids) {
    const Run run = TRY(experiments::find_run(runs, id));
    unit = unit.empty() || unit == loss_unit(run) ? loss_unit(run) : "loss (nats)";
    const Curves read = TRY(experiments::read_curves(session->store(), run));
    if (read.loss.points.empty()) return fail(ErrorCode::invalid_argument, "the run has no metrics by step", run.id.tagged(), "name a training: 'redoubt runs list --step train'");
    for (Curve curve : {read.loss, read.eval_loss}) {
      curve.name = short_id(run) + " " + curve.name;
      if (!curve.points.empty()) curves.push_back(std::move(curve));
    }
  }
  if (options.file.empty()) {
    Json value = Json::object();
    for (const auto& curve : curves) value[curve.name] = curve_json(curve);
    output.result(value, unit + "\n" + experiments::terminal_plot(curves, plot_options()));
    return 0;
  }
  auto file = TRY(AtomicFile::create(options.file));
  TRY(file->write(view_of(experiments::svg_plot(curves, "Training runs", unit))));
  TRY(file->commit());
  output.result({{"file", options.file}}, "written: " + options.file);
  return 0;
}

}  // namespace

void add_runs_commands(CLI::App& app, Invocation& invocation) {
  CLI::App* group = app.add_subcommand("runs", "Training and evaluation runs: what went in, what came out, how they compare")->require_subcommand(1);
  auto options = std::make_shared<RunsOptions>();
  const auto add = [&](const char* name, const char* help, auto body) {
    return add_command(*group, invocation, name, help, [&invocation, options, body](const Output& output) { return body(invocation, *options, output); });
  };
  CLI::App* all = add("list", "Runs, newest first", list_runs);
  all->add_option("--step", options->step, "only these: train or evaluate")->check(CLI::IsMember({"train", "evaluate"}));
  all->add_option("--sort", options->sort, "by this metric, the lowest first; runs without it last");
  all->add_flag("--descending", options->descending, "with --sort: the highest first");
  all->add_option("--limit", options->limit, "at most so many")->check(CLI::Range(1, 100000));
  add("show", "One run: parameters, digests, metrics, loss curve", show_run)->add_option("id", options->ids, "the run's id or its start")->required()->expected(1);
  add("diff", "What differs between two runs", diff_runs)->add_option("ids", options->ids, "two ids or their starts")->required()->expected(2);
  CLI::App* draw = add("plot", "Loss curves of runs over one another", plot);
  draw->add_option("ids", options->ids, "ids or their starts")->required()->expected(1, 16);
  draw->add_option("-o,--output", options->file, "an SVG file instead of the terminal");
}

}  // namespace redoubt::cli
