// SPDX-License-Identifier: Apache-2.0
//
// What the ledger says about stored data: names and their versions, holds, requests, what was deleted or moved by right. It is
// replayed from the ledger's events of the steps "vault" and "erasure" (docs/formats/vault-events.md), so nobody changes it without
// the ledger noticing.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "attest/step_statement.h"
#include "base/clock.h"
#include "base/json.h"
#include "ledger/evidence.h"

namespace redoubt::custody {

inline constexpr const char* kVaultStep = "vault";
inline constexpr const char* kErasureStep = "erasure";

// "NAME", "NAME@3" or an artifact's digest.
struct Target {
  std::string name;          // empty: the digest alone counts
  std::uint64_t number = 0;  // 0: every version, or the newest where one is asked for
  Digest artifact{};

  std::string text() const;
};
// Names are [A-Za-z0-9._-] parts joined by '/', at most 128 bytes; invalid_argument for anything else.
Result<Target> parse_target(std::string_view text);

// Where an artifact's objects lie and what seals them.
struct Place {
  std::string own_key;  // the id of the key of its own; empty: the workspace's

  auto operator<=>(const Place&) const = default;
  // Before each object's key: "" or "own/<id>/".
  std::string prefix() const { return own_key.empty() ? "" : "own/" + own_key + "/"; }
};

enum class VersionFate { kept, deleted, expired, erased };
const char* to_string(VersionFate fate);

struct NamedVersion {
  std::string name;
  std::uint64_t number = 0;  // from 1, without gaps
  Digest artifact;
  Place place;
  std::string kind;  // of the manifest
  std::uint64_t files = 0, bytes = 0;
  std::string by, note;
  TimePoint made{};
  std::uint64_t restored_from = 0;  // the version that was made the newest again
  std::uint64_t entry = 0;          // in the ledger
  VersionFate fate = VersionFate::kept;

  std::string text() const { return name.empty() ? artifact.tagged() : name + "@" + std::to_string(number); }
};

struct Hold {
  std::string id;  // "hold-1"
  Target target;
  std::string reason, by, released_by, release_reason;
  TimePoint placed{};
  std::optional<TimePoint> released;
};

enum class RequestState { open, done, rejected };
struct Request {
  std::string id;         // "request-1"
  std::string operation;  // "delete" or "erase"
  Target target;
  std::set<Digest> artifacts;  // what it was when it was asked for
  std::string reason, by, decided_by;
  TimePoint made{}, expires{};
  RequestState state = RequestState::open;
};
// "open", "expired", "done" or "rejected".
const char* state_of(const Request& request, TimePoint now);

// Objects that went by right.
struct Tombstone {
  std::uint64_t entry = 0;
  std::string cause;  // "delete", "expire", "erase"
  std::string by;
  TimePoint at{};
};

struct OwnKey {
  std::string id, uri, name;
  bool erasing = false;  // its destruction has begun
  Json begun = Json::object();  // the event that says so, and who signed it
  std::string begun_by;
  std::uint64_t begun_entry = 0;
  std::optional<std::uint64_t> erased;  // the entry of its certificate
};

struct Enrolment {
  TimePoint enrolled{};
  std::uint64_t used = 0;           // the newest counter that was accepted
  std::vector<TimePoint> refused;   // wrong codes since the last right one, the newest last
};

// Objects that are to go from one of the stores, in the words of one ledger entry.
struct Removal {
  std::uint64_t entry = 0;
  Place place;
  std::string from;  // "objects" or "archive"
  std::vector<std::string> keys;
};

class View {
 public:
  // Everything until now. tampered for an event that no release of this program wrote; unsupported for one of a later one.
  static Result<View> replay(ledger::EvidenceLog& evidence);
  // One event more; what `replay` does for each.
  Status apply(std::uint64_t entry, const attest::StepRecord& record);

  const std::map<std::string, std::vector<NamedVersion>>& names() const { return names_; }
  const std::vector<Hold>& holds() const { return holds_; }
  const std::vector<Request>& requests() const { return requests_; }
  const std::map<std::string, OwnKey>& own_keys() const { return own_keys_; }
  const std::map<std::string, Tombstone>& tombstones() const { return tombstones_; }  // by object's key with its place's prefix
  const std::map<std::string, Enrolment>& enrolments() const { return enrolments_; }
  const std::map<std::pair<Place, Digest>, std::uint64_t>& archived() const { return archived_; }  // the entry that says so
  // Of which the archive has a copy, those too that were put again since and lie here as well.
  const std::set<std::pair<Place, Digest>>& in_archive() const { return in_archive_; }
  // What was announced and not yet said to be done, oldest first.
  const std::vector<Removal>& unfinished() const { return unfinished_; }
  const std::optional<Json>& policy() const { return policy_; }
  // Of the newest event that counts for time.
  TimePoint newest() const { return newest_; }

  // not_found; of a name without a number the newest that is kept.
  Result<NamedVersion> find(const Target& target) const;
  // Every kept version that a target means; of a digest those that have it, whatever their names.
  std::vector<NamedVersion> versions_of(const Target& target) const;
  // Why it may not go, of any hold that stands; empty when none does.
  std::string held(const NamedVersion& version) const;
  std::string held(const Digest& artifact) const;
  std::uint64_t next_number(const std::string& name) const;
  std::string next_id(const char* kind) const;  // "hold", "request"

 private:
  Status apply_vault(std::uint64_t entry, const attest::StepRecord& record);
  Status put(std::uint64_t entry, const attest::StepRecord& record);
  Status hold(const attest::StepRecord& record);
  Status request(const attest::StepRecord& record);
  Status remove(std::uint64_t entry, const attest::StepRecord& record);
  Status move(std::uint64_t entry, const attest::StepRecord& record);
  Status second_factor(const attest::StepRecord& record);
  Status key(std::uint64_t entry, const attest::StepRecord& record);
  Status erased(std::uint64_t entry, const attest::StepRecord& record);
  bool is_kept(const Place& place, const Digest& artifact) const;
  Status use_up(const attest::StepRecord& record);
  Status finish(const attest::StepRecord& record);

  std::map<std::string, std::vector<NamedVersion>> names_;
  std::vector<Hold> holds_;
  std::vector<Request> requests_;
  std::map<std::string, OwnKey> own_keys_;
  std::map<std::string, Tombstone> tombstones_;
  std::map<std::string, Enrolment> enrolments_;
  std::map<std::pair<Place, Digest>, std::uint64_t> archived_;
  std::set<std::pair<Place, Digest>> in_archive_;
  std::vector<Removal> unfinished_;
  std::optional<Json> policy_;
  TimePoint newest_{};
};

}  // namespace redoubt::custody
