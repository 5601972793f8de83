// SPDX-License-Identifier: Apache-2.0
//
// A feed as a file that is looked up in without being read whole (docs/formats/advisories.md): entries by key, sorted.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "advisories/advisory.h"
#include "base/stream.h"

namespace redoubt::advisories {

// Collects entries; `finish` gives the file as a source, the same for the same entries in whatever order they came.
class FeedIndexWriter {
 public:
  void add(const std::string& key, std::string_view entry);
  void add(const Advisory& advisory);
  // Takes all of another's, which another thread may have filled.
  void merge(FeedIndexWriter&& other);
  std::size_t entries() const { return entries_.size(); }
  // Distinct ecosystems of the advisories that were added.
  const std::vector<std::string>& ecosystems() const { return ecosystems_; }
  // May be called once.
  std::unique_ptr<Source> finish() &&;

 private:
  friend class FeedIndexSource;
  struct Entry {
    std::string key;
    std::uint32_t arena = 0, length = 0;
    std::uint64_t offset = 0;
  };
  std::string_view bytes_of(const Entry& entry) const { return std::string_view(arenas_[entry.arena]).substr(entry.offset, entry.length); }
  std::vector<std::string> arenas_ = {std::string()};
  std::vector<Entry> entries_;
  std::vector<std::string> ecosystems_;
};

class FeedIndex {
 public:
  // invalid_argument for what is no such file; the reads' own errors (tampered).
  static Result<FeedIndex> open(std::shared_ptr<const RandomAccess> file, std::string where);
  // The entries of a key; empty where there are none.
  Result<std::vector<std::string>> find(std::string_view key) const;
  Result<std::vector<Advisory>> advisories(const std::string& key) const;
  std::size_t keys() const { return keys_.size(); }

 private:
  struct Key {
    std::string_view name;  // into names_
    std::uint64_t offset = 0;
    std::uint32_t length = 0;
  };
  std::shared_ptr<const RandomAccess> file_;
  std::string where_;
  std::shared_ptr<const std::string> names_;
  std::vector<Key> keys_;
};

// The bytes of an entry of `add(Advisory)`.
std::string encode_advisory(const Advisory& advisory);
Result<Advisory> decode_advisory(std::string_view bytes, const std::string& where);

}  // namespace redoubt::advisories
