// SPDX-License-Identifier: Apache-2.0
#include "hub/pull_through.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/log.h"
#include "base/parallel.h"
#include "crypto/hash.h"
#include "crypto/random.h"

namespace redoubt::hub {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kConnectionsMax = 4;
constexpr std::uint64_t kGitFileBytesMax = 64 << 20;  // of a file without a SHA-256

// A file of the quarantine, gone unless it was taken.
class Quarantined {
 public:
  explicit Quarantined(fs::path path) : path_(std::move(path)) {}
  ~Quarantined() {
    std::error_code error;
    fs::remove(path_, error);
  }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

}  // namespace

bool PullThrough::is_fresh(const std::string& id, const std::string& revision) const {
  if (!store_.has(id)) return false;
  const auto refs = store_.refs(id);
  if (refs && refs->checked.empty()) return true;  // the mirror's own: no other hub is asked for it
  if (!refs || !store_.resolve(id, revision)) return false;
  if (is_commit_id(revision)) return true;
  const auto checked = parse_rfc3339(refs->checked);
  const auto age = checked ? clock_.now() - *checked : std::chrono::hours(24 * 365);
  return age >= std::chrono::seconds(0) && age < options_.fresh_for;
}

Status PullThrough::refusal(const std::string& id, const std::string& commit) const {
  const std::scoped_lock lock(mutex_);
  const auto found = refused_.find(id + "@" + commit);
  if (found == refused_.end()) return {};
  return fail(ErrorCode::gate_refused, "the model does not pass the scan", fmt::format("{}", fmt::join(found->second, "\n")));
}

Status PullThrough::fetch(const std::string& id, const std::string& revision) {
  const auto mutex = store_.lock_of(id);
  const std::scoped_lock one_fetch(*mutex);
  if (is_fresh(id, revision)) return {};
  const auto commit = options_.upstream->resolve(id, revision);
  if (!commit) {
    // What is kept goes on being served while the other hub is away.
    const bool is_kept = commit.error().code != ErrorCode::not_found && store_.has(id) && store_.resolve(id, revision);
    if (!is_kept) return fail(commit.error());
    spdlog::warn("hub: the upstream does not answer for {}: {}", id, commit.error().message);
    return {};
  }
  TRY(refusal(id, *commit));
  if (!store_.has(id) || !store_.resolve(id, *commit)) TRY(take(id, *commit));
  auto refs = store_.has(id) ? TRY(store_.refs(id)) : Refs{};
  if (is_ref_name(revision)) refs.branches[revision] = *commit;
  refs.checked = to_rfc3339(clock_.now());
  return store_.put_refs(id, refs);
}

Status PullThrough::take(const std::string& id, const std::string& commit) {
  spdlog::info("hub: fetching {} at {} from the upstream", id, commit);
  std::vector<Digest> added;
  auto repository = download(id, commit, added);
  auto findings = repository ? scan_(*repository) : Result<std::vector<std::string>>(std::vector<std::string>{});
  const bool passes = repository && findings && findings->empty();
  // A file that another model holds too stays, whoever brought it.
  if (const auto discarded = passes ? Status() : store_.discard(added); !discarded) {
    spdlog::error("hub: what was fetched for {} stays for now: {} ({})", id, discarded.error().message, discarded.error().where);
  }
  if (!repository) return fail(repository.error());
  if (!findings) return fail(findings.error());
  if (!findings->empty()) {
    for (const auto& finding : *findings) spdlog::warn("hub: {} at {} is not served: {}", id, commit, finding);
    {
      const std::scoped_lock lock(mutex_);
      refused_[id + "@" + commit] = *findings;
    }
    return refusal(id, commit);
  }
  return store_.put_commit({.repository = std::move(*repository), .parent = "", .title = "from the upstream", .message = "", .author = "upstream"});
}

Result<Repository> PullThrough::download(const std::string& id, const std::string& commit, std::vector<Digest>& added) {
  auto entries = TRY(options_.upstream->list(id, commit));
  std::erase_if(entries, [](const Upstream::Entry& entry) { return is_hidden(entry.path); });
  std::uint64_t total = 0;
  for (const auto& entry : entries) total += entry.size;
  if (total > options_.bytes_max) return fail(ErrorCode::gate_refused, "the model is too large for this mirror", fmt::format("{}: {} bytes, at most {} are taken", id, total, options_.bytes_max));
  Repository repository{.id = id, .commit = commit, .modified = to_rfc3339(clock_.now()), .files = std::vector<RepositoryFile>(entries.size()), .findings = {}};
  TRY(for_each_in_parallel(entries.size(), kConnectionsMax, [&](std::size_t index) -> Status {
    std::atomic<bool> is_new = false;
    repository.files[index] = TRY(download_file(id, commit, entries[index], is_new));
    const std::scoped_lock lock(mutex_);
    if (is_new) added.push_back(repository.files[index].sha256);
    return {};
  }));
  std::sort(repository.files.begin(), repository.files.end(), [](const RepositoryFile& a, const RepositoryFile& b) { return a.path < b.path; });
  return repository;
}

Result<RepositoryFile> PullThrough::download_file(const std::string& id, const std::string& commit, const Upstream::Entry& entry, std::atomic<bool>& is_new) {
  if (entry.sha256 && store_.has_blob(*entry.sha256)) {
    if (auto known = store_.look(*entry.sha256, entry.path)) return known;
  }
  TRY(make_folder(store_.incoming()));
  const Quarantined file(store_.incoming() / ("upstream-" + to_hex(crypto::random_bytes(16))));
  {
    const auto sink = TRY(AtomicFile::create(file.path()));
    TRY(options_.upstream->download(id, commit, entry, *sink));
    TRY(sink->commit_new());
  }
  const auto looked = TRY(look_at(file.path(), entry.path));
  const bool is_same = looked.size == entry.size && (entry.sha256 ? looked.sha256 == *entry.sha256 : crypto::git_blob_id(TRY(read_file(file.path(), kGitFileBytesMax))) == entry.blob_id);
  if (!is_same) return fail(ErrorCode::tampered, "the upstream's file is not what it says it is", id + "/" + entry.path);
  is_new = !store_.has_blob(looked.sha256);
  return store_.keep(file.path(), entry.path);
}

}  // namespace redoubt::hub
