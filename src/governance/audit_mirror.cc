// SPDX-License-Identifier: Apache-2.0
#include "governance/audit_mirror.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace redoubt::governance {
namespace {

constexpr std::uint64_t kBatch = 200;
constexpr std::size_t kTextBytesMax = 256, kMembersMax = 100;

// What persons write in their own words may name persons; it stays in the ledger.
constexpr std::array kFreeText = {"reason", "description", "intended_use", "limitations", "comment"};

bool is_free_text(const std::string& key) { return std::find(kFreeText.begin(), kFreeText.end(), key) != kFreeText.end(); }

bool is_plain(const Json& value) {
  return value.is_boolean() || value.is_number() || (value.is_string() && value.get_ref<const std::string&>().size() <= kTextBytesMax);
}

// Plain members, and those of objects of plain members; lists and what lies deeper are for readers of the ledger.
Json summary_of(const Json& result, int depth = 0) {
  Json summary = Json::object();
  for (const auto& [key, value] : result.items()) {
    if (is_free_text(key) || summary.size() >= kMembersMax) continue;
    if (is_plain(value)) summary[key] = value;
    if (value.is_object() && depth < 1) summary[key] = summary_of(value, depth + 1);
  }
  return summary;
}

}  // namespace

provider::AuditEntry audit_entry(const std::string& origin, std::uint64_t index, const Digest& statement, const attest::StepRecord& record) {
  provider::AuditEntry entry;
  entry.index = index;
  entry.time = record.finished;
  entry.origin = origin;
  entry.step = record.step;
  entry.identity = record.identity;
  entry.statement = statement.tagged();
  entry.summary = summary_of(record.result);
  Json outputs = Json::object();
  for (const auto& [name, digest] : record.outputs) {
    if (outputs.size() < kMembersMax) outputs[name] = digest.tagged();
  }
  if (!outputs.empty()) entry.summary["outputs"] = std::move(outputs);
  return entry;
}

Result<std::uint64_t> mirror_audit(ledger::EvidenceLog& evidence, const std::string& origin, provider::AuditSink& sink) {
  std::uint64_t next = TRY(sink.next_index());
  const std::uint64_t first = next, size = TRY(evidence.checkpoint()).head.size;
  if (next > size) {
    return fail(ErrorCode::tampered, fmt::format("the audit trail has {} entries, the ledger only {}", next, size), origin,
                "see what is missing with 'redoubt audit verify'; after a restore of an older backup name another trail in the 'audit' block of the providers");
  }
  while (next < size) {
    std::vector<provider::AuditEntry> batch;
    for (; next < size && batch.size() < kBatch; ++next) {
      const auto found = TRY(evidence.at(next));
      batch.push_back(audit_entry(origin, next, found.digest, TRY(attest::to_step_record(found.statement))));
    }
    TRY(sink.append(batch));
  }
  return next - first;
}

}  // namespace redoubt::governance
