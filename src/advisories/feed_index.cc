// SPDX-License-Identifier: Apache-2.0
#include "advisories/feed_index.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>

namespace redoubt::advisories {
namespace {

// The file: magic (8), version (4, little-endian), zero (4), length of the entries (8), length of the keys (8); the entries; the keys.
constexpr std::string_view kMagic = "RDBTFEED";
constexpr std::uint32_t kIndexVersion = 1;
constexpr std::size_t kHeadSize = 32;
constexpr std::uint64_t kKeysMax = 1 << 30, kFileMax = 64ull << 30;
constexpr std::size_t kListMax = 10'000'000;

void put_number(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
}
void put_text(std::string& out, std::string_view text) {
  put_number(out, text.size());
  out += text;
}
void put_fixed(std::string& out, std::uint64_t value, int size) {
  for (int i = 0; i < size; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
}

// Takes numbers and texts off the front; false from the first that is cut off.
class Taker {
 public:
  explicit Taker(std::string_view bytes) : rest_(bytes) {}
  bool good() const { return good_; }
  bool empty() const { return rest_.empty(); }
  std::uint64_t number() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 63; shift += 7) {
      if (rest_.empty()) break;
      const auto byte = static_cast<std::uint8_t>(rest_[0]);
      rest_.remove_prefix(1);
      value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if ((byte & 0x80) == 0) return value;
    }
    good_ = false;
    return 0;
  }
  std::string_view text() {
    const auto size = number();
    if (size > rest_.size()) good_ = false;
    const auto out = rest_.substr(0, good_ ? static_cast<std::size_t>(size) : 0);
    rest_.remove_prefix(out.size());
    return out;
  }
  // A count of things of at least one byte each.
  std::size_t count() {
    const auto value = number();
    if (value > rest_.size() || value > kListMax) good_ = false;
    return good_ ? static_cast<std::size_t>(value) : 0;
  }

 private:
  std::string_view rest_;
  bool good_ = true;
};

std::uint64_t fixed_at(std::string_view bytes, std::size_t at, int size) {
  std::uint64_t value = 0;
  for (int i = size; i-- > 0;) value = value << 8 | static_cast<std::uint8_t>(bytes[at + static_cast<std::size_t>(i)]);
  return value;
}

tl::unexpected<Error> broken_index(const std::string& where) { return fail(ErrorCode::invalid_argument, "an index of advisories that is cut off or malformed", where, "run 'redoubt image db update'"); }

}  // namespace

std::string encode_advisory(const Advisory& advisory) {
  std::string out;
  for (const auto* text : {&advisory.id, &advisory.ecosystem, &advisory.package, &advisory.severity, &advisory.vector}) put_text(out, *text);
  put_number(out, static_cast<std::uint64_t>(std::lround(advisory.cvss * 10)));
  put_number(out, advisory.ranges.size());
  for (const auto& range : advisory.ranges) {
    for (const auto* text : {&range.introduced, &range.fixed, &range.last_affected}) put_text(out, *text);
  }
  for (const auto* list : {&advisory.versions, &advisory.aliases, &advisory.upstream}) {
    if (list == &advisory.upstream && list->empty()) break;  // most have none
    put_number(out, list->size());
    for (const auto& text : *list) put_text(out, text);
  }
  return out;
}

Result<Advisory> decode_advisory(std::string_view bytes, const std::string& where) {
  Taker taker(bytes);
  Advisory advisory;
  for (auto* text : {&advisory.id, &advisory.ecosystem, &advisory.package, &advisory.severity, &advisory.vector}) *text = taker.text();
  advisory.cvss = static_cast<double>(taker.number()) / 10;
  for (std::size_t i = taker.count(); i > 0 && taker.good(); --i) {
    auto& range = advisory.ranges.emplace_back();
    for (auto* text : {&range.introduced, &range.fixed, &range.last_affected}) *text = taker.text();
  }
  for (auto* list : {&advisory.versions, &advisory.aliases, &advisory.upstream}) {
    if (list == &advisory.upstream && taker.empty()) break;
    for (std::size_t i = taker.count(); i > 0 && taker.good(); --i) list->emplace_back(taker.text());
  }
  if (!taker.good() || !taker.empty() || advisory.cvss > 10) return broken_index(where);
  return advisory;
}

void FeedIndexWriter::add(const std::string& key, std::string_view entry) {
  auto& arena = arenas_.back();
  entries_.push_back({key, static_cast<std::uint32_t>(arenas_.size() - 1), static_cast<std::uint32_t>(entry.size()), arena.size()});
  arena += entry;
}

void FeedIndexWriter::add(const Advisory& advisory) {
  add(package_key(advisory.ecosystem, advisory.package), encode_advisory(advisory));
  std::string ecosystem = ecosystem_key(advisory.ecosystem);
  const auto at = std::lower_bound(ecosystems_.begin(), ecosystems_.end(), ecosystem);
  if (at == ecosystems_.end() || *at != ecosystem) ecosystems_.insert(at, std::move(ecosystem));
}

void FeedIndexWriter::merge(FeedIndexWriter&& other) {
  const auto first = static_cast<std::uint32_t>(arenas_.size());
  for (auto& arena : other.arenas_) arenas_.push_back(std::move(arena));
  entries_.reserve(entries_.size() + other.entries_.size());
  for (auto& entry : other.entries_) {
    entry.arena += first;
    entries_.push_back(std::move(entry));
  }
  std::vector<std::string> both;
  std::set_union(ecosystems_.begin(), ecosystems_.end(), other.ecosystems_.begin(), other.ecosystems_.end(), std::back_inserter(both));
  ecosystems_ = std::move(both);
  arenas_.emplace_back();
}

// Head and keys are made at the start; the entries are copied as they are asked for.
class FeedIndexSource final : public Source {
 public:
  explicit FeedIndexSource(FeedIndexWriter writer) : writer_(std::move(writer)) {
    auto& entries = writer_.entries_;
    std::sort(entries.begin(), entries.end(), [&](const auto& a, const auto& b) {
      const int order = a.key.compare(b.key);
      return order != 0 ? order < 0 : writer_.bytes_of(a) < writer_.bytes_of(b);
    });
    std::uint64_t offset = 0;
    for (std::size_t i = 0; i < entries.size();) {
      std::size_t end = i;
      std::uint64_t length = 0;
      for (; end < entries.size() && entries[end].key == entries[i].key; ++end) {
        std::string size;
        put_number(size, entries[end].length);
        length += size.size() + entries[end].length;
      }
      put_text(keys_, entries[i].key);
      put_number(keys_, length);
      offset += length;
      i = end;
    }
    pending_ = kMagic;
    put_fixed(pending_, kIndexVersion, 4);
    put_fixed(pending_, 0, 4);
    put_fixed(pending_, offset, 8);
    put_fixed(pending_, keys_.size(), 8);
  }

  Result<std::size_t> read(MutableByteView into) override {
    while (at_ == pending_.size()) {
      pending_.clear();
      at_ = 0;
      if (next_ < writer_.entries_.size()) {
        while (next_ < writer_.entries_.size() && pending_.size() < (1 << 20)) put_text(pending_, writer_.bytes_of(writer_.entries_[next_++]));
      } else if (!keys_.empty()) {
        pending_ = std::move(keys_);
        keys_.clear();
      } else {
        return std::size_t{0};
      }
    }
    const std::size_t count = std::min(into.size(), pending_.size() - at_);
    std::memcpy(into.data(), pending_.data() + at_, count);
    at_ += count;
    return count;
  }

 private:
  FeedIndexWriter writer_;
  std::string keys_, pending_;
  std::size_t at_ = 0, next_ = 0;
};

std::unique_ptr<Source> FeedIndexWriter::finish() && { return std::make_unique<FeedIndexSource>(std::move(*this)); }

Result<FeedIndex> FeedIndex::open(std::shared_ptr<const RandomAccess> file, std::string where) {
  std::string head(kHeadSize, '\0');
  if (file->size() < kHeadSize) return broken_index(where);
  TRY(file->read_at(0, MutableByteView(reinterpret_cast<std::uint8_t*>(head.data()), head.size())));
  if (!head.starts_with(kMagic)) return broken_index(where);
  if (fixed_at(head, 8, 4) != kIndexVersion) return fail(ErrorCode::unsupported, "an index of advisories of another version", where, "run 'redoubt image db update'");
  const std::uint64_t data = fixed_at(head, 16, 8), keys = fixed_at(head, 24, 8);
  if (keys > kKeysMax || data > kFileMax || kHeadSize + data + keys != file->size()) return broken_index(where);
  auto names = std::make_shared<std::string>(static_cast<std::size_t>(keys), '\0');
  TRY(file->read_at(kHeadSize + data, MutableByteView(reinterpret_cast<std::uint8_t*>(names->data()), names->size())));
  FeedIndex index;
  Taker taker(*names);
  std::uint64_t offset = kHeadSize;
  while (!taker.empty()) {
    Key key{taker.text(), offset, 0};
    const std::uint64_t length = taker.number();
    if (!taker.good() || length > data - (offset - kHeadSize) || length > 0xffffffff) return broken_index(where);
    if (!index.keys_.empty() && index.keys_.back().name >= key.name) return broken_index(where);
    key.length = static_cast<std::uint32_t>(length);
    offset += length;
    index.keys_.push_back(key);
  }
  if (offset != kHeadSize + data) return broken_index(where);
  index.file_ = std::move(file);
  index.where_ = std::move(where);
  index.names_ = std::move(names);
  return index;
}

Result<std::vector<std::string>> FeedIndex::find(std::string_view name) const {
  std::vector<std::string> out;
  const auto at = std::lower_bound(keys_.begin(), keys_.end(), name, [](const Key& key, std::string_view wanted) { return key.name < wanted; });
  if (at == keys_.end() || at->name != name) return out;
  std::string bytes(at->length, '\0');
  TRY(file_->read_at(at->offset, MutableByteView(reinterpret_cast<std::uint8_t*>(bytes.data()), bytes.size())));
  Taker taker(bytes);
  while (!taker.empty()) {
    out.emplace_back(taker.text());
    if (!taker.good()) return broken_index(where_);
  }
  return out;
}

Result<std::vector<Advisory>> FeedIndex::advisories(const std::string& key) const {
  std::vector<Advisory> out;
  for (const auto& bytes : TRY(find(key))) out.push_back(TRY(decode_advisory(bytes, where_)));
  return out;
}

}  // namespace redoubt::advisories
