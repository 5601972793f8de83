// SPDX-License-Identifier: Apache-2.0
#include "provider/audit_sink.h"

namespace redoubt::provider {
namespace {

constexpr const char* kOcsfVersion = "1.3.0";
constexpr int kCategory = 6, kClass = 6002, kActivityOther = 99, kSeverityInformational = 1, kStatusSuccess = 1;

std::string text(const AuditEntry& entry) { return "entry " + std::to_string(entry.index); }

}  // namespace

Json to_event(const AuditEntry& entry) {
  const Json product = {{"name", "Redoubt"}, {"vendor_name", "Redoubt"}};
  return {{"metadata", {{"version", kOcsfVersion}, {"product", product}, {"uid", entry.statement}, {"sequence", entry.index}, {"log_name", entry.origin}}},
          {"category_uid", kCategory},
          {"class_uid", kClass},
          {"activity_id", kActivityOther},
          {"activity_name", entry.step},
          {"type_uid", kClass * 100 + kActivityOther},
          {"severity_id", kSeverityInformational},
          {"status_id", kStatusSuccess},
          {"time", entry.time.time_since_epoch().count()},
          {"actor", {{"user", {{"name", entry.identity}}}}},
          {"app", product},
          {"unmapped", {{"summary", entry.summary}}}};
}

Result<AuditEntry> parse_event(std::string_view line, std::string_view where) {
  const Json event = TRY(parse_json(line, where, {kAuditEventBytesMax, 32}));
  const Json metadata = TRY(json_object(event, "metadata", where));
  if (TRY(json_integer(event, "class_uid", where)) != kClass) return fail(ErrorCode::invalid_argument, "not an event of an audit trail", std::string(where));
  AuditEntry entry;
  const auto index = TRY(json_integer(metadata, "sequence", where));
  if (index < 0) return fail(ErrorCode::invalid_argument, "an index below zero", std::string(where));
  entry.index = static_cast<std::uint64_t>(index);
  entry.time = TimePoint(std::chrono::milliseconds(TRY(json_integer(event, "time", where))));
  entry.origin = TRY(json_string(metadata, "log_name", where));
  entry.step = TRY(json_string(event, "activity_name", where));
  entry.identity = TRY(json_string(TRY(json_object(TRY(json_object(event, "actor", where)), "user", where)), "name", where));
  entry.statement = TRY(json_string(metadata, "uid", where));
  entry.summary = TRY(json_object(TRY(json_object(event, "unmapped", where)), "summary", where));
  return entry;
}

Result<std::vector<AuditEntry>> entries_to_append(const std::vector<AuditEntry>& entries, std::uint64_t next) {
  std::vector<AuditEntry> wanted;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const auto& entry = entries[i];
    if (i > 0 && entry.index != entries[i - 1].index + 1) return fail(ErrorCode::invalid_argument, "audit entries are not in order", text(entry));
    if (entry.index < next) continue;
    if (entry.index > next + wanted.size()) return fail(ErrorCode::invalid_argument, "audit entries would leave a gap behind " + std::to_string(next), text(entry));
    if (dump_json(to_event(entry)).size() > kAuditEventBytesMax) return fail(ErrorCode::limit_exceeded, "an audit entry is too large", text(entry));
    wanted.push_back(entry);
  }
  return wanted;
}

}  // namespace redoubt::provider
