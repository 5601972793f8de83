// SPDX-License-Identifier: Apache-2.0
#include "cli/mirror_ledger.h"

#include <fmt/format.h>

#include "base/log.h"
#include "crypto/hash.h"

namespace redoubt::cli {
namespace {

constexpr const char* kStep = "mirror";
constexpr std::size_t kUntoldMax = 1024;

}  // namespace

Result<MirrorLedger> MirrorLedger::open(const GlobalOptions& global, const std::filesystem::path& audit_file) {
  auto session = TRY(Session::open(global, Duty::acquire));
  std::error_code error;
  const auto place = std::filesystem::weakly_canonical(std::filesystem::absolute(audit_file, error), error);
  if (error) return fail(ErrorCode::invalid_argument, "not a file's name: " + error.message(), audit_file.string());
  return MirrorLedger(std::move(session), audit_file, crypto::sha256(place.string()).hex());
}

Result<hub::AuditHead> MirrorLedger::known() {
  const auto events = TRY(session_->evidence().of_step(kStep));
  for (auto event = events.rbegin(); event != events.rend(); ++event) {
    const auto result = TRY(attest::to_step_record(event->statement)).result;
    const Json head = json_or(result, "audit", Json::object());
    if (json_or(head, "place", "") != place_) continue;
    return hub::AuditHead{static_cast<std::uint64_t>(TRY(json_integer(head, "lines", "ledger"))), TRY(json_string(head, "last", "ledger"))};
  }
  return hub::AuditHead{};
}

Status MirrorLedger::require_known() {
  TRY(session_->require(governance::Permission::run_pipeline));
  const auto head = TRY(known());
  if (head.lines == 0) return {};
  const char* cure = "put the file back from a copy, or name a new one with '--audit-file'; 'redoubt hub audit --ledger' tells more";
  const auto check = hub::check_audit(file_, head);
  if (!check && check.error().code == ErrorCode::not_found) return fail(ErrorCode::tampered, fmt::format("the ledger knows {} lines of an audit file that is not there", head.lines), file_.string(), cure);
  if (!check) return fail(check.error());
  if (check->problems.empty()) return {};
  return fail(ErrorCode::tampered, fmt::format("the audit file is not what the ledger knows: {}: {}", check->problems.front().object, check->problems.front().detail), file_.string(), cure);
}

void MirrorLedger::tell(hub::AuditLog::Since since) {
  for (auto& count : since.downloads) {
    if (untold_.size() < kUntoldMax) untold_.push_back(std::move(count));
  }
  if (untold_.empty()) return;
  Json downloads = Json::array();
  for (const auto& count : untold_) {
    downloads.push_back({{"token", count.token}, {"repository", count.repository}, {"commit", count.commit}, {"files", count.files}, {"bytes", count.bytes},
                         {"first", to_rfc3339(count.first)}, {"last", to_rfc3339(count.last)}});
  }
  const auto told = session_->record_event(kStep, {{"audit", {{"place", place_}, {"lines", since.head.lines}, {"last", since.head.last}}}, {"downloads", std::move(downloads)}});
  if (!told) return spdlog::error("hub: the ledger can't be told what was downloaded: {} ({})", told.error().message, told.error().where);
  untold_.clear();
}

}  // namespace redoubt::cli
