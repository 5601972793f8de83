// SPDX-License-Identifier: Apache-2.0
#include "custody/replica.h"

#include <algorithm>

#include "vault/rewrap.h"

namespace redoubt::custody {
namespace {

enum class Likeness { same, rewrapped, different };

bool is_object(const std::string& key) { return key.starts_with("blobs/") || key.starts_with("manifests/") || key.starts_with("own/"); }

Result<Likeness> compare_object(provider::ObjectStore& primary, provider::ObjectStore& replica, const std::string& key, bool deep) {
  const auto ours = TRY(primary.open(key)), theirs = TRY(replica.open(key));
  const auto our_header = TRY(vault::read_header(*ours));
  const auto their_header = vault::read_header(*theirs);
  if (!their_header) return their_header.error().code == ErrorCode::tampered ? Result<Likeness>(Likeness::different) : fail(their_header.error());
  const bool bound = vault::bound_part(our_header.header) == vault::bound_part(their_header->header);
  if (!bound || ours->size() - our_header.size != theirs->size() - their_header->size) return Likeness::different;
  if (deep && TRY(vault::sealed_digest(*ours)) != TRY(vault::sealed_digest(*theirs))) return Likeness::different;
  const bool wrapped_alike = our_header.header.wrapped_key == their_header->header.wrapped_key && our_header.header.key_uri == their_header->header.key_uri;
  return wrapped_alike ? Likeness::same : Likeness::rewrapped;
}

bool was_archived(const View& view, const std::string& key) {
  const auto digest = Digest::parse(key.substr(key.rfind('/') + 1));
  return std::any_of(view.archived().begin(), view.archived().end(), [&](const auto& one) { return digest && key == one.first.first.prefix() + "manifests/" + digest->hex() && one.first.second == *digest; });
}

}  // namespace

Result<ReplicaDifferences> compare_replica(provider::ObjectStore& primary, provider::ObjectStore& replica, const View& view, const ReplicaOptions& options, Progress& progress) {
  ReplicaDifferences out;
  const auto theirs = TRY(replica.list(""));
  const std::set<std::string> there(theirs.begin(), theirs.end());
  std::set<std::string> here;
  const auto ours = TRY(primary.list(""));
  progress.begin("comparing with the replica", ours.size(), "objects");
  for (const auto& key : ours) {
    if (!is_object(key)) continue;
    here.insert(key);
    progress.update(++out.objects);
    if (!there.contains(key)) {
      out.missing.push_back(key);
      continue;
    }
    const auto likeness = TRY(compare_object(primary, replica, key, options.deep));
    if (likeness == Likeness::rewrapped) out.stale.push_back(key);
    if (likeness == Likeness::different) out.differing.push_back(key);
  }
  progress.end();
  const bool has_archived = !view.archived().empty();
  for (const auto& key : theirs) {
    if (!is_object(key) || here.contains(key)) continue;
    if (view.tombstones().contains(key)) out.deleted.push_back(key);
    // The replica keeps what was archived: whose file a blob is, only its manifest says, which is not here any more.
    else if (!has_archived && !was_archived(view, key)) out.unknown.push_back(key);
  }
  return out;
}

Result<Replicated> replicate(provider::ObjectStore& primary, provider::ObjectStore& replica, const View& view, Progress& progress) {
  const auto differences = TRY(compare_replica(primary, replica, view, {}, progress));
  if (!differences.differing.empty()) {
    return fail(ErrorCode::tampered, "an object of the replica is not the one that is here", differences.differing.front(),
                "run 'redoubt audit verify': where that finds the one here damaged, 'redoubt vault recover'; else remove the one there and replicate again");
  }
  Replicated done;
  progress.begin("copying sealed objects", differences.missing.size() + differences.stale.size(), "objects");
  // A manifest that arrived has all that it names.
  auto missing = differences.missing;
  std::stable_partition(missing.begin(), missing.end(), [](const std::string& key) { return key.find("manifests/") == key.npos; });
  for (const auto& key : missing) {
    done.bytes += TRY(copy_object(primary, replica, key, provider::PutMode::create_only));
    progress.update(++done.copied);
  }
  for (const auto& key : differences.stale) {
    TRY(copy_object(primary, replica, key, provider::PutMode::replace));
    progress.update(done.copied + ++done.rewrapped);
  }
  progress.end();
  for (const auto& key : differences.deleted) {
    auto removed = replica.remove(key);
    if (!removed && removed.error().code != ErrorCode::not_found) return fail(std::move(removed.error()));
    ++done.removed;
  }
  return done;
}

Result<Recovered> recover(provider::ObjectStore& primary, provider::ObjectStore& replica, const View& view, const std::vector<std::string>& damaged, Progress& progress, const std::set<std::string>& archived) {
  Recovered done;
  const auto ours = TRY(primary.list(""));
  const std::set<std::string> here(ours.begin(), ours.end()), bad(damaged.begin(), damaged.end());
  std::vector<std::string> wanted;
  for (const auto& key : TRY(replica.list(""))) {
    if (!is_object(key) || view.tombstones().contains(key)) continue;
    if (here.contains(key) ? bad.contains(key) : !archived.contains(key)) wanted.push_back(key);
  }
  std::stable_partition(wanted.begin(), wanted.end(), [](const std::string& key) { return key.find("manifests/") == key.npos; });
  progress.begin("copying sealed objects back", wanted.size(), "objects");
  for (const auto& key : wanted) {
    done.bytes += TRY(copy_object(replica, primary, key, provider::PutMode::replace));
    if (bad.contains(key)) done.damaged.push_back(key);
    progress.update(++done.copied);
  }
  progress.end();
  return done;
}

}  // namespace redoubt::custody
