// SPDX-License-Identifier: Apache-2.0
#include "custody/stores.h"

#include <fmt/format.h>

#include <algorithm>

#include "crypto/hash.h"
#include "ledger/release_bundle.h"
#include "vault/rewrap.h"

namespace redoubt::custody {
namespace {

constexpr std::size_t kDigestsAnEntry = 400;  // an entry of the ledger holds at most 64 KiB

bool counts(provider::VersionState state) {
  return state == provider::VersionState::pending_manual_approval || state == provider::VersionState::approved || state == provider::VersionState::deployed;
}

// Every record of the ledger from an entry on.
Status for_each_record(ledger::EvidenceLog& evidence, std::uint64_t from, const std::function<Status(std::uint64_t, const attest::StepRecord&)>& visit) {
  const std::uint64_t size = TRY(evidence.checkpoint()).head.size;
  for (std::uint64_t index = from; index < size; ++index) TRY(visit(index, TRY(attest::to_step_record(TRY(evidence.at(index)).statement))));
  return {};
}

Json digests(const std::vector<Digest>& list, std::size_t from, std::size_t count) {
  Json out = Json::array();
  for (std::size_t i = from; i < std::min(list.size(), from + count); ++i) out.push_back(list[i].hex());
  return out;
}

class HashingSource final : public Source {
 public:
  explicit HashingSource(const RandomAccess& from) : from_(from) {}
  Result<std::size_t> read(MutableByteView into) override {
    const auto count = TRY(from_.read(into));
    hash_.update(ByteView(into).first(count));
    bytes_ += count;
    return count;
  }
  Digest finish() { return hash_.finish(); }
  std::uint64_t bytes() const { return bytes_; }

 private:
  RandomAccessSource from_;
  crypto::Sha256 hash_;
  std::uint64_t bytes_ = 0;
};

Result<Digest> digest_of(provider::ObjectStore& store, const std::string& key) {
  const auto object = TRY(store.open(key));
  RandomAccessSource source(*object);
  return crypto::sha256_of(source);
}

// Everything that an artifact consists of, whoever shares it.
Result<ObjectList> all_objects(vault::ArtifactStore& artifacts, const Digest& artifact) {
  ObjectList list{{artifact}, {}};
  std::set<Digest> blobs;
  for (const auto& file : TRY(artifacts.manifest(artifact)).files) blobs.insert(file.sha256);
  list.blobs.assign(blobs.begin(), blobs.end());
  return list;
}

// Blobs first: a manifest that is there has all that it names.
Result<std::uint64_t> copy_all(provider::ObjectStore& from, provider::ObjectStore& to, const Place& place, const ObjectList& list) {
  std::uint64_t bytes = 0;
  auto keys = list.keys(place);
  std::reverse(keys.begin(), keys.end());
  for (const auto& key : keys) bytes += TRY(copy_object(from, to, key, provider::PutMode::create_only));
  return bytes;
}

}  // namespace

Result<Needs> Needs::of_releases(ledger::EvidenceLog& evidence, provider::ModelRegistry& registry) {
  Needs needs;
  for (const auto& version : TRY(registry.list())) {
    if (!counts(version.state)) continue;
    const std::string why = fmt::format("{}/{} ({})", version.name, version.version, provider::to_string(version.state));
    for (const auto& entry : TRY(ledger::find_release(evidence, version.name, version.version))) {
      const auto record = TRY(attest::to_step_record(entry.statement));
      for (const auto* side : {&record.inputs, &record.outputs}) {
        for (const auto& [name, digest] : *side) {
          if (!name.starts_with("statement:")) needs.why_.emplace(digest, why);
        }
      }
    }
  }
  return needs;
}

std::string Needs::why(const Digest& digest) const {
  const auto found = why_.find(digest);
  return found == why_.end() ? "" : found->second;
}

std::vector<std::string> ObjectList::keys(const Place& place) const {
  std::vector<std::string> out;
  for (const auto& digest : manifests) out.push_back(place.prefix() + "manifests/" + digest.hex());
  for (const auto& digest : blobs) out.push_back(place.prefix() + "blobs/" + digest.hex());
  return out;
}

Result<std::vector<NamedVersion>> unnamed_artifacts(const Stores& stores, const View& view) {
  std::set<Digest> named;
  for (const auto& [name, versions] : view.names()) {
    for (const auto& version : versions) {
      if (version.place.own_key.empty() && version.fate == VersionFate::kept) named.insert(version.artifact);
    }
  }
  std::map<Digest, TimePoint> recorded;
  TRY(for_each_record(*stores.evidence, 0, [&](std::uint64_t, const attest::StepRecord& record) -> Status {
    for (const auto& [name, digest] : record.outputs) recorded[digest] = record.finished;
    return {};
  }));
  std::vector<NamedVersion> out;
  auto* artifacts = TRY(stores.artifacts(kObjects, {}));
  for (const auto& digest : TRY(artifacts->artifacts())) {
    const auto made = recorded.find(digest);
    if (named.contains(digest) || made == recorded.end()) continue;
    const auto manifest = TRY(artifacts->manifest(digest));
    NamedVersion version;
    version.artifact = digest;
    version.kind = manifest.kind;
    version.made = made->second;
    version.files = manifest.files.size();
    for (const auto& file : manifest.files) version.bytes += file.size;
    out.push_back(std::move(version));
  }
  return out;
}

Result<ObjectList> objects_to_remove(vault::ArtifactStore& artifacts, const std::set<Digest>& going, const Needs& needs) {
  std::set<Digest> blobs, kept;
  ObjectList list;
  for (const auto& artifact : TRY(artifacts.artifacts())) {
    const bool goes = going.contains(artifact);
    if (goes) list.manifests.push_back(artifact);
    for (const auto& file : TRY(artifacts.manifest(artifact)).files) (goes ? blobs : kept).insert(file.sha256);
  }
  for (const auto& blob : blobs) {
    if (kept.contains(blob) || !needs.why(blob).empty()) ++list.shared;
    else list.blobs.push_back(blob);
  }
  return list;
}

Result<std::set<std::string>> archived_objects(const Stores& stores, const View& view) {
  std::set<std::string> keys;
  std::set<Place> places;
  for (const auto& [where, entry] : view.archived()) {
    const auto& [place, artifact] = where;
    places.insert(place);
    keys.insert(place.prefix() + "manifests/" + artifact.hex());
    for (const auto& file : TRY(TRY(stores.artifacts(kArchive, place))->manifest(artifact)).files) keys.insert(place.prefix() + "blobs/" + file.sha256.hex());
  }
  for (const auto& place : places) {
    auto* artifacts = TRY(stores.artifacts(kObjects, place));
    for (const auto& artifact : TRY(artifacts->artifacts())) {
      const auto manifest = artifacts->manifest(artifact);
      for (const auto& file : manifest ? manifest->files : std::vector<vault::ArtifactFile>{}) keys.erase(place.prefix() + "blobs/" + file.sha256.hex());
    }
  }
  return keys;
}

Result<std::set<std::string>> written_after(const Stores& stores, std::uint64_t entry) {
  std::set<std::string> keys;
  const auto add = [&](const Place& place, const Digest& digest) {
    keys.insert(place.prefix() + "manifests/" + digest.hex());
    keys.insert(place.prefix() + "blobs/" + digest.hex());
    const auto artifacts = stores.artifacts(kObjects, place);
    const auto manifest = artifacts ? (*artifacts)->manifest(digest) : Result<vault::Manifest>(fail(artifacts.error()));
    for (const auto& file : manifest ? manifest->files : std::vector<vault::ArtifactFile>{}) keys.insert(place.prefix() + "blobs/" + file.sha256.hex());
  };
  TRY(for_each_record(*stores.evidence, entry + 1, [&](std::uint64_t, const attest::StepRecord& record) -> Status {
    for (const auto& [name, digest] : record.outputs) add({}, digest);
    const std::string action = record.step == kVaultStep ? json_or(record.result, "action", "") : "";
    for (const auto& artifact : action == "remade" ? json_or(record.result, "artifacts", Json::array()) : Json::array()) {
      if (artifact.is_string()) add({}, TRY(Digest::parse(artifact.get_ref<const std::string&>())));
    }
    if (action == "put" || action == "unarchive") add({json_or(record.result, "key", "")}, TRY(Digest::parse(TRY(json_string(record.result, "artifact", "ledger")))));
    return {};
  }));
  return keys;
}

Result<std::uint64_t> copy_object(provider::ObjectStore& from, provider::ObjectStore& to, const std::string& key, provider::PutMode mode) {
  const auto object = TRY(from.open(key));
  HashingSource source(*object);
  auto put = to.put(key, source, mode);
  const bool was_there = !put && put.error().code == ErrorCode::already_exists;
  if (!put && !was_there) return fail(std::move(put.error()));
  if (was_there) {  // the same object, perhaps wrapped by another version of its key
    if (TRY(vault::sealed_digest(*object)) == TRY(vault::sealed_digest(*TRY(to.open(key))))) return std::uint64_t{0};
    return copy_object(from, to, key, provider::PutMode::replace);
  }
  if (TRY(digest_of(to, key)) != source.finish()) return fail(ErrorCode::tampered, "a copy is not what was copied", key, "the store that it went to changes what it is given");
  return source.bytes();
}

Status remove_objects(const Stores& stores, const Place& place, const std::string& from, const ObjectList& list, const Json& event, const std::function<Status()>& announced) {
  std::size_t manifests = 0, blobs = 0;
  std::uint64_t last = 0;
  do {
    Json entry = manifests + blobs == 0 ? event : Json{{"action", event.at("action")}, {"cause", json_or(event, "cause", "")}, {"artifact", json_or(event, "artifact", "")}};
    entry["from"] = from;
    if (!place.own_key.empty()) entry["key"] = place.own_key;
    entry["manifests"] = digests(list.manifests, manifests, kDigestsAnEntry);
    const std::size_t room = kDigestsAnEntry - entry["manifests"].size();
    entry["blobs"] = digests(list.blobs, blobs, room);
    manifests += entry["manifests"].size();
    blobs += entry["blobs"].size();
    last = TRY(stores.record(entry));
  } while (manifests < list.manifests.size() || blobs < list.blobs.size());
  if (announced) TRY(announced());
  if (list.manifests.empty() && list.blobs.empty()) return {};
  auto* objects = TRY(stores.objects(from));
  for (const auto& key : list.keys(place)) {
    auto removed = objects->remove(key);
    if (!removed && removed.error().code != ErrorCode::not_found) return removed;
  }
  TRY(stores.record({{"action", "finish"}, {"through", last}}));
  return {};
}

Result<std::uint64_t> finish(const Stores& stores, const View& view) {
  std::uint64_t gone = 0;
  for (const auto& removal : view.unfinished()) {
    const auto again = removal.from == kObjects ? TRY(written_after(stores, removal.entry)) : std::set<std::string>{};
    auto* objects = TRY(stores.objects(removal.from));
    for (const auto& key : removal.keys) {
      if (again.contains(key)) continue;
      auto removed = objects->remove(key);
      if (removed) ++gone;
      else if (removed.error().code != ErrorCode::not_found) return fail(std::move(removed.error()));
    }
  }
  if (!view.unfinished().empty()) TRY(stores.record({{"action", "finish"}, {"through", view.unfinished().back().entry}}));
  return gone;
}

Result<std::uint64_t> archive(const Stores& stores, const NamedVersion& version, const Needs& needs, const std::string& why) {
  auto *from = TRY(stores.objects(kObjects)), *to = TRY(stores.objects(kArchive));
  auto* artifacts = TRY(stores.artifacts(kObjects, version.place));
  TRY(artifacts->verify(version.artifact));
  const std::uint64_t bytes = TRY(copy_all(*from, *to, version.place, TRY(all_objects(*artifacts, version.artifact))));
  TRY(TRY(stores.artifacts(kArchive, version.place))->verify(version.artifact));
  const auto list = TRY(objects_to_remove(*artifacts, {version.artifact}, needs));
  TRY(remove_objects(stores, version.place, kObjects, list, {{"action", "archive"}, {"artifact", version.artifact.tagged()}, {"rule", why}, {"bytes", bytes}}));
  return bytes;
}

Result<std::uint64_t> unarchive(const Stores& stores, const NamedVersion& version) {
  auto *from = TRY(stores.objects(kArchive)), *to = TRY(stores.objects(kObjects));
  auto* artifacts = TRY(stores.artifacts(kArchive, version.place));
  const std::uint64_t bytes = TRY(copy_all(*from, *to, version.place, TRY(all_objects(*artifacts, version.artifact))));
  TRY(TRY(stores.artifacts(kObjects, version.place))->verify(version.artifact));
  const auto list = TRY(objects_to_remove(*artifacts, {version.artifact}, Needs()));
  TRY(remove_objects(stores, version.place, kArchive, list, {{"action", "unarchive"}, {"artifact", version.artifact.tagged()}, {"bytes", bytes}}));
  return bytes;
}

}  // namespace redoubt::custody
