// SPDX-License-Identifier: Apache-2.0
#include "cli/endpoint_guards.h"

#include "base/file.h"
#include "telemetry/options.h"

namespace redoubt::cli {
namespace {

Result<std::vector<guards::PatternRule>> read_pack(const guards::PackFile& pack) {
  const auto pem = TRY(read_text_file(pack.key_file, kRulePackKeyBytesMax));
  const auto key = crypto::PublicKey::from_pem(pem);
  if (!key) return fail(ErrorCode::invalid_argument, "deploy.guards: " + key.error().message, pack.key_file, "name a PEM file with the public key that signed the pack");
  const auto text = TRY(read_text_file(pack.file, kRulePackBytesMax));
  return guards::open_rule_pack(text, *key, pack.file);
}

}  // namespace

Result<std::shared_ptr<const guards::Guards>> make_guards(const Json& json) {
  if (json.empty()) return std::shared_ptr<const guards::Guards>();
  const auto options = TRY(guards::read_guards(json));
  std::vector<guards::PatternRule> rules;
  for (const auto& pack : options.packs) {
    auto read = TRY(read_pack(pack));
    std::move(read.begin(), read.end(), std::back_inserter(rules));
  }
  return std::shared_ptr<const guards::Guards>(TRY(guards::Guards::create(options, std::move(rules))));
}

Result<Telemetry> make_telemetry(const Json& json, const std::filesystem::path& logs, gateway::GatewayMetrics& metrics) {
  auto options = TRY(telemetry::read_telemetry(json));
  Telemetry made;
  made.traces_share = options.traces_share;
  const auto lost = [&metrics](const char* what) { return [&metrics, what](std::uint64_t count) { metrics.add_telemetry_lost(what, count); }; };
  if (options.access_log) {
    if (options.access_log->file.is_relative()) {
      options.access_log->file = logs / options.access_log->file;
      TRY(make_folder(options.access_log->file.parent_path()));
    }
    options.access_log->on_lost = lost("access_log");
    made.sinks.push_back(TRY(telemetry::AccessLog::create(std::move(*options.access_log))));
  }
  if (options.traces) {
    options.traces->on_lost = lost("traces");
    made.sinks.push_back(TRY(telemetry::TraceExporter::create(std::move(*options.traces))));
  }
  return made;
}

}  // namespace redoubt::cli
