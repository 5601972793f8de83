// SPDX-License-Identifier: Apache-2.0
#include "gateway/capture.h"

#include <algorithm>

#include "base/json_text.h"
#include "base/log.h"

namespace redoubt::gateway {
namespace {
constexpr std::size_t kLineRoom = 64 << 10;  // for the line that makes a batch full
}

void append_capture_line(std::string& out, const CaptureRecord& record) {
  const auto append_side = [&](const char* name, const char* mode, std::string_view data) {
    out.append("\"").append(name).append("\":{\"data\":");
    append_json_string(out, data);
    out.append(",\"encoding\":\"JSON\",\"mode\":\"").append(mode).append("\",\"observedContentType\":\"application/json\"}");
  };
  out += "{\"captureData\":{";
  append_side("endpointInput", "INPUT", record.input);
  out += ',';
  append_side("endpointOutput", "OUTPUT", record.output);
  out += "},\"eventMetadata\":{\"customAttributes\":[";
  append_json_string(out, std::string("model=").append(record.model));
  out += "],\"eventId\":";
  append_json_string(out, record.event_id);
  if (!record.inference_id.empty()) {
    out += ",\"inferenceId\":";
    append_json_string(out, record.inference_id);
  }
  out += ",\"inferenceTime\":";
  append_json_string(out, to_rfc3339(record.time));
  out += "},\"eventVersion\":\"0\"}\n";
}

std::unique_ptr<BatchedCapture> BatchedCapture::create(Put put, BatchedCaptureOptions options) {
  std::unique_ptr<BatchedCapture> capture(new BatchedCapture(std::move(put), options));
  capture->thread_ = std::thread([raw = capture.get()] { raw->run(); });
  return capture;
}

BatchedCapture::~BatchedCapture() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

bool BatchedCapture::record(const CaptureRecord& record) {
  std::lock_guard lock(mutex_);
  // At once: a text that grows is copied again and again, and leaves what it was too small for.
  if (batch_.capacity() < options_.batch_bytes) batch_.reserve(options_.batch_bytes + kLineRoom);
  const auto before = batch_.size();
  if (!stopping_) append_capture_line(batch_, record);
  if (stopping_ || batch_.size() + storing_.size() > options_.queue_bytes_max) {
    batch_.resize(before);
    ++dropped_;
    return false;
  }
  const bool is_first = before == 0;
  if (is_first || batch_.size() >= options_.batch_bytes) changed_.notify_all();
  return true;
}

Status BatchedCapture::flush() {
  std::unique_lock lock(mutex_);
  while (!batch_.empty() || !storing_.empty()) {
    changed_.wait(lock, [this] { return !busy_; });
    TRY(store_batch(lock));
  }
  return {};
}

std::uint64_t BatchedCapture::dropped() const {
  std::lock_guard lock(mutex_);
  return dropped_;
}

// Stores the batch that failed before, else the one that is being gathered. The lock is open while `put` works.
Status BatchedCapture::store_batch(std::unique_lock<std::mutex>& lock) {
  if (storing_.empty()) storing_.swap(batch_);  // their memory serves the next batch, until none comes
  if (storing_.empty()) {
    std::string().swap(storing_);
    std::string().swap(batch_);
    return {};
  }
  busy_ = true;
  lock.unlock();
  auto stored = put_(view_of(storing_));
  lock.lock();
  busy_ = false;
  if (stored) storing_.clear();
  if (storing_.empty() && storing_.capacity() > options_.batch_bytes + 2 * kLineRoom) std::string().swap(storing_);
  changed_.notify_all();
  return stored;
}

void BatchedCapture::run() {
  using Steady = std::chrono::steady_clock;
  using std::chrono::milliseconds;
  std::unique_lock lock(mutex_);
  auto earliest = Steady::now();
  while (!stopping_) {
    const bool is_any = changed_.wait_for(lock, milliseconds(options_.batch_ms), [this] { return stopping_ || !batch_.empty() || !storing_.empty(); });
    if (is_any) {
      const auto due = std::max(earliest, Steady::now() + milliseconds(options_.gather_ms));
      changed_.wait_until(lock, due, [this] { return stopping_ || (batch_.size() >= options_.batch_bytes && storing_.empty()); });
    }
    changed_.wait(lock, [this] { return !busy_; });
    auto stored = store_batch(lock);  // of nothing: gives its memory back
    if (is_any) earliest = Steady::now() + milliseconds(stored ? options_.batch_ms : options_.retry_ms);
    if (!stored) spdlog::warn("captured requests cannot be stored yet: {}", stored.error().message);
  }
  while (!batch_.empty() || !storing_.empty()) {
    auto stored = store_batch(lock);
    if (stored) continue;
    spdlog::error("captured requests are lost: {}", stored.error().message);
    return;
  }
}

}  // namespace redoubt::gateway
