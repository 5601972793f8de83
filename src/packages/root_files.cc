// SPDX-License-Identifier: Apache-2.0
#include "packages/root_files.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "image_layer/layer.h"
#include "packages/records.h"

namespace redoubt::packages {
namespace {

constexpr int kLinksMax = 40;
constexpr int kEveryLayer = std::numeric_limits<int>::max();

std::vector<std::string> parts_of(std::string_view path) {
  std::vector<std::string> parts;
  while (!path.empty()) {
    const auto slash = std::min(path.find('/'), path.size());
    if (slash > 0) parts.emplace_back(path.substr(0, slash));
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  return parts;
}

// Everything up to `bytes_max`; nothing where there is more, and then the rest is read away. Most records are a few kilobytes, so the buffer grows with
// what comes.
Result<std::optional<Bytes>> read_bounded(Source& contents, std::uint64_t bytes_max, Bytes head) {
  constexpr std::size_t kChunkMin = 8 << 10, kChunkMax = 1 << 20;
  while (head.size() <= bytes_max) {
    const std::size_t at = head.size();
    head.resize(at + std::clamp(at, kChunkMin, kChunkMax));
    const std::size_t count = TRY(contents.read(MutableByteView(head).subspan(at)));
    head.resize(at + count);
    if (count == 0) return std::optional(std::move(head));
  }
  return std::optional<Bytes>();
}

bool is_of_a_language(RecordKind kind) {
  return kind == RecordKind::python_metadata || kind == RecordKind::npm_package || kind == RecordKind::npm_lock || kind == RecordKind::yarn_lock || kind == RecordKind::gemspec ||
         kind == RecordKind::java_archive;
}

}  // namespace

Status RootFiles::count() {
  if (++entries_seen_ > limits_.entries_max) return fail(ErrorCode::limit_exceeded, "the image has too many files", "image");
  return {};
}

// The path with the links on the way to it followed; what is named last is not.
Result<std::string> RootFiles::resolve_parent(const std::string& path) const {
  std::vector<std::string> waiting = parts_of(path), done;
  std::reverse(waiting.begin(), waiting.end());
  int links = 0;
  while (!waiting.empty()) {
    const std::string part = std::move(waiting.back());
    waiting.pop_back();
    if (part == ".") continue;
    if (part == "..") {
      if (!done.empty()) done.pop_back();
      continue;
    }
    done.push_back(part);
    if (waiting.empty()) break;
    std::string here;
    for (const auto& each : done) here += (here.empty() ? "" : "/") + each;
    const auto found = entries_.find(here);
    if (found == entries_.end() || found->second.kind) continue;
    if (++links > kLinksMax) return fail(ErrorCode::invalid_argument, "links that never end", path);
    done.pop_back();
    if (found->second.target.starts_with('/')) done.clear();
    auto target = parts_of(found->second.target);
    waiting.insert(waiting.end(), target.rbegin(), target.rend());
  }
  std::string out;
  for (const auto& each : done) out += (out.empty() ? "" : "/") + each;
  return out;
}

// The same with a link at the end followed too.
Result<std::string> RootFiles::resolve(const std::string& path) const {
  std::string at = TRY(resolve_parent(path));
  for (int links = 0; links <= kLinksMax; ++links) {
    const auto found = entries_.find(at);
    if (found == entries_.end() || found->second.kind) return at;
    const auto slash = at.rfind('/');
    const auto& target = found->second.target;
    at = TRY(resolve_parent(target.starts_with('/') || slash == at.npos ? target : at.substr(0, slash + 1) + target));
  }
  return fail(ErrorCode::invalid_argument, "links that never end", path);
}

const RootFiles::Entry* RootFiles::find(const std::string& path) const {
  const auto real = resolve(path);
  const auto found = real ? entries_.find(*real) : entries_.end();
  return found == entries_.end() ? nullptr : &found->second;
}

void RootFiles::erase_below(const std::string& path, int below_layer) {
  const std::string prefix = path.empty() ? "" : path + "/";
  for (auto at = entries_.lower_bound(prefix); at != entries_.end() && at->first.starts_with(prefix);) {
    at = at->second.layer < below_layer ? entries_.erase(at) : std::next(at);
  }
}

void RootFiles::erase(const std::string& path, int below_layer) {
  if (const auto found = entries_.find(path); found != entries_.end() && found->second.layer < below_layer) entries_.erase(found);
  erase_below(path, below_layer);
}

Result<RootFiles::Entry> RootFiles::read(RecordKind kind, const std::string& path, Source& contents) {
  Entry entry{layer_, kind, {}, nullptr, nullptr};
  const bool is_kept = kind != RecordKind::java_archive && kind != RecordKind::program;
  Inventory found;
  Bytes head;
  if (kind == RecordKind::program) {
    head = TRY(image_layer::read_head(contents, 20));  // which tell whether it is one
    if (head.size() < 4 || text_of(ByteView(head).first(4)) != "\x7f" "ELF") return entry;
  }
  auto bytes = TRY(read_bounded(contents, is_kept ? limits_.record_bytes_max : limits_.program_bytes_max, std::move(head)));
  if (is_kept) {
    if (!bytes) return fail(ErrorCode::limit_exceeded, "a record of packages that is too large", path);
    auto text = std::make_shared<const std::string>(kind == RecordKind::dpkg_files ? python_records_of(text_of(*bytes)) : to_text(*bytes));
    text_bytes_ += text->size();
    if (text_bytes_ > limits_.text_bytes_max) return fail(ErrorCode::limit_exceeded, "the image's records of packages are too large", path);
    entry.text = std::move(text);
    return entry;
  }
  auto read = !bytes ? Result<Packages>(fail(ErrorCode::limit_exceeded, "too large to be looked into", path)) : kind == RecordKind::program ? read_program(*bytes, path) : read_java_archive(*bytes, path);
  if (read) {
    found.packages = std::move(*read);
  } else {
    found.problems.push_back({read.error().where, read.error().message});
  }
  if (!found.packages.empty() || !found.problems.empty()) entry.packages = std::make_shared<const Inventory>(std::move(found));
  return entry;
}

Status RootFiles::add_file(const std::string& path, bool is_executable, Source& contents) {
  TRY(count());
  const std::string real = TRY(resolve_parent(path));
  const auto kind = record_kind(real, is_executable);
  erase(real, kEveryLayer);
  if (!kind) return {};
  Entry entry = TRY(read(*kind, real, contents));
  if (entry.text || entry.packages) entries_.emplace(real, std::move(entry));
  return {};
}

Status RootFiles::add_folder(const std::string& path) {
  TRY(count());
  const std::string real = TRY(resolve_parent(path));
  if (const auto found = entries_.find(real); found != entries_.end()) entries_.erase(found);
  return {};
}

Status RootFiles::add_symbolic_link(const std::string& path, const std::string& target) {
  TRY(count());
  const std::string real = TRY(resolve_parent(path));
  erase(real, kEveryLayer);
  text_bytes_ += real.size() + target.size();
  if (text_bytes_ > limits_.text_bytes_max) return fail(ErrorCode::limit_exceeded, "the image has too many links", path);
  entries_.emplace(real, Entry{layer_, std::nullopt, target, nullptr, nullptr});
  return {};
}

Status RootFiles::add_hard_link(const std::string& path, const std::string& target) {
  TRY(count());
  const std::string real = TRY(resolve_parent(path)), original = TRY(resolve_parent(target));
  if (real == original) return {};
  const auto found = entries_.find(original);
  const std::optional<Entry> entry = found == entries_.end() ? std::nullopt : std::optional(found->second);
  erase(real, kEveryLayer);
  if (!entry) {
    // Only a file that tells of packages by its new name alone was not read, as where pnpm's store comes before the packages that are linked to it.
    const auto kind = record_kind(real, false);
    if (!kind || *kind == RecordKind::program || *kind == RecordKind::copyright || *kind == RecordKind::dpkg_files) return {};
    if (!is_of_a_language(*kind)) return fail(ErrorCode::unsupported, "a database of packages that is a hard link to a file of another name", path, "build the image without this link");
    Inventory unread{{}, {{real, "a record of packages that is a hard link to a file of another name"}}};
    entries_.emplace(real, Entry{layer_, kind, "", nullptr, std::make_shared<const Inventory>(std::move(unread)), true});
    text_bytes_ += original.size() + real.size();
    if (text_bytes_ > limits_.text_bytes_max) return fail(ErrorCode::limit_exceeded, "the image has too many links", path);
    unread_links_[original].push_back(real);
    return {};
  }
  Entry copy = *entry;
  copy.layer = layer_;
  if (const auto kind = record_kind(real, false); kind && copy.text) copy.kind = kind;
  entries_.emplace(real, std::move(copy));
  return {};
}

Status RootFiles::read_for_links(const std::string& path, Source& contents) {
  const auto links = unread_links_.find(TRY(resolve_parent(path)));
  if (links == unread_links_.end()) return {};
  std::optional<Entry> found;
  for (const auto& link : links->second) {
    const auto waiting = entries_.find(link);
    if (waiting == entries_.end() || !waiting->second.is_unread) continue;  // something else lies there by now
    const RecordKind kind = *waiting->second.kind;
    if (!found) found = TRY(read(kind, link, contents));
    if (found->kind == kind) waiting->second = *found;
  }
  return {};
}

Status RootFiles::hide(const std::string& path) {
  TRY(count());
  erase(TRY(resolve_parent(path)), layer_);
  return {};
}

Status RootFiles::hide_contents(const std::string& folder) {
  TRY(count());
  erase_below(TRY(resolve(folder)), layer_);
  return {};
}

}  // namespace redoubt::packages
