// SPDX-License-Identifier: Apache-2.0
//
// Captured requests and answers as SageMaker's data-capture JSON lines. Capturing never slows or fails a request: the queue
// is bounded and what does not fit is counted as lost.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "base/bytes.h"
#include "base/clock.h"

namespace redoubt::gateway {

struct CaptureRecord {
  std::string_view event_id;  // the answer's id
  TimePoint time{};
  std::string_view model;
  std::string_view input;   // the request's body
  std::string_view output;  // the answer as one JSON text, however it was sent
  std::string_view inference_id = {};  // InvokeEndpoint's InferenceId; empty where the client gave none
};

// Appends the record as one line with its line end, in SageMaker's form (captureData, eventMetadata, eventVersion "0").
void append_capture_line(std::string& out, const CaptureRecord& record);

class CaptureSink {
 public:
  virtual ~CaptureSink() = default;
  // Never blocks, and keeps nothing of what the record names. False when the record was dropped.
  virtual bool record(const CaptureRecord& record) = 0;
};

struct BatchedCaptureOptions {
  std::size_t batch_bytes = 4 << 20;       // a batch is stored when it is this large
  int gather_ms = 5'000;                   // or so long after its first line,
  int batch_ms = 60'000;                   // though not sooner than so long after the one before: each batch is an entry of lists for long
  std::size_t queue_bytes_max = 64 << 20;  // what waits to be stored, with batches whose storing failed
  int retry_ms = 5'000;
};

// Gathers lines and hands each batch to `put`, which seals and stores it, on a thread of its own. A batch that cannot be
// stored is tried again until it can, and holds its place in the queue meanwhile.
class BatchedCapture final : public CaptureSink {
 public:
  using Put = std::function<Status(ByteView lines)>;
  static std::unique_ptr<BatchedCapture> create(Put put, BatchedCaptureOptions options = {});
  ~BatchedCapture() override;  // stores what is left, trying once
  bool record(const CaptureRecord& record) override;
  // Stores everything recorded so far; the error of `put` if it fails.
  Status flush();
  std::uint64_t dropped() const;

 private:
  BatchedCapture(Put put, BatchedCaptureOptions options) : put_(std::move(put)), options_(options) {}
  void run();
  Status store_batch(std::unique_lock<std::mutex>& lock);

  const Put put_;
  const BatchedCaptureOptions options_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::string batch_, storing_;  // storing_: being stored or to be tried again
  bool busy_ = false, stopping_ = false;
  std::uint64_t dropped_ = 0;
  std::thread thread_;
};

}  // namespace redoubt::gateway
