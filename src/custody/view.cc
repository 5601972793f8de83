// SPDX-License-Identifier: Apache-2.0
#include "custody/view.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/file.h"
#include "provider/object_store.h"

namespace redoubt::custody {
namespace {

constexpr std::size_t kNameBytesMax = 128;
constexpr const char* kLedgerWhere = "ledger";

tl::unexpected<Error> malformed(const char* what) { return fail(ErrorCode::tampered, std::string("an event of the vault is not as it was written: ") + what, kLedgerWhere); }

Result<std::uint64_t> count_of(const Json& object, const char* key) {
  const std::int64_t value = TRY(json_integer(object, key, kLedgerWhere));
  if (value < 0) return malformed(key);
  return static_cast<std::uint64_t>(value);
}

Result<Digest> json_digest(const Json& object, const char* key) { return Digest::parse(TRY(json_string(object, key, kLedgerWhere))); }

bool is_key_id(std::string_view id) { return !id.empty() && id.size() <= 64 && id.find_first_not_of("0123456789abcdefghijklmnopqrstuvwxyz-") == id.npos; }

Result<Place> place_of(const Json& object) {
  Place place{json_or(object, "key", "")};
  if (!place.own_key.empty() && !is_key_id(place.own_key)) return malformed("key");
  return place;
}

// The keys of the objects that an event lists by digest.
Result<std::vector<std::string>> keys_of(const Json& object, const Place& place) {
  std::vector<std::string> keys;
  for (const char* kind : {"manifests", "blobs"}) {
    for (const auto& digest : json_or(object, kind, Json::array())) {
      if (!digest.is_string()) return malformed(kind);
      keys.push_back(place.prefix() + kind + "/" + TRY(Digest::parse(digest.get_ref<const std::string&>())).hex());
    }
  }
  return keys;
}

}  // namespace

std::string Target::text() const {
  if (name.empty()) return artifact.tagged();
  return number == 0 ? name : fmt::format("{}@{}", name, number);
}

Result<Target> parse_target(std::string_view text) {
  const auto wrong = [&] {
    return fail(ErrorCode::invalid_argument, "not NAME, NAME@VERSION or sha256:DIGEST", std::string(text.substr(0, 200)),
                "names are letters, digits, '.', '_' and '-' in parts joined by '/', at most 128 characters");
  };
  Target target;
  if (text.starts_with("sha256:")) {
    const auto digest = Digest::parse(text);
    if (!digest) return wrong();
    target.artifact = *digest;
    return target;
  }
  const auto at = text.find('@');
  target.name = text.substr(0, at);
  if (target.name.size() > kNameBytesMax || !provider::is_object_key(target.name)) return wrong();
  if (at == text.npos) return target;
  const auto digits = text.substr(at + 1);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), target.number);
  if (error != std::errc() || end != digits.data() + digits.size() || target.number == 0 || digits.front() == '0') return wrong();
  return target;
}

const char* to_string(VersionFate fate) {
  switch (fate) {
    case VersionFate::kept: return "kept";
    case VersionFate::deleted: return "deleted";
    case VersionFate::expired: return "expired";
    case VersionFate::erased: return "erased";
  }
  return "unknown";
}

const char* state_of(const Request& request, TimePoint now) {
  if (request.state == RequestState::done) return "done";
  if (request.state == RequestState::rejected) return "rejected";
  return now >= request.expires ? "expired" : "open";
}

Result<View> View::replay(ledger::EvidenceLog& evidence) {
  std::map<std::uint64_t, attest::StepRecord> records;
  for (const char* step : {kVaultStep, kErasureStep}) {
    for (const auto& entry : TRY(evidence.of_step(step))) records.emplace(entry.index, TRY(attest::to_step_record(entry.statement)));
  }
  View view;
  for (const auto& [entry, record] : records) TRY(view.apply(entry, record));
  const std::uint64_t size = TRY(evidence.checkpoint()).head.size;
  if (size > 0) view.newest_ = std::max(view.newest_, TRY(attest::to_step_record(TRY(evidence.at(size - 1)).statement)).finished);
  return view;
}

Status View::apply(std::uint64_t entry, const attest::StepRecord& record) {
  newest_ = std::max(newest_, record.finished);
  auto applied = record.step == kErasureStep ? erased(entry, record) : apply_vault(entry, record);
  if (applied || applied.error().code == ErrorCode::unsupported) return applied;
  // Whatever is wrong with it: the ledger's own signature says that a member wrote it, and none of ours does.
  return fail(ErrorCode::tampered, applied.error().message, fmt::format("ledger entry {}", entry));
}

Status View::apply_vault(std::uint64_t entry, const attest::StepRecord& record) {
  const std::string action = TRY(json_string(record.result, "action", kLedgerWhere));
  if (action == "put") return put(entry, record);
  if (action == "hold" || action == "release") return hold(record);
  if (action == "request" || action == "reject") return request(record);
  if (action == "remove") return remove(entry, record);
  if (action == "archive" || action == "unarchive") return move(entry, record);
  if (action == "finish") return finish(record);
  if (action.starts_with("totp-")) return second_factor(record);
  if (action == "key" || action == "erase") return key(entry, record);
  if (action == "policy") {
    policy_ = TRY(json_object(record.result, "policy", kLedgerWhere));
    return {};
  }
  if (action == "get" || action == "replicate" || action == "recover" || action == "remade") return {};  // told, and nothing changes
  return fail(ErrorCode::unsupported, "the ledger tells of something that a later release did: " + action, fmt::format("ledger entry {}", entry), "use that release");
}

Status View::put(std::uint64_t entry, const attest::StepRecord& record) {
  const Json& event = record.result;
  NamedVersion version;
  const auto target = TRY(parse_target(TRY(json_string(event, "name", kLedgerWhere))));
  if (target.name.empty() || target.number != 0) return malformed("name");
  version.name = target.name;
  version.number = TRY(count_of(event, "version"));
  version.artifact = TRY(json_digest(event, "artifact"));
  version.place = TRY(place_of(event));
  version.kind = TRY(json_string(event, "kind", kLedgerWhere));
  version.files = TRY(count_of(event, "files"));
  version.bytes = TRY(count_of(event, "bytes"));
  version.note = json_or(event, "comment", "");
  version.restored_from = static_cast<std::uint64_t>(std::max<std::int64_t>(0, json_or(event, "restored_from", std::int64_t{0})));
  version.by = record.identity;
  version.made = record.finished;
  version.entry = entry;
  if (version.number != next_number(version.name)) return malformed("version");
  if (version.restored_from == 0) archived_.erase({version.place, version.artifact});  // it was written again; what is restored stays where it lies
  names_[version.name].push_back(std::move(version));
  return {};
}

Status View::hold(const attest::StepRecord& record) {
  const Json& event = record.result;
  const std::string id = TRY(json_string(event, "hold", kLedgerWhere));
  const auto known = std::find_if(holds_.begin(), holds_.end(), [&](const Hold& one) { return one.id == id; });
  if (json_or(event, "action", "") == "release") {
    if (known == holds_.end() || known->released) return malformed("hold");
    known->released = record.finished;
    known->released_by = record.identity;
    known->release_reason = json_or(event, "reason", "");
    return {};
  }
  if (id != next_id("hold")) return malformed("hold");
  Hold placed;
  placed.id = id;
  placed.target = TRY(parse_target(TRY(json_string(event, "target", kLedgerWhere))));
  placed.reason = TRY(json_string(event, "reason", kLedgerWhere));
  placed.by = record.identity;
  placed.placed = record.finished;
  holds_.push_back(std::move(placed));
  return {};
}

Status View::request(const attest::StepRecord& record) {
  const Json& event = record.result;
  const std::string id = TRY(json_string(event, "request", kLedgerWhere));
  if (json_or(event, "action", "") == "reject") {
    const auto known = std::find_if(requests_.begin(), requests_.end(), [&](const Request& one) { return one.id == id; });
    if (known == requests_.end() || known->state != RequestState::open) return malformed("request");
    known->state = RequestState::rejected;
    known->decided_by = record.identity;
    return {};
  }
  if (id != next_id("request")) return malformed("request");
  Request made;
  made.id = id;
  made.operation = TRY(json_string(event, "operation", kLedgerWhere));
  made.target = TRY(parse_target(TRY(json_string(event, "target", kLedgerWhere))));
  for (const auto& digest : TRY(json_array(event, "artifacts", kLedgerWhere))) {
    if (!digest.is_string()) return malformed("artifacts");
    made.artifacts.insert(TRY(Digest::parse(digest.get_ref<const std::string&>())));
  }
  made.reason = TRY(json_string(event, "reason", kLedgerWhere));
  made.by = record.identity;
  made.made = record.finished;
  made.expires = TRY(parse_rfc3339(TRY(json_string(event, "expires", kLedgerWhere))));
  if (made.operation != "delete" && made.operation != "erase") return malformed("operation");
  requests_.push_back(std::move(made));
  return {};
}

Status View::remove(std::uint64_t entry, const attest::StepRecord& record) {
  const Json& event = record.result;
  Removal removal{entry, TRY(place_of(event)), json_or(event, "from", "objects"), {}};
  if (removal.from != "objects" && removal.from != "archive") return malformed("from");
  removal.keys = TRY(keys_of(event, removal.place));
  const std::string cause = TRY(json_string(event, "cause", kLedgerWhere));
  const auto fate = cause == "delete" ? VersionFate::deleted : cause == "expire" ? VersionFate::expired : VersionFate::erased;
  if (fate == VersionFate::erased && cause != "erase") return malformed("cause");
  for (const auto& key : removal.keys) tombstones_[key] = {entry, cause, record.identity, record.finished};
  for (const auto& gone : json_or(event, "versions", Json::array())) {
    if (!gone.is_string()) return malformed("versions");
    const auto target = TRY(parse_target(gone.get_ref<const std::string&>()));
    const auto found = names_.find(target.name);
    if (found == names_.end() || target.number == 0 || target.number > found->second.size()) return malformed("versions");
    auto& version = found->second[target.number - 1];
    version.fate = fate;
    // Another version may have the same contents, which stay where they are.
    if (!is_kept(version.place, version.artifact)) archived_.erase({version.place, version.artifact});
  }
  for (const auto& manifest : removal.from == "archive" ? TRY(json_array(event, "manifests", kLedgerWhere)) : Json::array()) {
    if (!manifest.is_string()) return malformed("manifests");
    const std::pair<Place, Digest> gone = {removal.place, TRY(Digest::parse(manifest.get_ref<const std::string&>()))};
    archived_.erase(gone);
    in_archive_.erase(gone);
  }
  if (!removal.keys.empty()) unfinished_.push_back(std::move(removal));
  return use_up(record);
}

bool View::is_kept(const Place& place, const Digest& artifact) const {
  return std::any_of(names_.begin(), names_.end(), [&](const auto& named) {
    return std::any_of(named.second.begin(), named.second.end(), [&](const NamedVersion& version) { return version.fate == VersionFate::kept && version.place == place && version.artifact == artifact; });
  });
}

// The second factor of what was done counts once: its code, or the request of another person.
Status View::use_up(const attest::StepRecord& record) {
  if (const auto counter = json_or(record.result, "totp_counter", std::int64_t{0}); counter > 0) {
    auto& enrolment = enrolments_[record.identity];
    enrolment.used = std::max(enrolment.used, static_cast<std::uint64_t>(counter));
    enrolment.refused.clear();
  }
  const std::string id = json_or(record.result, "request", "");
  if (id.empty()) return {};
  const auto known = std::find_if(requests_.begin(), requests_.end(), [&](const Request& one) { return one.id == id; });
  if (known == requests_.end() || known->state != RequestState::open || known->by == record.identity) return malformed("request");
  known->state = RequestState::done;
  known->decided_by = record.identity;
  return {};
}

Status View::move(std::uint64_t entry, const attest::StepRecord& record) {
  const Json& event = record.result;
  const bool away = json_or(event, "action", "") == "archive";
  Removal removal{entry, TRY(place_of(event)), away ? "objects" : "archive", {}};
  removal.keys = TRY(keys_of(event, removal.place));
  const Digest artifact = TRY(json_digest(event, "artifact"));
  const std::pair<Place, Digest> moved = {removal.place, artifact};
  if (away) {
    archived_[moved] = entry;
    in_archive_.insert(moved);
  } else {
    archived_.erase(moved);
    in_archive_.erase(moved);
  }
  if (!removal.keys.empty()) unfinished_.push_back(std::move(removal));
  return {};
}

Status View::second_factor(const attest::StepRecord& record) {
  const Json& event = record.result;
  const std::string action = json_or(event, "action", "");
  if (action == "totp-enrol") {
    auto& enrolment = enrolments_[record.identity];
    enrolment = {record.finished, enrolment.used, {}};
  } else if (action == "totp-reset") {
    enrolments_.erase(TRY(json_string(event, "name", kLedgerWhere)));
  } else if (action == "totp-refused") {
    enrolments_[record.identity].refused.push_back(record.finished);
  } else if (action == "totp-accepted") {
    TRY(use_up(record));
  } else {
    return malformed("action");
  }
  return {};
}

Status View::key(std::uint64_t entry, const attest::StepRecord& record) {
  const Json& event = record.result;
  const Place place = TRY(place_of(event));
  if (place.own_key.empty()) return malformed("key");
  if (json_or(event, "action", "") == "erase") {
    const auto known = own_keys_.find(place.own_key);
    if (known == own_keys_.end()) return malformed("key");
    known->second.erasing = true;
    known->second.begun = event;
    known->second.begun_by = record.identity;
    known->second.begun_entry = entry;
    return use_up(record);
  }
  OwnKey made;
  made.id = place.own_key;
  made.uri = TRY(json_string(event, "uri", kLedgerWhere));
  made.name = TRY(json_string(event, "name", kLedgerWhere));
  if (!own_keys_.emplace(place.own_key, std::move(made)).second) return malformed("key");
  return {};
}

Status View::erased(std::uint64_t entry, const attest::StepRecord& record) {
  const Place place = TRY(place_of(record.result));
  const auto known = own_keys_.find(place.own_key);
  if (known == own_keys_.end()) return malformed("key");
  known->second.erasing = true;
  known->second.erased = entry;
  for (auto& [name, versions] : names_) {
    for (auto& version : versions) {
      if (version.place == place && version.fate == VersionFate::kept) version.fate = VersionFate::erased;
    }
  }
  std::erase_if(archived_, [&](const auto& one) { return one.first.first == place; });
  std::erase_if(in_archive_, [&](const auto& one) { return one.first == place; });
  return {};
}

Status View::finish(const attest::StepRecord& record) {
  const std::uint64_t through = TRY(count_of(record.result, "through"));
  std::erase_if(unfinished_, [&](const Removal& removal) { return removal.entry <= through; });
  return {};
}

Result<NamedVersion> View::find(const Target& target) const {
  const auto none = [&](const char* what) { return fail(ErrorCode::not_found, what, target.text(), "see 'redoubt vault list'"); };
  if (target.name.empty()) {
    const auto versions = versions_of(target);
    return versions.empty() ? Result<NamedVersion>(none("no version has this digest")) : versions.back();
  }
  const auto found = names_.find(target.name);
  if (found == names_.end()) return none("the vault has no such name");
  if (target.number > found->second.size()) return none("there is no such version");
  if (target.number > 0) return found->second[target.number - 1];
  for (auto version = found->second.rbegin(); version != found->second.rend(); ++version) {
    if (version->fate == VersionFate::kept) return *version;
  }
  return none("no version of this name is kept any more");
}

std::vector<NamedVersion> View::versions_of(const Target& target) const {
  std::vector<NamedVersion> out;
  for (const auto& [name, versions] : names_) {
    for (const auto& version : versions) {
      if (version.fate != VersionFate::kept) continue;
      const bool meant = target.name.empty() ? version.artifact == target.artifact : name == target.name && (target.number == 0 || version.number == target.number);
      if (meant) out.push_back(version);
    }
  }
  return out;
}

std::string View::held(const NamedVersion& version) const {
  for (const auto& hold : holds_) {
    if (hold.released) continue;
    const auto& target = hold.target;
    const bool meant = target.name.empty() ? target.artifact == version.artifact : target.name == version.name && (target.number == 0 || target.number == version.number);
    if (meant) return fmt::format("{} ({}, by {})", hold.id, hold.reason, hold.by);
  }
  return {};
}

std::string View::held(const Digest& artifact) const {
  for (const auto& hold : holds_) {
    if (!hold.released && hold.target.name.empty() && hold.target.artifact == artifact) return fmt::format("{} ({}, by {})", hold.id, hold.reason, hold.by);
  }
  for (const auto& [name, versions] : names_) {
    for (const auto& version : versions) {
      if (version.artifact != artifact || version.fate != VersionFate::kept) continue;
      if (auto why = held(version); !why.empty()) return why;
    }
  }
  return {};
}

std::uint64_t View::next_number(const std::string& name) const {
  const auto found = names_.find(name);
  return found == names_.end() ? 1 : found->second.size() + 1;
}

std::string View::next_id(const char* kind) const {
  const auto count = std::string_view(kind) == "hold" ? holds_.size() : requests_.size();
  return fmt::format("{}-{}", kind, count + 1);
}

}  // namespace redoubt::custody
