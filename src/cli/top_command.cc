// SPDX-License-Identifier: Apache-2.0
//
// redoubt top: what an endpoint does, from its own metrics.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <thread>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/local_endpoint.h"
#include "cli/prompt.h"
#include "http/client.h"
#include "telemetry/exposition.h"

namespace redoubt::cli {
namespace {

using telemetry::Exposition;

constexpr std::uint64_t kMetricsBytesMax = 8 << 20;

struct TopOptions {
  std::string environment = "production", url, ca_file, key_file;
  double interval_s = 2;
  bool once = false;
};

struct Look {
  Exposition metrics;
  std::chrono::steady_clock::time_point at;
};

Result<Look> look(const http::Client& client, const std::string& url, const Secret& key) {
  http::ClientRequest request;
  request.url = url + "/metrics";
  request.bearer = Secret(key);
  request.bytes_max = kMetricsBytesMax;
  const auto answer = client.fetch(request);
  if (!answer && answer.error().code == ErrorCode::permission_denied) return fail(ErrorCode::permission_denied, "the endpoint does not show its metrics to this key", url, "make one: redoubt key create --name top --scope metrics");
  if (!answer) return fail(answer.error());
  auto samples = TRY(telemetry::parse_exposition(answer->second));
  return Look{Exposition(std::move(samples)), std::chrono::steady_clock::now()};
}

// What came since the look before, a second; the first look can't tell.
Json rate(const Look& now, const Look* before, const char* name) {
  if (before == nullptr) return nullptr;
  const double seconds = std::chrono::duration<double>(now.at - before->at).count();
  return seconds <= 0 ? 0 : std::max(0.0, now.metrics.sum(name) - before->metrics.sum(name)) / seconds;
}

Json quantiles_ms(const Look& now, const Look* before, const char* name) {
  Json out = Json::object();
  for (const auto& [word, share] : {std::pair("p50", 0.5), std::pair("p99", 0.99)}) {
    const auto value = now.metrics.quantile(name, share, before == nullptr ? nullptr : &before->metrics);
    out[word] = value ? Json(*value * 1000) : Json(nullptr);
  }
  return out;
}

Json frame_of(const Look& now, const Look* before, const std::string& url) {
  const auto total = [&](const char* name) { return now.metrics.sum(name); };
  Json responses = Json::object(), guards = Json::array();
  for (const auto& sample : now.metrics.samples()) {
    if (sample.name == "redoubt_responses_total" && sample.labels.contains("status")) {
      auto& count = responses[sample.labels.at("status")];
      count = (count.is_number() ? count.get<double>() : 0) + sample.value;
    }
    if (sample.name == "redoubt_guard_hits_total") {
      Json hit = {{"count", sample.value}};
      for (const auto& [name, value] : sample.labels) hit[name] = value;
      guards.push_back(std::move(hit));
    }
  }
  return {{"url", url},
          {"workers_ready", total("redoubt_workers_ready")},
          {"worker_restarts", total("redoubt_worker_restarts_total")},
          {"running", total("vllm:num_requests_running")},
          {"waiting", total("vllm:num_requests_waiting")},
          {"requests", total("redoubt_requests_total")},
          {"throttled", total("redoubt_throttled_total")},
          {"unauthorized", total("redoubt_unauthorized_total")},
          {"failed", total("redoubt_invocation_errors_total")},
          {"prompt_tokens", total("vllm:prompt_tokens_total")},
          {"answer_tokens", total("vllm:generation_tokens_total")},
          {"captures_dropped", total("redoubt_captures_dropped_total")},
          {"telemetry_lost", total("redoubt_telemetry_lost_total")},
          {"per_second", {{"requests", rate(now, before, "redoubt_requests_total")}, {"prompt_tokens", rate(now, before, "vllm:prompt_tokens_total")}, {"answer_tokens", rate(now, before, "vllm:generation_tokens_total")}}},
          {"latency_ms", quantiles_ms(now, before, "vllm:e2e_request_latency_seconds")},
          {"first_token_ms", quantiles_ms(now, before, "vllm:time_to_first_token_seconds")},
          {"responses", std::move(responses)},
          {"guard_hits", std::move(guards)}};
}

std::string milliseconds(const Json& value) { return value.is_null() ? "-" : fmt::format("{:.0f} ms", value.get<double>()); }

std::string page_of(const Json& view) {
  const auto number = [&](const char* name) { return fmt::format("{:.0f}", view[name].get<double>()); };
  const auto speed = [&](const char* name) {
    const auto& value = view["per_second"][name];
    return value.is_null() ? "-" : fmt::format("{:.1f}/s", value.get<double>());
  };
  Table table{{"WHAT", "NOW", "SINCE THE START"}, {}};
  table.rows = {{"workers ready", number("workers_ready"), number("worker_restarts") + " restarts"},
                {"requests running", number("running"), ""},
                {"requests waiting", number("waiting"), ""},
                {"requests", speed("requests"), number("requests")},
                {"prompt tokens", speed("prompt_tokens"), number("prompt_tokens")},
                {"answer tokens", speed("answer_tokens"), number("answer_tokens")},
                {"first token p50, p99", milliseconds(view["first_token_ms"]["p50"]) + ", " + milliseconds(view["first_token_ms"]["p99"]), ""},
                {"whole answer p50, p99", milliseconds(view["latency_ms"]["p50"]) + ", " + milliseconds(view["latency_ms"]["p99"]), ""},
                {"throttled", "", number("throttled")},
                {"without a valid key", "", number("unauthorized")},
                {"failed on our side", "", number("failed")},
                {"records lost", "", fmt::format("{} captures, {} of telemetry", number("captures_dropped"), number("telemetry_lost"))}};
  for (const auto& [status, count] : view["responses"].items()) table.rows.push_back({"answers " + status, "", fmt::format("{:.0f}", count.get<double>())});
  for (const auto& hit : view["guard_hits"])
    table.rows.push_back({fmt::format("guard {} {}", hit.value("direction", ""), hit.value("kind", "")), hit.value("action", ""), fmt::format("{:.0f}", hit["count"].get<double>())});
  return view["url"].get<std::string>() + "\n" + render(table);
}

Result<int> top(Invocation& invocation, const TopOptions& options, const Output& output) {
  std::string url = options.url, ca_file = options.ca_file;
  while (url.ends_with('/')) url.pop_back();
  if (url.empty()) {
    const auto status = TRY(endpoint_process(invocation.global, options.environment).status());
    if (!status.running) return fail(ErrorCode::unavailable, "no endpoint of this environment runs on this machine", options.environment, "start it with 'redoubt endpoint start', or name one with --url");
    url = status.url;
    if (ca_file.empty()) ca_file = status.ca_file;
  }
  const Secret key = options.key_file.empty() ? TRY(read_secret("API key with the scope 'metrics'")) : TRY(read_secret_file(options.key_file));
  http::ClientOptions client_options;
  client_options.ca_file = ca_file;
  client_options.connect_s_max = 5;
  client_options.total_s_max = 15;
  client_options.redirects_max = 0;
  const http::Client client(client_options);
  std::optional<Look> before;
  const char* terminal = std::getenv("TERM");
  const bool knows_escapes = terminal != nullptr && std::string_view(terminal) != "dumb" && *terminal != '\0';
  const bool screen = ::isatty(STDOUT_FILENO) != 0 && knows_escapes && !output.json() && !options.once;
  while (true) {
    auto now = TRY(look(client, url, key));
    const Json view = frame_of(now, before ? &*before : nullptr, url);
    if (screen) std::fputs("\x1b[H\x1b[2J", stdout);
    output.result(view, page_of(view));
    std::fflush(stdout);
    if (options.once) return 0;
    before.emplace(std::move(now));
    std::this_thread::sleep_for(std::chrono::duration<double>(options.interval_s));
  }
}

}  // namespace

void add_top_command(CLI::App& app, Invocation& invocation) {
  auto options = std::make_shared<TopOptions>();
  CLI::App* command = add_command(app, invocation, "top", "What an endpoint does at this moment", [&invocation, options](const Output& output) { return top(invocation, *options, output); });
  command->add_option("--environment", options->environment, "dev, staging or production (default)")->check(CLI::IsMember({"dev", "staging", "production"}));
  command->add_option("--url", options->url, "an endpoint elsewhere, https://HOST:PORT");
  command->add_option("--ca-file", options->ca_file, "whose certificate it has (default: the workspace's authority)");
  command->add_option("--key-file", options->key_file, "a file with an API key of the scope 'metrics' (default: asked for)");
  command->add_option("--interval", options->interval_s, "seconds between two looks (default 2)")->check(CLI::Range(0.2, 3600.0));
  command->add_flag("--once", options->once, "one look, then the end");
}

}  // namespace redoubt::cli
