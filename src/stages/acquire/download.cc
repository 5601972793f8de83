// SPDX-License-Identifier: Apache-2.0
#include "stages/acquire/download.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>

#include "base/background_sink.h"
#include "base/parallel.h"
#include "crypto/hash.h"

namespace redoubt::stages::acquire {
namespace {

constexpr std::size_t kConnectionsMax = 4;
constexpr std::uint64_t kProgressBytes = 4 << 20;
constexpr std::uint64_t kLargeBytes = 64 << 20;

}  // namespace

// Tells of its bytes now and then.
class Downloads::Counted final : public Sink {
 public:
  Counted(Downloads& downloads, Sink& into) : downloads_(downloads), into_(into) {}
  ~Counted() override { downloads_.advance(untold_); }
  Status write(ByteView bytes) override {
    TRY(into_.write(bytes));
    untold_ += bytes.size();
    if (untold_ >= kProgressBytes) downloads_.advance(std::exchange(untold_, 0));
    return {};
  }

 private:
  Downloads& downloads_;
  Sink& into_;
  std::uint64_t untold_ = 0;
};

void Downloads::advance(std::uint64_t bytes) {
  const std::scoped_lock lock(mutex_);
  progress_.update(done_ += bytes);
}

Result<std::vector<vault::ArtifactFile>> Downloads::run(const std::vector<HubFile>& files) {
  // The largest first, so that no long one is left to a single connection at the end; equal contents once.
  std::vector<std::size_t> order(files.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return files[a].size > files[b].size; });
  std::map<Digest, std::size_t> first_of;
  std::vector<std::size_t> fetched;
  for (const std::size_t index : order) {
    const auto& sha256 = files[index].sha256;
    if (!sha256 || first_of.emplace(*sha256, index).second) fetched.push_back(index);
  }
  // Where there are fewer large files than processors, a file takes two of them.
  const auto large = std::count_if(fetched.begin(), fetched.end(), [&](std::size_t index) { return files[index].size >= kLargeBytes; });
  in_background_ = static_cast<std::size_t>(large) < threads_at_most(kConnectionsMax);
  std::vector<std::optional<Digest>> digests(files.size());
  TRY(for_each_in_parallel(fetched.size(), kConnectionsMax, [&](std::size_t number) -> Status {
    digests[fetched[number]] = TRY(fetch(files[fetched[number]]));
    return {};
  }));
  std::vector<vault::ArtifactFile> taken;
  for (std::size_t i = 0; i < files.size(); ++i) {
    const auto& file = files[i];
    if (!digests[i]) {
      TRY(check(file, files[first_of.at(*file.sha256)].size, true));  // under one digest there is one size
      advance(file.size);
    }
    taken.push_back({file.path, file.size, digests[i] ? *digests[i] : *file.sha256});
  }
  return taken;
}

Result<Digest> Downloads::fetch(const HubFile& file) {
  if (!file.sha256) return fetch_small(file);
  if (!TRY(is_here(file))) TRY(fetch_known(file, *file.sha256));
  return *file.sha256;
}

// Whether the vault holds it, whole and unchanged.
Result<bool> Downloads::is_here(const HubFile& file) {
  if (!TRY(store_.has_blob(*file.sha256)) || !store_.verify_blob(*file.sha256)) return false;
  TRY(check(file, TRY(store_.open_blob(*file.sha256))->size(), true));
  advance(file.size);
  return true;
}

Result<Digest> Downloads::fetch_small(const HubFile& file) {
  if (file.size > kSmallFileBytesMax) return fail(ErrorCode::gate_refused, "the hub gives no SHA-256 of a large file", where(file));
  MemorySink sink;
  TRY(source_.hub.download(source_.repository, source_.commit, file, 0, file.size, sink));
  const Bytes bytes = sink.take();
  TRY(check(file, bytes.size(), crypto::git_blob_id(bytes) == file.blob_id));
  advance(file.size);
  const Digest digest = crypto::sha256(bytes);
  MemorySource source(bytes);
  return store_.put_blob(source, digest);
}

Status Downloads::fetch_known(const HubFile& file, const Digest& digest) {
  auto blob = TRY(store_.begin_blob(digest));
  if (blob->bytes() > file.size) {  // the hub once said that it was longer
    blob->discard();
    blob = TRY(store_.begin_blob(digest));
  }
  advance(blob->bytes());
  auto received = receive(file, *blob);
  // On a full disk a part is worth less than the room it takes: without any, no other command could open its database.
  if (!received && (received.error().code == ErrorCode::tampered || received.error().code == ErrorCode::limit_exceeded)) blob->discard();
  TRY(std::move(received));
  if (auto size = check(file, blob->bytes(), true); !size) {
    blob->discard();
    return size;
  }
  auto finished = store_.finish_blob(std::move(blob));
  return finished || finished.error().code != ErrorCode::tampered ? finished : check(file, file.size, false);
}

// Asks again for the rest as long as each time something comes.
Status Downloads::receive(const HubFile& file, vault::PendingBlob& blob) {
  std::optional<BackgroundSink> background;
  if (in_background_ && file.size >= kLargeBytes) background.emplace(blob);
  Counted counted(*this, background ? static_cast<Sink&>(*background) : blob);
  while (true) {
    const std::uint64_t begun = blob.bytes();
    if (begun == file.size && begun > 0) return {};
    auto sent = source_.hub.download(source_.repository, source_.commit, file, begun, file.size - begun, counted);
    if (background) TRY(background->flush());
    if (sent || sent.error().code != ErrorCode::unavailable || blob.bytes() == begun) return sent;
  }
}

Status Downloads::check(const HubFile& file, std::uint64_t size, bool is_the_same) const {
  if (size == file.size && is_the_same) return {};
  return fail(ErrorCode::tampered,
              size == file.size ? std::string("the file is not what the hub says it is: its digest ") + (file.sha256 ? "(SHA-256) " : "") + "differs" : fmt::format("the hub sent {} bytes of {}", size, file.size),
              where(file), "nothing of it was kept; try again, and look into the hub if it happens twice");
}

}  // namespace redoubt::stages::acquire
