// SPDX-License-Identifier: Apache-2.0
#include "base/background_sink.h"

#include <algorithm>

#include "base/secret.h"

namespace redoubt {

BackgroundSink::BackgroundSink(Sink& into) : into_(into), empty_(kBuffers - 1) {
  filling_.reserve(kBufferBytes);
  for (auto& buffer : empty_) buffer.reserve(kBufferBytes);
  full_.reserve(kBuffers);
  thread_ = std::thread([this] { run(); });
}

BackgroundSink::~BackgroundSink() {
  {
    const std::scoped_lock lock(mutex_);
    ended_ = true;
  }
  changed_.notify_all();
  thread_.join();
  full_.push_back(std::move(filling_));
  for (auto* buffers : {&full_, &empty_}) {
    for (auto& buffer : *buffers) {
      buffer.resize(kBufferBytes);  // what an earlier round left behind its end as well
      wipe_memory(buffer);
    }
  }
}

Status BackgroundSink::write(ByteView bytes) {
  while (!bytes.empty()) {
    const std::size_t count = std::min(kBufferBytes - filling_.size(), bytes.size());
    filling_.insert(filling_.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(count));
    bytes = bytes.subspan(count);
    if (filling_.size() < kBufferBytes) break;
    hand_over();
    TRY(outcome());
  }
  return {};
}

Status BackgroundSink::flush() {
  if (!filling_.empty()) hand_over();
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return failure_ || (full_.empty() && !writing_); });
  }
  return outcome();
}

// Waits for a buffer to go on with.
void BackgroundSink::hand_over() {
  std::unique_lock lock(mutex_);
  full_.push_back(std::move(filling_));
  changed_.notify_all();
  changed_.wait(lock, [this] { return !empty_.empty(); });
  filling_ = std::move(empty_.back());
  empty_.pop_back();
}

Status BackgroundSink::outcome() {
  const std::scoped_lock lock(mutex_);
  if (failure_) return fail(*failure_);
  return {};
}

void BackgroundSink::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return !full_.empty() || ended_; });
    if (ended_) return;
    Bytes buffer = std::move(full_.front());
    full_.erase(full_.begin());
    writing_ = true;
    const bool failed = failure_.has_value();
    lock.unlock();
    Status written;
    if (!failed) written = into_.write(buffer);
    buffer.clear();
    lock.lock();
    writing_ = false;
    if (!written) failure_ = std::move(written.error());
    empty_.push_back(std::move(buffer));
    changed_.notify_all();
  }
}

}  // namespace redoubt
