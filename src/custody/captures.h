// SPDX-License-Identifier: Apache-2.0
//
// Which sealed batches of captured requests and answers an environment has, and when they go (docs/formats/capture.md). The list is cut into
// notes of a bounded size, so that a batch more costs the same however many there are. Killed at any instant, nothing that was stored stays
// unlisted for ever: what is about to be stored is noted first, and what is about to go is in the ledger first.
#pragma once

#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "custody/stores.h"
#include "governance/notes.h"

namespace redoubt::custody {

struct CaptureBatch {
  Digest blob;
  std::uint64_t bytes = 0;
  TimePoint stored{};
  // Of its lines, where it is known: programs that kept a single list knew none of these.
  std::optional<std::uint64_t> records;
  std::optional<TimePoint> first, last;
};

// When the request of a captured line was answered; nothing for a line that no release wrote.
std::optional<TimePoint> time_of_capture(std::string_view line);

// Every listed batch in the order of the list, for whoever reads. `tampered` where the list is not one.
Result<std::vector<CaptureBatch>> captured_batches(governance::Notes& notes, const std::string& environment);
// A batch's lines; nothing when it expired since the list was read.
Result<std::optional<Bytes>> read_captures(governance::Notes& notes, vault::ArtifactStore& store, const std::string& environment, const CaptureBatch& batch);

// The one who writes the list of an environment: its endpoint, or whoever keeps the endpoint from starting. Safe from several threads, but one
// `add` at a time. All outlive it.
class CaptureList {
 public:
  CaptureList(governance::Notes& notes, vault::ArtifactStore& store, const Clock& clock, std::string environment)
      : notes_(notes), store_(store), clock_(clock), environment_(std::move(environment)) {}

  // Seals a batch and lists it. Failed, it is to be called again with the same lines.
  Status add(ByteView lines);
  // Lists what a process that was killed had stored, and what the single list of an earlier release has. `add` does it too.
  Status settle();
  // At most `count_max` of those that were stored at `limit` or before.
  Result<std::vector<CaptureBatch>> stored_until(TimePoint limit, std::size_t count_max);
  // Takes batches that were stored at `limit` or before off the list; the blobs are left alone.
  Status take_off(TimePoint limit, const std::set<Digest>& blobs);

 private:
  struct Part {
    std::uint64_t number = 0;
    TimePoint oldest{};  // none of its batches was stored before
  };
  Status load();
  Status settle_now();
  Status take_over_old();
  Status save_parts(std::vector<Part> parts, std::uint64_t next);
  Status append(std::vector<CaptureBatch> batches);
  Status announce(const CaptureBatch& batch);
  Status seal_and_list(ByteView lines, const CaptureBatch& batch);
  bool is_newest(const Digest& blob) const;
  bool takes(const CaptureBatch& batch) const;

  governance::Notes& notes_;
  vault::ArtifactStore& store_;
  const Clock& clock_;
  const std::string environment_;
  std::mutex mutex_;
  bool is_loaded_ = false, is_settled_ = false, is_adding_ = false;
  std::vector<Part> parts_;
  std::uint64_t next_ = 1;
  std::vector<CaptureBatch> newest_;  // of the last part
};

struct ExpiredCaptures {
  std::uint64_t taken_off = 0;  // of the list, whether or not their blobs were there
  std::uint64_t batches = 0, records = 0, bytes = 0;
  TimePoint until{};            // when the newest of them was stored

  void add(const ExpiredCaptures& more);
};
// A bounded piece of what was stored at `limit` or before: the ledger says what goes, then it is off the list, then out of the store. Blobs that
// an artifact names stay in the store for that. Call it under the workspace's lock until it takes nothing off.
Result<ExpiredCaptures> expire_captures(CaptureList& list, const Stores& stores, const std::string& environment, TimePoint limit);

}  // namespace redoubt::custody
