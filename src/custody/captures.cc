// SPDX-License-Identifier: Apache-2.0
#include "custody/captures.h"

#include <fmt/format.h>

#include <algorithm>

#include "crypto/hash.h"

namespace redoubt::custody {
namespace {

constexpr std::size_t kBatchesAPart = 256;
constexpr std::size_t kBatchesAPiece = 200;
constexpr std::uint64_t kBatchBytesMax = 256 << 20;

// Of an earlier release: all that is known of an environment's captures in one array.
std::string old_note(const std::string& environment) { return "captures-" + environment; }
std::string parts_note(const std::string& environment) { return "capture-parts-" + environment; }
std::string pending_note(const std::string& environment) { return "capture-pending-" + environment; }
std::string part_note(const std::string& environment, std::uint64_t number) { return fmt::format("capture-part-{:08}-{}", number, environment); }

Error not_a_list(const std::string& note) { return {ErrorCode::tampered, "not a list of captured batches", "state/" + note}; }

Json to_json(const CaptureBatch& batch) {
  Json json = {{"blob", batch.blob.tagged()}, {"bytes", batch.bytes}, {"stored", to_rfc3339(batch.stored)}};
  if (batch.records) json["records"] = *batch.records;
  if (batch.first) json["first"] = to_rfc3339(*batch.first);
  if (batch.last) json["last"] = to_rfc3339(*batch.last);
  return json;
}

Result<std::optional<TimePoint>> time_or_none(const Json& json, const char* key) {
  const std::string text = json_or(json, key, "");
  if (text.empty()) return std::optional<TimePoint>();
  return std::optional(TRY(parse_rfc3339(text)));
}

Result<CaptureBatch> read_batch(const Json& json) {
  CaptureBatch batch;
  batch.blob = TRY(Digest::parse(TRY(json_string(json, "blob", "captures"))));
  batch.bytes = static_cast<std::uint64_t>(TRY(json_integer(json, "bytes", "captures")));
  batch.stored = TRY(parse_rfc3339(TRY(json_string(json, "stored", "captures"))));
  if (json.contains("records")) batch.records = static_cast<std::uint64_t>(TRY(json_integer(json, "records", "captures")));
  batch.first = TRY(time_or_none(json, "first"));
  batch.last = TRY(time_or_none(json, "last"));
  return batch;
}

// What is not there has nothing.
Result<std::vector<CaptureBatch>> read_batches(governance::Notes& notes, const std::string& note) {
  const Json list = TRY(notes.load(note)).value_or(Json::array());
  if (!list.is_array()) return fail(not_a_list(note));
  std::vector<CaptureBatch> batches;
  for (const auto& json : list) {
    auto batch = read_batch(json);
    if (!batch) return fail(not_a_list(note));
    batches.push_back(std::move(*batch));
  }
  return batches;
}

Status save_batches(governance::Notes& notes, const std::string& note, const std::vector<CaptureBatch>& batches) {
  Json list = Json::array();
  for (const auto& batch : batches) list.push_back(to_json(batch));
  return notes.save(note, list);
}

CaptureBatch describe(ByteView lines, TimePoint now) {
  CaptureBatch batch{crypto::sha256(lines), lines.size(), now, 0, {}, {}};
  const std::string_view text = text_of(lines);
  for (std::size_t from = 0; from < text.size();) {
    const auto end = std::min(text.find('\n', from), text.size());
    ++*batch.records;
    if (const auto time = time_of_capture(text.substr(from, end - from))) {
      batch.first = std::min(batch.first.value_or(*time), *time);
      batch.last = std::max(batch.last.value_or(*time), *time);
    }
    from = end + 1;
  }
  return batch;
}

Result<std::set<Digest>> named_blobs(vault::ArtifactStore& artifacts) {
  std::set<Digest> blobs;
  for (const auto& artifact : TRY(artifacts.artifacts())) {
    for (const auto& file : TRY(artifacts.manifest(artifact)).files) blobs.insert(file.sha256);
  }
  return blobs;
}

}  // namespace

// Within the texts of a line each quote has a backslash before it, so this is found in the line's own part alone.
std::optional<TimePoint> time_of_capture(std::string_view line) {
  constexpr std::string_view kMember = "\"inferenceTime\":\"";
  const auto found = line.rfind(kMember);
  if (found == line.npos) return std::nullopt;
  const auto text = line.substr(found + kMember.size());
  const auto time = parse_rfc3339(text.substr(0, text.find('"')));
  return time ? std::optional(*time) : std::nullopt;
}

Result<std::vector<CaptureBatch>> captured_batches(governance::Notes& notes, const std::string& environment) {
  auto batches = TRY(read_batches(notes, old_note(environment)));
  std::set<Digest> known;
  for (const auto& batch : batches) known.insert(batch.blob);
  const Json index = TRY(notes.load(parts_note(environment))).value_or(Json::object());
  for (const auto& part : json_or(index, "parts", Json::array())) {
    const auto number = json_or(part, "part", std::int64_t{0});
    for (auto& batch : TRY(read_batches(notes, part_note(environment, static_cast<std::uint64_t>(number))))) {
      // A process that was killed may have left some in both.
      if (known.insert(batch.blob).second) batches.push_back(std::move(batch));
    }
  }
  return batches;
}

Result<std::optional<Bytes>> read_captures(governance::Notes& notes, vault::ArtifactStore& store, const std::string& environment, const CaptureBatch& batch) {
  auto lines = store.read_blob(batch.blob, kBatchBytesMax);
  if (lines) return std::optional(std::move(*lines));
  if (lines.error().code != ErrorCode::not_found) return fail(std::move(lines.error()));
  const auto listed = TRY(captured_batches(notes, environment));
  const bool is_lost = std::any_of(listed.begin(), listed.end(), [&](const CaptureBatch& one) { return one.blob == batch.blob; });
  if (!is_lost) return std::optional<Bytes>();
  return fail(ErrorCode::not_found, "a batch of captures is listed and not in the store", "objects/blobs/" + batch.blob.hex(), "bring it back from a replica: redoubt vault recover");
}

Status CaptureList::load() {
  if (is_loaded_) return {};
  const std::string note = parts_note(environment_);
  const Json index = TRY(notes_.load(note)).value_or(Json::object());
  parts_.clear();
  for (const auto& json : json_or(index, "parts", Json::array())) {
    const auto oldest = parse_rfc3339(json_or(json, "oldest", ""));
    const auto number = json_or(json, "part", std::int64_t{0});
    if (!oldest || number <= 0) return fail(not_a_list(note));
    parts_.push_back({static_cast<std::uint64_t>(number), *oldest});
  }
  next_ = static_cast<std::uint64_t>(json_or(index, "next", std::int64_t{1}));
  newest_.clear();
  if (!parts_.empty()) newest_ = TRY(read_batches(notes_, part_note(environment_, parts_.back().number)));
  is_loaded_ = true;
  return {};
}

Status CaptureList::save_parts(std::vector<Part> parts, std::uint64_t next) {
  Json list = Json::array();
  for (const auto& part : parts) list.push_back({{"part", part.number}, {"oldest", to_rfc3339(part.oldest)}});
  TRY(notes_.save(parts_note(environment_), {{"version", 1}, {"next", next}, {"parts", list}}));
  parts_ = std::move(parts);
  next_ = next;
  return {};
}

bool CaptureList::is_newest(const Digest& blob) const {
  return std::any_of(newest_.begin(), newest_.end(), [&](const CaptureBatch& one) { return one.blob == blob; });
}

bool CaptureList::takes(const CaptureBatch& batch) const { return !parts_.empty() && newest_.size() < kBatchesAPart && batch.stored >= parts_.back().oldest; }

// A part is named before it is there: named without being there, it is empty.
Status CaptureList::append(std::vector<CaptureBatch> batches) {
  for (auto next = batches.begin(); next != batches.end();) {
    if (!takes(*next)) {
      auto parts = parts_;
      parts.push_back({next_, next->stored});
      TRY(save_parts(std::move(parts), next_ + 1));
      newest_.clear();
    }
    auto grown = newest_;
    while (next != batches.end() && grown.size() < kBatchesAPart && next->stored >= parts_.back().oldest) grown.push_back(std::move(*next++));
    TRY(save_batches(notes_, part_note(environment_, parts_.back().number), grown));
    newest_ = std::move(grown);
  }
  return {};
}

Status CaptureList::take_over_old() {
  const auto old = TRY(read_batches(notes_, old_note(environment_)));
  if (!old.empty()) {
    std::set<Digest> known;
    for (const auto& part : parts_) {
      for (const auto& batch : TRY(read_batches(notes_, part_note(environment_, part.number)))) known.insert(batch.blob);
    }
    std::vector<CaptureBatch> missing;
    std::copy_if(old.begin(), old.end(), std::back_inserter(missing), [&](const CaptureBatch& batch) { return !known.contains(batch.blob); });
    TRY(append(std::move(missing)));
  }
  return notes_.remove(old_note(environment_));
}

Status CaptureList::settle_now() {
  if (is_settled_) return {};
  TRY(load());
  TRY(take_over_old());
  if (const auto pending = TRY(notes_.load(pending_note(environment_)))) {
    const auto batch = read_batch(*pending);
    if (!batch) return fail(not_a_list(pending_note(environment_)));
    if (!is_newest(batch->blob) && TRY(store_.has_blob(batch->blob))) TRY(append({*batch}));
    TRY(notes_.remove(pending_note(environment_)));
  }
  is_settled_ = true;
  return {};
}

Status CaptureList::settle() {
  const std::lock_guard lock(mutex_);
  return is_adding_ ? Status() : settle_now();  // what is being added is not stored yet, and is noted
}

Status CaptureList::announce(const CaptureBatch& batch) {
  const std::lock_guard lock(mutex_);
  TRY(settle_now());
  TRY(notes_.save(pending_note(environment_), to_json(batch)));
  is_settled_ = false;  // until it is listed, what was stored of it is looked for first
  is_adding_ = true;
  return {};
}

Status CaptureList::seal_and_list(ByteView lines, const CaptureBatch& batch) {
  MemorySource source(lines);
  (void)TRY(store_.put_blob(source, batch.blob));
  const std::lock_guard lock(mutex_);
  if (!is_newest(batch.blob)) TRY(append({batch}));
  is_settled_ = true;
  return {};
}

Status CaptureList::add(ByteView lines) {
  const auto batch = describe(lines, clock_.now());
  TRY(announce(batch));
  const auto added = seal_and_list(lines, batch);
  const std::lock_guard lock(mutex_);
  is_adding_ = false;
  return added;
}

Result<std::vector<CaptureBatch>> CaptureList::stored_until(TimePoint limit, std::size_t count_max) {
  const std::lock_guard lock(mutex_);
  TRY(load());
  std::vector<CaptureBatch> found;
  for (const auto& part : parts_) {
    if (part.oldest > limit) continue;
    for (auto& batch : TRY(read_batches(notes_, part_note(environment_, part.number)))) {
      if (found.size() == count_max) return found;
      if (batch.stored <= limit) found.push_back(std::move(batch));
    }
  }
  return found;
}

Status CaptureList::take_off(TimePoint limit, const std::set<Digest>& blobs) {
  const std::lock_guard lock(mutex_);
  TRY(load());
  is_loaded_ = false;  // until all is written
  std::vector<Part> kept;
  for (const auto& part : parts_) {
    if (part.oldest > limit) {
      kept.push_back(part);
      continue;
    }
    const std::string note = part_note(environment_, part.number);
    auto batches = TRY(read_batches(notes_, note));
    const auto gone = std::erase_if(batches, [&](const CaptureBatch& batch) { return blobs.contains(batch.blob); });
    if (batches.empty()) {
      TRY(notes_.remove(note));
      continue;
    }
    if (gone > 0) TRY(save_batches(notes_, note, batches));
    kept.push_back(part);
  }
  if (kept.size() != parts_.size()) TRY(save_parts(std::move(kept), next_));
  return load();
}

void ExpiredCaptures::add(const ExpiredCaptures& more) {
  taken_off += more.taken_off;
  batches += more.batches;
  records += more.records;
  bytes += more.bytes;
  until = std::max(until, more.until);
}

Result<ExpiredCaptures> expire_captures(CaptureList& list, const Stores& stores, const std::string& environment, TimePoint limit) {
  const auto due = TRY(list.stored_until(limit, kBatchesAPiece));
  ExpiredCaptures done;
  if (due.empty()) return done;
  auto* artifacts = TRY(stores.artifacts(kObjects, {}));
  const auto named = TRY(named_blobs(*artifacts));
  std::set<Digest> leaving;
  ObjectList going;
  for (const auto& batch : due) {
    leaving.insert(batch.blob);
    if (!TRY(artifacts->has_blob(batch.blob))) continue;  // a process that was killed had come so far
    done.add({0, 1, batch.records.value_or(0), batch.bytes, batch.stored});
    if (named.contains(batch.blob)) ++going.shared;
    else going.blobs.push_back(batch.blob);
  }
  done.taken_off = leaving.size();
  const auto take_off = [&] { return list.take_off(limit, leaving); };
  if (done.batches == 0) {
    TRY(take_off());
    return done;
  }
  Json about = {{"environment", environment}, {"batches", done.batches}, {"records", done.records}, {"bytes", done.bytes}, {"until", to_rfc3339(done.until)}};
  if (going.shared > 0) about["shared"] = going.shared;
  TRY(remove_objects(stores, {}, kObjects, going, {{"action", "remove"}, {"cause", "expire"}, {"captures", about}}, take_off));
  return done;
}

}  // namespace redoubt::custody
