// SPDX-License-Identifier: Apache-2.0
//
// A model of a hub scanned where it lies: every file is read once over the network, and nothing of it is kept.
#pragma once

#include "base/progress.h"
#include "model_scan/report.h"
#include "stages/acquire/hub_client.h"

namespace redoubt::stages::acquire {

struct RemoteModel {
  std::string repository, revision = "main";
  // "hf://OWNER/NAME[@REVISION]" or "OWNER/NAME[@REVISION]", or only a NAME where it stands behind hf://. Not checked further.
  static std::optional<RemoteModel> parse(std::string_view text);
};

struct RemoteScan {
  model_scan::ModelScan scan;
  std::string commit;  // that was scanned
};

// Errors of HubClient; tampered for a file whose digest is not the hub's, whatever was found in it.
Result<RemoteScan> scan_repository(const HubClient& hub, const RemoteModel& model, Progress& progress);

}  // namespace redoubt::stages::acquire
