// SPDX-License-Identifier: Apache-2.0
#include "vault/pending_blob.h"

#include <stdio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace redoubt::vault {
namespace fs = std::filesystem;

namespace {

constexpr std::size_t kPiece = crypto::HashPairing::kPieceBytes;
static_assert(kPiece == std::size_t{1} << kChunkBitsDefault);  // what is hashed at once is sealed at once

}  // namespace

Result<std::unique_ptr<PendingBlob>> PendingBlob::begin(fs::path file, const SealingKey& key, const provider::EncryptionContext& context, const Digest& expected,
                                                        crypto::HashPairing& pairing) {
  std::unique_ptr<PendingBlob> blob(new PendingBlob(std::move(file), expected, pairing));
  const fs::path old = blob->file_.string() + ".old";
  // A process that was killed while it took up what another had left has left both: the older file is the longer one.
  if (!is_there(old) && is_there(blob->file_) && ::rename(blob->file_.c_str(), old.c_str()) != 0) {
    return fail_errno(errno, "set aside", blob->file_.string());
  }
  TRY(blob->start(key, context));
  if (is_there(old)) TRY(blob->take_up(old, key, context));
  return blob;
}

Status PendingBlob::start(const SealingKey& key, const provider::EncryptionContext& context) {
  sealed_ = TRY(DirectFile::create(file_));
  sealer_ = TRY(ChunkSealer::create(key, context));
  return sealed_->write(sealer_->header());
}

Status PendingBlob::take_up(const fs::path& old, const SealingKey& key, const provider::EncryptionContext& context) {
  const auto reader = TRY(FileReader::open_regular(old, Links::refuse));
  Status written;
  const auto given = read_cut_off(*reader, key, context, [&](ByteView chunk) { return written = write(chunk); });
  TRY(std::move(written));
  // What can't be opened (cut within its header, another key by now) is of no use: it is fetched again.
  if (!given && given.error().code == ErrorCode::unavailable) return fail(given.error());
  return ::unlink(old.c_str()) == 0 ? Status() : fail_errno(errno, "remove", old.string());
}

// What has come is kept for the next process as far as it makes whole chunks; nobody hears if it can't be.
PendingBlob::~PendingBlob() {
  if (sealer_ && sealed_ && piece_.size() == kPiece) (void)seal(false);
  piece_.resize(piece_.capacity());  // what an earlier one left as well
  wipe_memory(piece_);
}

Status PendingBlob::seal(bool last) { return sealed_->write(TRY(sealer_->seal(piece_, last))); }

Status PendingBlob::write(ByteView bytes) {
  piece_.reserve(kPiece);
  while (!bytes.empty()) {
    if (piece_.size() == kPiece) {
      TRY(seal(false));
      hash_.update(piece_);
    }
    const std::size_t count = std::min(kPiece - piece_.size(), bytes.size());
    piece_.insert(piece_.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(count));
    bytes = bytes.subspan(count);
    bytes_ += count;
  }
  return {};
}

Status PendingBlob::finish() {
  TRY(seal(true));
  sealer_.reset();
  TRY(sealed_->flush());
  if (piece_.size() == kPiece) hash_.update(piece_);
  if (hash_.finish(piece_) == expected_) return {};
  discard();
  return fail(ErrorCode::tampered, "the contents are not those that the digest names", expected_.tagged());
}

void PendingBlob::discard() { ::unlink(file_.c_str()); }

}  // namespace redoubt::vault
