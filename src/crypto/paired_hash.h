// SPDX-License-Identifier: Apache-2.0
//
// SHA-256 of several messages that come at once, from a thread each: pieces of two of them are hashed together where one thread has
// one and another message has one waiting, which takes little longer than one piece (sha256_lanes.h). Nobody waits for a piece to come.
// Where the processor has no such instructions every message is hashed for itself by OpenSSL.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <vector>

#include "crypto/hash.h"
#include "crypto/sha256_lanes.h"

namespace redoubt::crypto {

class PairedSha256;

// Where messages meet. Must outlive them.
class HashPairing {
 public:
  static constexpr std::size_t kPieceBytes = 64 << 10;

 private:
  friend class PairedSha256;
  std::mutex mutex_;
  std::condition_variable hashed_;
  std::vector<PairedSha256*> messages_;
};

// One message, fed by one thread at a time. `finish` may be called once.
class PairedSha256 {
 public:
  explicit PairedSha256(HashPairing& pairing);
  ~PairedSha256();
  PairedSha256(const PairedSha256&) = delete;
  PairedSha256& operator=(const PairedSha256&) = delete;

  // Takes a piece of exactly kPieceBytes, and leaves memory of that capacity and no contents in its place.
  void update(Bytes& piece);
  // The digest with the last bytes, fewer than kPieceBytes.
  Digest finish(ByteView rest);

 private:
  using Lock = std::unique_lock<std::mutex>;
  static constexpr std::size_t kWaitingMax = 4;

  PairedSha256* partner();
  void wait_until_idle(Lock& lock);
  void hash_first(Lock& lock);  // with another message's, where one waits
  void drop_first();

  HashPairing& pairing_;
  std::optional<Sha256> alone_;  // where messages are not paired
  Sha256Words words_;
  std::uint64_t bytes_ = 0;
  std::deque<Bytes> waiting_;  // pieces that were not hashed yet, in their order
  std::vector<Bytes> spare_;   // memory for the next ones
  bool busy_ = false;          // a thread hashes the first of `waiting_`
};

}  // namespace redoubt::crypto
