// SPDX-License-Identifier: Apache-2.0
//
// What a mirror gave out, in a workspace's ledger: counts of downloads, and the newest line of the audit file, so that a file that is
// cut, changed, replaced or removed is noticed.
#pragma once

#include "cli/session.h"
#include "hub/audit.h"

namespace redoubt::cli {

class MirrorLedger {
 public:
  // Of the audit file at this place.
  static Result<MirrorLedger> open(const GlobalOptions& global, const std::filesystem::path& audit_file);
  // The newest head that the ledger tells of; no lines where it tells of none.
  Result<hub::AuditHead> known();
  // permission_denied for an identity that runs nothing; tampered where the file is not, or does not go on from, what the ledger knows.
  Status require_known();
  // Appends an event where anything was downloaded; what fails is logged, and told with the next.
  void tell(hub::AuditLog::Since since);

 private:
  MirrorLedger(std::unique_ptr<Session> session, std::filesystem::path file, std::string place) : session_(std::move(session)), file_(std::move(file)), place_(std::move(place)) {}
  std::unique_ptr<Session> session_;
  std::filesystem::path file_;
  std::string place_;                         // SHA-256 of the file's path: paths may name people
  std::vector<hub::DownloadCount> untold_;
};

}  // namespace redoubt::cli
