// SPDX-License-Identifier: Apache-2.0
#include "cli/key_age.h"

#include <fmt/format.h>

#include "cli/alarm_reports.h"
#include "cli/compose.h"
#include "vault/rewrap.h"

namespace redoubt::cli {
namespace {

using OwnSeals = std::map<std::string, governance::Workspace::OwnSeal>;

// A rotation that was cut off while data keys were wrapped: the next one finishes it instead of adding one more version.
Result<bool> rotation_is_unfinished(Session& session) {
  const auto events = TRY(session.evidence().of_step("keys"));
  if (events.empty()) return false;
  return TRY(attest::to_step_record(events.back().statement)).result.value("action", "") == "rotate";
}

// What seals the datasets whose own keys are kept on this machine, by the prefix of their objects.
Result<OwnSeals> own_seals(Session& session, const custody::View& view) {
  OwnSeals seals;
  for (const auto& [id, key] : view.own_keys()) {
    if (key.erasing || !key.uri.starts_with("own:")) continue;
    const auto keyring = session.workspace().own_keys();
    if (!keyring && keyring.error().code != ErrorCode::not_found) return fail(keyring.error());
    // One that is not on this machine is rotated where it is.
    if (!keyring || !TRY((*keyring)->versions()).contains(id)) continue;
    auto* keeper = *keyring;
    seals[custody::Place{id}.prefix()] = {{keeper, key.uri}, [keeper, uri = key.uri](ByteView wrapped) { return keeper->is_current(uri, wrapped); }};
  }
  return seals;
}

Status rewrap_archive(Session& session, const custody::View& view, const OwnSeals& own, RotatedKeys& done) {
  if (view.in_archive().empty()) return {};
  auto* archive = TRY(TRY(session.stores()).objects(custody::kArchive));
  auto& workspace = session.workspace();
  const auto key = workspace.sealing_key();
  const auto is_current = [&](ByteView wrapped) { return workspace.kms().is_current(key.uri, wrapped); };
  for (const auto& object : TRY(archive->list(""))) {
    const auto seal = own.find(object.substr(0, object.find('/', 4) + 1));
    const bool is_own = object.starts_with("own/");
    if (is_own && seal == own.end()) continue;
    ++done.files;
    done.rewrapped += TRY(is_own ? vault::rewrap_object(*archive, object, seal->second.key, seal->second.is_current) : vault::rewrap_object(*archive, object, key, is_current)) ? 1 : 0;
  }
  return {};
}

}  // namespace

Json KeyAge::to_json() const {
  return {{"key", key}, {"version", version}, {"rotated", to_rfc3339(rotated)}, {"days", days}, {"rotate_after_days", days_max}, {"overdue", overdue()},
          {"rotation", rotation == custody::Rotation::automatic ? "automatic" : "warn"}};
}

std::string KeyAge::text() const { return fmt::format("{} version {}, {} days old of {}", key, version, days, days_max) + (overdue() ? ": overdue" : ""); }

Result<KeyAge> key_age(Session& session) {
  const auto view = TRY(session.custody());
  const auto rules = TRY(custody::Rules::of(view));
  const auto now = session.clock().now();
  TRY(custody::check_clock(view, now));
  KeyAge age;
  age.key = session.workspace().sealing_key().uri;
  age.rotated = session.workspace().created();
  age.days_max = rules.rotate_after_days;
  age.rotation = rules.rotation;
  for (const auto& entry : TRY(session.evidence().of_step("keys"))) {
    const auto record = TRY(attest::to_step_record(entry.statement));
    if (json_or(record.result, "action", "") != "rotate") continue;
    age.rotated = record.finished;
    age.version = json_or(record.result, "version", std::int64_t{1});
  }
  age.days = static_cast<int>((now - age.rotated) / std::chrono::hours(24));
  return age;
}

Result<RotatedKeys> rotate_keys(Session& session, Progress& progress) {
  auto& workspace = session.workspace();
  const auto view = TRY(session.custody());
  const auto own = TRY(own_seals(session, view));
  RotatedKeys done;
  done.key = workspace.sealing_key().uri;
  done.own_keys = own.size();
  done.resumed = TRY(rotation_is_unfinished(session));
  if (!done.resumed) {
    for (const auto& [prefix, seal] : own) TRY(seal.key.kms->rotate_key(seal.key.uri));
    TRY(workspace.kms().rotate_key(done.key));
  }
  done.version = TRY(workspace.kms().versions())["default"];
  if (!done.resumed) TRY(session.record_event("keys", {{"action", "rotate"}, {"key", done.key}, {"version", done.version}, {"own_keys", done.own_keys}}));
  const auto wrapped = TRY(workspace.rewrap(progress, own));
  done.files = wrapped.files;
  done.rewrapped = wrapped.rewrapped;
  TRY(rewrap_archive(session, view, own, done));
  TRY(session.record_event("keys", {{"action", "rewrap"}, {"key", done.key}, {"version", done.version}, {"files", done.files}, {"rewrapped", done.rewrapped}}));
  return done;
}

Status tell_key_alarm(Session& session, const KeyAge& age) {
  provider::AlarmRule rule;
  rule.name = "KeyRotationOverdue";
  rule.description = fmt::format("the key that wraps data keys is older than {} days: redoubt keys rotate", age.days_max);
  rule.limit = age.days_max - 0.5;
  rule.unit = provider::MetricUnit::none;
  auto reports = TRY(AlarmReports::create(session, kNoEndpoint, pipeline::WatchOptions(), {rule}));
  return reports->look({{rule.name, static_cast<double>(age.days)}});
}

}  // namespace redoubt::cli
