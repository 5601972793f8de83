// SPDX-License-Identifier: Apache-2.0
#include "telemetry/options.h"

#include "base/file.h"
#include "base/json_members.h"

namespace redoubt::telemetry {
namespace {

constexpr std::string_view kWhere = "deploy.telemetry";

Result<AccessLogOptions> access_log_of(const Json& json) {
  TRY(only_members(json, {"file", "bytes_max", "files"}, kWhere));
  AccessLogOptions options;
  options.file = TRY(json_string(json, "file", kWhere));
  // Of a name below logs/: never over one of the workspace's own files, for the vault's access log lies there, too.
  if (options.file.is_relative() && !is_safe_relative_path(options.file.string())) return fail(ErrorCode::invalid_argument, "the access log's file is no safe name: " + options.file.string(), std::string(kWhere));
  const auto bytes = json_or(json, "bytes_max", static_cast<std::int64_t>(options.bytes_max));
  const auto files = json_or(json, "files", std::int64_t{options.files});
  if (bytes < 1024 || files < 1 || files > 1000) return fail(ErrorCode::invalid_argument, "an access log has 1 to 1000 files of at least 1024 bytes", std::string(kWhere));
  options.bytes_max = static_cast<std::uint64_t>(bytes);
  options.files = static_cast<int>(files);
  return options;
}

}  // namespace

Result<TelemetryOptions> read_telemetry(const Json& json) {
  TRY(only_members(json, {"access_log", "traces"}, kWhere));
  TelemetryOptions options;
  if (json.contains("access_log")) options.access_log = TRY(access_log_of(json["access_log"]));
  if (!json.contains("traces")) return options;
  const auto& traces = json["traces"];
  TRY(only_members(traces, {"url", "ca_file", "service", "share"}, kWhere));
  options.traces.emplace();
  options.traces->url = TRY(json_string(traces, "url", kWhere));
  TRY(check_collector(options.traces->url));
  options.traces->ca_file = json_or(traces, "ca_file", "");
  options.traces->service = json_or(traces, "service", options.traces->service.c_str());
  options.traces_share = json_or(traces, "share", 1.0);
  if (options.traces_share < 0 || options.traces_share > 1) return fail(ErrorCode::invalid_argument, "traces.share goes from 0 to 1", std::string(kWhere));
  return options;
}

}  // namespace redoubt::telemetry
