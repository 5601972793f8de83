// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>

#include "advisories/archive_entries.h"
#include "advisories/feeds.h"
#include "advisories/osv_record.h"
#include "base/file.h"
#include "base/json.h"
#include "base/yaml.h"
#include "packages/zip.h"

namespace redoubt::advisories {
namespace fs = std::filesystem;
namespace {

constexpr unsigned kThreadsMax = 16;
constexpr std::size_t kEntriesAtOnce = 64;
constexpr const char* kHint = "name a folder or an archive of OSV records in JSON or YAML";

bool is_record(const std::string& name) { return name.ends_with(".json") || name.ends_with(".yaml") || name.ends_with(".yml"); }

// One thread's share of a feed.
class Part {
 public:
  Status add(const std::string& name, std::string text) {
    if (!is_record(name)) return {};
    if (!name.ends_with(".json")) text = dump_json(TRY(parse_yaml(text, name)).value);
    const OsvRecord record = TRY(parser_.parse(text, name));
    feed_.dated = std::max(feed_.dated, record.modified);
    ++feed_.records;
    for (const auto& advisory : record.advisories) index_.add(advisory);
    return {};
  }
  void give(ReadFeed& into) && {
    into.feed.dated = std::max(into.feed.dated, feed_.dated);
    into.feed.records += feed_.records;
    into.index.merge(std::move(index_));
  }

 private:
  OsvParser parser_;
  Feed feed_;
  FeedIndexWriter index_;
};

// The first error of any thread ends them all.
Status read_zip(const fs::path& path, ReadFeed& into) {
  const auto file = TRY(FileReader::open_regular(path));
  auto entries = TRY(packages::list_zip(*file, path.string()));
  // In the order in which they lie, so that the disk reads on.
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.offset < b.offset; });
  std::atomic<std::size_t> next = 0;
  std::mutex mutex;
  std::optional<Error> error;
  const auto work = [&] {
    Part part;
    for (std::size_t from; (from = next.fetch_add(kEntriesAtOnce)) < entries.size();) {
      for (std::size_t i = from; i < std::min(from + kEntriesAtOnce, entries.size()); ++i) {
        if (!is_record(entries[i].name)) continue;
        auto text = packages::read_zip_entry(*file, entries[i], kRecordBytesMax, path.string());
        const auto added = text ? part.add(path.string() + ":" + entries[i].name, std::move(*text)) : Status(fail(text.error()));
        if (added) continue;
        const std::scoped_lock lock(mutex);
        if (!error) error = added.error();
        next = entries.size();
        return;
      }
    }
    const std::scoped_lock lock(mutex);
    std::move(part).give(into);
  };
  std::vector<std::jthread> threads;
  const unsigned count = std::min({std::max(std::thread::hardware_concurrency(), 1u), kThreadsMax, static_cast<unsigned>(entries.size() / kEntriesAtOnce + 1)});
  for (unsigned i = 1; i < count; ++i) threads.emplace_back(work);
  work();
  threads.clear();
  if (error) return fail(*error);
  return {};
}

Result<bool> is_zip(const fs::path& path) {
  const auto file = TRY(FileReader::open_regular(path));
  Bytes head(4);
  if (file->size() < head.size()) return false;
  TRY(file->read_at(0, head));
  return text_of(head).starts_with("PK");
}

}  // namespace

Result<ReadFeed> read_osv(const fs::path& path, const std::string& name) {
  ReadFeed read{{name.empty() ? "OSV " + path.filename().string() : name, TimePoint{}, 0}, {}};
  if (!is_there(path)) return fail(ErrorCode::not_found, "no such feed", path.string(), kHint);
  if (is_folder(path)) {
    Part part;
    for (const auto& file : TRY(list_files(path))) {
      if (is_record(file)) TRY(part.add((path / file).string(), TRY(read_text_file(path / file, kRecordBytesMax))));
    }
    std::move(part).give(read);
  } else if (TRY(is_zip(path))) {
    TRY(read_zip(path, read));
  } else if (is_record(path.string())) {
    Part part;
    TRY(part.add(path.string(), TRY(read_text_file(path, kRecordBytesMax))));
    std::move(part).give(read);
  } else {
    Part part;
    TRY(for_each_tar_entry(path, kRecordBytesMax, [&](const std::string& file, std::string text) { return part.add(file, std::move(text)); }));
    std::move(part).give(read);
  }
  if (read.feed.records == 0) return fail(ErrorCode::not_found, "no OSV record in this feed", path.string(), kHint);
  read.feed.ecosystems = read.index.ecosystems();
  return read;
}

}  // namespace redoubt::advisories
