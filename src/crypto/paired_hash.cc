// SPDX-License-Identifier: Apache-2.0
#include "crypto/paired_hash.h"

#include <algorithm>
#include <iterator>

#include "base/check.h"
#include "base/secret.h"

namespace redoubt::crypto {

PairedSha256::PairedSha256(HashPairing& pairing) : pairing_(pairing) {
  if (!has_sha256_lanes()) alone_.emplace();
  const std::scoped_lock lock(pairing_.mutex_);
  pairing_.messages_.push_back(this);
}

PairedSha256::~PairedSha256() {
  Lock lock(pairing_.mutex_);
  wait_until_idle(lock);
  std::erase(pairing_.messages_, this);
  spare_.insert(spare_.end(), std::make_move_iterator(waiting_.begin()), std::make_move_iterator(waiting_.end()));
  for (auto& memory : spare_) {
    memory.resize(memory.capacity());  // what an earlier piece left as well
    wipe_memory(memory);
  }
}

void PairedSha256::wait_until_idle(Lock& lock) {
  pairing_.hashed_.wait(lock, [this] { return !busy_; });
}

PairedSha256* PairedSha256::partner() {
  const auto& all = pairing_.messages_;
  const auto found = std::find_if(all.begin(), all.end(), [this](const PairedSha256* other) { return other != this && !other->busy_ && !other->waiting_.empty(); });
  return found == all.end() ? nullptr : *found;
}

void PairedSha256::hash_first(Lock& lock) {
  PairedSha256* const other = partner();
  // Taken under the lock: more may be put behind them meanwhile, which leaves them where they are.
  const Bytes& first = waiting_.front();
  const Bytes* const second = other != nullptr ? &other->waiting_.front() : nullptr;
  busy_ = true;
  if (other != nullptr) other->busy_ = true;
  lock.unlock();
  if (second != nullptr)
    sha256_blocks_of_two(words_, first, other->words_, *second);
  else
    sha256_blocks(words_, first);
  lock.lock();
  drop_first();
  if (other != nullptr) other->drop_first();
  pairing_.hashed_.notify_all();
}

void PairedSha256::drop_first() {
  waiting_.front().clear();
  spare_.push_back(std::move(waiting_.front()));
  waiting_.pop_front();
  busy_ = false;
}

void PairedSha256::update(Bytes& piece) {
  CHECK(piece.size() == HashPairing::kPieceBytes);
  bytes_ += piece.size();
  if (alone_) {
    alone_->update(piece);
    piece.clear();
    return;
  }
  Lock lock(pairing_.mutex_);
  waiting_.push_back(std::move(piece));
  while (!busy_ && !waiting_.empty() && partner() != nullptr) hash_first(lock);
  while (waiting_.size() >= kWaitingMax) {  // nobody came for them
    wait_until_idle(lock);
    if (waiting_.size() >= kWaitingMax) hash_first(lock);
  }
  piece.clear();
  if (!spare_.empty()) {
    piece = std::move(spare_.back());
    spare_.pop_back();
  }
  piece.reserve(HashPairing::kPieceBytes);
}

Digest PairedSha256::finish(ByteView rest) {
  CHECK(rest.size() < HashPairing::kPieceBytes);
  if (alone_) return alone_->update(rest).finish();
  Lock lock(pairing_.mutex_);
  for (wait_until_idle(lock); !waiting_.empty(); wait_until_idle(lock)) hash_first(lock);
  return sha256_end(words_, bytes_, rest);
}

}  // namespace redoubt::crypto
