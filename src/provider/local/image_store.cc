// SPDX-License-Identifier: Apache-2.0
#include "provider/local/image_store.h"

#include <unistd.h>

#include <cerrno>

#include "base/file.h"
#include "crypto/checked_source.h"
#include "crypto/hash.h"
#include "provider/local/image_layout.h"

namespace redoubt::provider::local {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kLayout = "{\"imageLayoutVersion\":\"1.0.0\"}";
constexpr const char* kRestore = "restore it from a backup, or move the folder away and build the image again";
constexpr std::string_view kEarlierTemporary = ".incoming-";

// What stands in index.json came from this program, so whatever it can't be is tampering and not a caller's mistake.
tl::unexpected<Error> changed(const Error& error) { return fail(ErrorCode::tampered, "the index of the images is changed: " + error.message, error.where, kRestore); }

}  // namespace

Result<std::unique_ptr<LocalImageStore>> LocalImageStore::open(fs::path folder) {
  TRY(make_folder(folder / "blobs/sha256"));
  std::unique_ptr<LocalImageStore> store(new LocalImageStore(std::move(folder)));
  const auto lock = TRY(FileLock::acquire(store->folder_ / ".lock"));
  TRY(store->remove_leftovers());
  // A layout is made before its first blob comes: where there are blobs, a missing file was taken away and is not made anew.
  if (!TRY(list_folder(store->folder_ / "blobs/sha256")).empty()) return store;
  if (!fs::exists(store->folder_ / "oci-layout")) TRY(write_file(store->folder_ / "oci-layout", kLayout, FileMode::readable_by_all));
  if (!fs::exists(store->folder_ / "index.json")) TRY(write_file(store->folder_ / "index.json", dump_json(detail::empty_index()), FileMode::readable_by_all));
  return store;
}

Status LocalImageStore::remove_leftovers() const {
  const fs::path blobs = folder_ / "blobs/sha256";
  TRY(redoubt::remove_leftovers(folder_));
  TRY(redoubt::remove_leftovers(blobs));
  for (const auto& name : TRY(list_folder(blobs))) {
    const bool earlier = name.starts_with(kEarlierTemporary) && name.size() == kEarlierTemporary.size() + 16 &&
                         name.find_first_not_of("0123456789abcdef", kEarlierTemporary.size()) == name.npos;
    if (earlier && ::unlink((blobs / name).c_str()) != 0) return fail_errno(errno, "remove", (blobs / name).string());
  }
  return {};
}

fs::path LocalImageStore::blob_path(const Digest& digest) const { return folder_ / "blobs/sha256" / digest.hex(); }

Result<Digest> LocalImageStore::put_blob(Source& contents) {
  // The name is known at the end only; until then it is a temporary file that names its writer.
  auto file = TRY(AtomicFile::create(folder_ / "blobs/sha256/incoming", FileMode::readable_by_all));
  crypto::Sha256 hash;
  Bytes chunk(1 << 20);
  while (true) {
    const std::size_t count = TRY(contents.read(chunk));
    if (count == 0) break;
    hash.update(ByteView(chunk).first(count));
    TRY(file->write(ByteView(chunk).first(count)));
  }
  const Digest digest = hash.finish();
  TRY(file->commit_as(blob_path(digest)));
  return digest;
}

Result<std::unique_ptr<Source>> LocalImageStore::open_blob(const Digest& digest) {
  auto file = TRY(FileReader::open(blob_path(digest)));
  return std::unique_ptr<Source>(std::make_unique<crypto::CheckedSource>(std::move(file), digest));
}

Result<LocalImageStore::Index> LocalImageStore::read_index() const {
  const std::string where = (folder_ / "index.json").string();
  const auto text = read_text_file(where, detail::kDocumentBytesMax);
  if (!text) return text.error().code == ErrorCode::not_found || text.error().code == ErrorCode::limit_exceeded ? changed(text.error()) : fail(text.error());
  auto index = detail::parse_index(*text, where);
  if (!index) return changed(index.error());
  return std::move(*index);
}

Status LocalImageStore::tag(std::string_view name, const ImageDescriptor& manifest) {
  if (name.empty() || name.size() > 256 || name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/:") != name.npos) {
    return fail(ErrorCode::invalid_argument, "not a tag", std::string(name));
  }
  const auto lock = TRY(FileLock::acquire(folder_ / ".lock"));
  Index index = TRY(read_index());
  for (const auto& [tag, descriptor] : index) {
    if (tag != name) continue;
    if (descriptor.digest == manifest.digest) return {};
    return fail(ErrorCode::already_exists, "the tag names another image; tags are immutable", std::string(name));
  }
  if (!fs::exists(blob_path(manifest.digest))) return fail(ErrorCode::not_found, "no such manifest", manifest.digest.tagged(), "put it before it is tagged");
  index.emplace_back(name, manifest);
  return write_file(folder_ / "index.json", dump_json(detail::to_json(index)), FileMode::readable_by_all);
}

Result<ImageDescriptor> LocalImageStore::resolve(std::string_view name_or_digest) {
  const auto digest = Digest::parse(name_or_digest);
  for (const auto& [name, descriptor] : TRY(list())) {
    if (digest ? descriptor.digest == *digest : name == name_or_digest) return descriptor;
  }
  return fail(ErrorCode::not_found, "no such image", std::string(name_or_digest), "list the images with 'redoubt image list'");
}

Result<LocalImageStore::Index> LocalImageStore::list() { return read_index(); }

Problems LocalImageStore::verify_all() { return detail::verify_layout(folder_, kLayout); }

}  // namespace redoubt::provider::local
