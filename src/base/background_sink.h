// SPDX-License-Identifier: Apache-2.0
//
// A sink that is written to by a thread of its own, so that who writes goes on meanwhile.
#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "base/stream.h"

namespace redoubt {

// Holds at most kBuffers buffers of kBufferBytes; they are wiped at the end. To be written to by one thread at a time.
class BackgroundSink final : public Sink {
 public:
  static constexpr std::size_t kBuffers = 4, kBufferBytes = 512 << 10;

  // `into` must outlive it, and is nobody else's between a write and the next `flush`.
  explicit BackgroundSink(Sink& into);
  ~BackgroundSink() override;  // what was not flushed may not have been written
  // An error is that of an earlier write; from then on nothing more is written.
  Status write(ByteView bytes) override;
  // Waits until everything has been written.
  Status flush();

 private:
  void run();
  void hand_over();
  Status outcome();

  Sink& into_;
  Bytes filling_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Bytes> full_, empty_;  // the first is the next one
  bool writing_ = false, ended_ = false;
  std::optional<Error> failure_;
  std::thread thread_;
};

}  // namespace redoubt
