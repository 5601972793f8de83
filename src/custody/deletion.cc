// SPDX-License-Identifier: Apache-2.0
#include "custody/deletion.h"

#include <fmt/format.h>

#include <algorithm>

namespace redoubt::custody {
namespace {

constexpr std::size_t kWrongCodesMax = 5;
constexpr std::chrono::minutes kWrongCodesWithin{10};

struct Group {
  Place place;
  std::string role;
  auto operator<=>(const Group&) const = default;
};

// Whether another version that stays has the same artifact in the same place.
bool is_named_besides(const View& view, const NamedVersion& version, const std::vector<NamedVersion>& going) {
  for (const auto& other : view.versions_of(Target{"", 0, version.artifact})) {
    const bool goes = std::any_of(going.begin(), going.end(), [&](const NamedVersion& one) { return one.name == other.name && one.number == other.number; });
    if (!goes && other.place == version.place) return true;
  }
  return false;
}

std::size_t wrong_codes(const View& view, const std::string& identity, TimePoint now) {
  const auto found = view.enrolments().find(identity);
  if (found == view.enrolments().end()) return 0;
  return static_cast<std::size_t>(std::count_if(found->second.refused.begin(), found->second.refused.end(), [&](TimePoint at) { return at + kWrongCodesWithin > now; }));
}

}  // namespace

Status may_delete(const View& view, const Rules& rules, const Needs& needs, const std::vector<NamedVersion>& versions, TimePoint now) {
  for (const auto& version : versions) {
    const std::string what = version.name.empty() ? version.artifact.tagged() : version.text();
    const auto refuse = [&](const std::string& why, const char* hint) { return fail(ErrorCode::gate_refused, fmt::format("{} may not be deleted: {}", what, why), what, hint); };
    const auto hold = version.name.empty() ? view.held(version.artifact) : view.held(version);
    if (!hold.empty()) return refuse("it is held by " + hold, "release the hold first: redoubt vault hold release");
    if (const auto kept = kept_by_rule(rules, version, now); !kept.empty()) return refuse(kept, "wait until then, or let an admin set another policy: redoubt vault policy set");
    const bool stays = !version.place.own_key.empty() || is_named_besides(view, version, versions);
    if (const auto need = needs.why(version.artifact); !need.empty() && !stays) return refuse("the release " + need + " stands on it", "reject or revoke that version first");
    // An artifact that is held under another name stays as it is; only this name goes.
  }
  return {};
}

Result<Deleted> delete_versions(const Stores& stores, const View& view, const Needs& needs, const std::vector<NamedVersion>& versions, const std::string& cause, const Json& about) {
  std::map<Group, std::set<Digest>> going;
  Json names = Json::array();
  Deleted done;
  for (const auto& version : versions) {
    if (!version.name.empty()) names.push_back(version.text());
    ++done.versions;
    if (is_named_besides(view, version, versions)) continue;
    const std::pair<Place, Digest> one = {version.place, version.artifact};
    if (view.in_archive().contains(one)) going[{version.place, kArchive}].insert(version.artifact);
    // What was archived may have come back from a replica.
    if (!view.archived().contains(one) || TRY(TRY(stores.artifacts(kObjects, version.place))->has(version.artifact))) going[{version.place, kObjects}].insert(version.artifact);
  }
  if (going.empty() && !versions.empty()) going[{versions.front().place, kObjects}];  // the names alone
  Json event = about;
  event.update({{"action", "remove"}, {"cause", cause}, {"versions", names}});
  for (const auto& [group, artifacts] : going) {
    ObjectList list;
    if (!artifacts.empty()) list = TRY(objects_to_remove(*TRY(stores.artifacts(group.role, group.place)), artifacts, group.place.own_key.empty() ? needs : Needs()));
    TRY(remove_objects(stores, group.place, group.role, list, event));
    done.objects += list.manifests.size() + list.blobs.size();
    done.shared += list.shared;
    event = {{"action", "remove"}, {"cause", cause}};  // the second factor and the names count once
  }
  return done;
}

Status check_attempts(const View& view, const std::string& identity, TimePoint now) {
  if (!view.enrolments().contains(identity) || view.enrolments().at(identity).enrolled == TimePoint{}) {
    return fail(ErrorCode::permission_denied, "this identity has no one-time codes", identity, "enrol with 'redoubt vault totp enrol', or ask another person: leave out --totp");
  }
  if (wrong_codes(view, identity, now) < kWrongCodesMax) return {};
  return fail(ErrorCode::permission_denied, fmt::format("{} wrong codes within {} minutes: no further one is looked at now", kWrongCodesMax, kWrongCodesWithin.count()), identity,
              "wait; if these were not yours, somebody has this identity's key file: replace it");
}

CodeVerdict judge_code(const View& view, const std::string& identity, const Secret& secret, std::string_view code, TimePoint now) {
  if (auto open = check_attempts(view, identity, now); !open) return {{}, false, open.error()};
  const auto counter = crypto::match_totp(secret, code, now);
  const auto used = view.enrolments().at(identity).used;
  if (!counter) return {{}, true, {ErrorCode::permission_denied, "the code is wrong", identity, "type the newest code of your authenticator; its clock and this machine's must agree"}};
  // RFC 6238 section 5.2: a code is accepted once. Those before it are as good as used.
  if (*counter <= used) return {{}, true, {ErrorCode::permission_denied, "the code was used already", identity, "wait for the next one: a code counts once"}};
  return {counter, false, {}};
}

Result<Request> request_to_decide(const View& view, const std::string& id, const std::string& identity, TimePoint now) {
  const auto found = std::find_if(view.requests().begin(), view.requests().end(), [&](const Request& one) { return one.id == id; });
  if (found == view.requests().end()) return fail(ErrorCode::not_found, "there is no such request", id, "see 'redoubt vault requests'");
  const std::string state = state_of(*found, now);
  if (state != "open") return fail(ErrorCode::gate_refused, "the request is " + state, id, state == "expired" ? "ask again: redoubt vault " + found->operation : "");
  if (found->by == identity) return fail(ErrorCode::permission_denied, "who asks may not approve it", identity, "another person with the role of a reviewer has to: redoubt --as reviewer vault approve " + id);
  return *found;
}

}  // namespace redoubt::custody
