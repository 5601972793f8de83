// SPDX-License-Identifier: Apache-2.0
//
// Streams of bytes: what copies, hashes, seals and sends is written against these.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "base/bytes.h"

namespace redoubt {

class Source {
 public:
  virtual ~Source() = default;
  // Reads up to `into.size()` bytes; 0 means the end. May read fewer than asked before the end.
  virtual Result<std::size_t> read(MutableByteView into) = 0;
};

class Sink {
 public:
  virtual ~Sink() = default;
  // Takes all of `bytes` or fails.
  virtual Status write(ByteView bytes) = 0;
};

class RandomAccess {
 public:
  virtual ~RandomAccess() = default;
  virtual std::uint64_t size() const = 0;
  // Fills `into` from `offset`; a read beyond the end is invalid_argument. Safe to call from several threads.
  virtual Status read_at(std::uint64_t offset, MutableByteView into) const = 0;
};

// A source over memory that outlives it.
class MemorySource final : public Source {
 public:
  explicit MemorySource(ByteView bytes) : rest_(bytes) {}
  Result<std::size_t> read(MutableByteView into) override;

 private:
  ByteView rest_;
};

class MemorySink final : public Sink {
 public:
  Status write(ByteView bytes) override;
  Bytes take() { return std::move(bytes_); }

 private:
  Bytes bytes_;
};

// Reads a random-access object from its start.
class RandomAccessSource final : public Source {
 public:
  explicit RandomAccessSource(const RandomAccess& object) : object_(object) {}
  Result<std::size_t> read(MutableByteView into) override;

 private:
  const RandomAccess& object_;
  std::uint64_t offset_ = 0;
};

// Moves everything in chunks of 1 MiB; answers the number of bytes.
Result<std::uint64_t> copy(Source& from, Sink& to);
// Everything up to `bytes_max`; more is limit_exceeded.
Result<Bytes> read_all(Source& from, std::uint64_t bytes_max);

}  // namespace redoubt
