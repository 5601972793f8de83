// SPDX-License-Identifier: Apache-2.0
#include "stages/acquire/remote_scan.h"

#include <algorithm>

#include "model_scan/model_scan.h"
#include "stages/acquire/remote_file.h"

namespace redoubt::stages::acquire {
namespace {

constexpr std::string_view kScheme = "hf://";

}  // namespace

std::optional<RemoteModel> RemoteModel::parse(std::string_view text) {
  const bool is_hub = text.starts_with(kScheme);
  if (is_hub) text.remove_prefix(kScheme.size());
  RemoteModel model;
  const auto at = text.find('@');
  model.repository = std::string(text.substr(0, at));
  if (at != text.npos) model.revision = std::string(text.substr(at + 1));
  const auto slashes = std::count(model.repository.begin(), model.repository.end(), '/');
  const bool is_path = model.repository.starts_with('/') || model.repository.starts_with('.') || model.repository.ends_with('/') || slashes != 1;
  if (!is_hub && is_path) return std::nullopt;
  return model;
}

Result<RemoteScan> scan_repository(const HubClient& hub, const RemoteModel& model, Progress& progress) {
  TRY(hub.check(model.repository, model.revision));
  const std::string commit = is_commit(model.revision) ? model.revision : TRY(hub.resolve(model.repository, model.revision));
  const auto listed = TRY(hub.list(model.repository, commit));
  std::uint64_t total = 0, done = 0;
  for (const auto& file : listed) total += file.size;  // at most 10,000 files of 1 TiB: no overflow
  progress.begin("scan", total, "bytes");
  const RemoteFile::Place place{hub, model.repository, commit};
  RemoteScan result;
  result.commit = commit;
  for (const auto& file : listed) {
    auto remote = TRY(RemoteFile::open(place, file, [&](std::uint64_t bytes) { progress.update(done += bytes, file.path); }));
    auto scanned = model_scan::scan_file(*remote, file.path);
    TRY(remote->finish());  // first: what a file that is another was found to hold, says nothing
    result.scan.add(TRY(std::move(scanned)));
  }
  progress.end();
  return result;
}

}  // namespace redoubt::stages::acquire
