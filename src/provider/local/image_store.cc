// SPDX-License-Identifier: Apache-2.0
#include "provider/local/image_store.h"

#include <fmt/format.h>

#include <set>

#include "base/file.h"
#include "crypto/hash.h"
#include "crypto/random.h"

namespace redoubt::provider::local {
namespace fs = std::filesystem;
namespace {

constexpr const char* kLayout = "{\"imageLayoutVersion\":\"1.0.0\"}";
constexpr const char* kTag = "org.opencontainers.image.ref.name";
constexpr std::uint64_t kIndexBytesMax = 4 << 20;

// Hashes what passes, and says tampered at the end when it is not the digest that was asked for.
class CheckedSource final : public Source {
 public:
  CheckedSource(std::unique_ptr<FileReader> file, Digest expected) : file_(std::move(file)), expected_(expected) {}
  Result<std::size_t> read(MutableByteView into) override {
    const std::size_t count = TRY(file_->read(into));
    hash_.update(ByteView(into).first(count));
    if (count == 0 && !into.empty() && !ended_) {
      ended_ = true;
      if (hash_.finish() != expected_) return fail(ErrorCode::tampered, "an image blob is not what its digest says", expected_.tagged());
    }
    return count;
  }

 private:
  std::unique_ptr<FileReader> file_;
  Digest expected_;
  crypto::Sha256 hash_;
  bool ended_ = false;
};

Result<ImageDescriptor> parse_descriptor(const Json& entry) {
  ImageDescriptor descriptor;
  descriptor.media_type = TRY(json_string(entry, "mediaType", "index.json"));
  descriptor.digest = TRY(Digest::parse(TRY(json_string(entry, "digest", "index.json"))));
  descriptor.size = static_cast<std::uint64_t>(TRY(json_integer(entry, "size", "index.json")));
  return descriptor;
}

std::string tag_of(const Json& entry) {
  const auto annotations = entry.find("annotations");
  return annotations == entry.end() || !annotations->is_object() ? "" : annotations->value(kTag, "");
}

// Whether an entry of the index fits the manifest that it names: type, size, and the name where the manifest states its own.
bool describes(const std::string& name, const ImageDescriptor& descriptor, const fs::path& blob) {
  const auto text = read_text_file(blob, kIndexBytesMax);
  const auto manifest = text ? parse_json(*text, blob.string()) : Result<Json>(fail(text.error()));
  if (!manifest || !manifest->is_object() || text->size() != descriptor.size) return false;
  if (manifest->value("mediaType", descriptor.media_type) != descriptor.media_type) return false;
  const std::string own = tag_of(*manifest);
  return own.empty() || own == name;
}

Json to_index_entry(const std::string& name, const ImageDescriptor& manifest) {
  return {{"mediaType", manifest.media_type}, {"digest", manifest.digest.tagged()}, {"size", manifest.size}, {"annotations", {{kTag, name}}}};
}

}  // namespace

Result<std::unique_ptr<LocalImageStore>> LocalImageStore::open(fs::path folder) {
  TRY(make_folder(folder / "blobs/sha256"));
  (void)TRY(remove_leftovers(folder / "blobs/sha256"));
  std::unique_ptr<LocalImageStore> store(new LocalImageStore(std::move(folder)));
  const auto lock = TRY(FileLock::acquire(store->folder_ / ".lock"));
  if (!fs::exists(store->folder_ / "oci-layout")) TRY(write_file(store->folder_ / "oci-layout", std::string_view(kLayout), FileMode::readable_by_all));
  if (!fs::exists(store->folder_ / "index.json")) {
    const Json index = {{"schemaVersion", 2}, {"mediaType", "application/vnd.oci.image.index.v1+json"}, {"manifests", Json::array()}};
    TRY(write_file(store->folder_ / "index.json", dump_json(index), FileMode::readable_by_all));
  }
  return store;
}

fs::path LocalImageStore::blob_path(const Digest& digest) const { return folder_ / "blobs/sha256" / digest.hex(); }

Result<Digest> LocalImageStore::put_blob(Source& contents) {
  // The name is known at the end only, so the bytes go under a random one first.
  const fs::path unnamed = folder_ / "blobs/sha256" / (".incoming-" + to_hex(crypto::random_bytes(8)));
  crypto::Sha256 hash;
  {
    auto file = TRY(AtomicFile::create(unnamed, FileMode::readable_by_all));
    Bytes chunk(1 << 20);
    while (true) {
      const std::size_t count = TRY(contents.read(chunk));
      if (count == 0) break;
      hash.update(ByteView(chunk).first(count));
      TRY(file->write(ByteView(chunk).first(count)));
    }
    TRY(file->commit());
  }
  const Digest digest = hash.finish();
  if (std::rename(unnamed.c_str(), blob_path(digest).c_str()) != 0) return fail_errno(errno, "put in place", blob_path(digest).string());
  TRY(sync_folder(folder_ / "blobs/sha256"));
  return digest;
}

Result<std::unique_ptr<Source>> LocalImageStore::open_blob(const Digest& digest) {
  auto file = TRY(FileReader::open(blob_path(digest)));
  return std::unique_ptr<Source>(std::make_unique<CheckedSource>(std::move(file), digest));
}

Result<Json> LocalImageStore::read_index() const {
  const std::string where = (folder_ / "index.json").string();
  const Json index = TRY(parse_json(TRY(read_text_file(where, kIndexBytesMax)), where));
  (void)TRY(json_array(index, "manifests", where));
  return index;
}

Status LocalImageStore::tag(std::string_view name, const ImageDescriptor& manifest) {
  if (name.empty() || name.size() > 256 || name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/:") != name.npos) {
    return fail(ErrorCode::invalid_argument, "not a tag", std::string(name));
  }
  const auto lock = TRY(FileLock::acquire(folder_ / ".lock"));
  Json index = TRY(read_index());
  for (const auto& entry : index["manifests"]) {
    if (tag_of(entry) != name) continue;
    if (TRY(parse_descriptor(entry)).digest == manifest.digest) return {};
    return fail(ErrorCode::already_exists, "the tag names another image; tags are immutable", std::string(name));
  }
  index["manifests"].push_back(to_index_entry(std::string(name), manifest));
  return write_file(folder_ / "index.json", dump_json(index), FileMode::readable_by_all);
}

Result<ImageDescriptor> LocalImageStore::resolve(std::string_view name_or_digest) {
  const auto digest = Digest::parse(name_or_digest);
  for (const auto& [name, descriptor] : TRY(list())) {
    if (digest ? descriptor.digest == *digest : name == name_or_digest) return descriptor;
  }
  return fail(ErrorCode::not_found, "no such image", std::string(name_or_digest), "list the images with 'redoubt image list'");
}

Result<std::vector<std::pair<std::string, ImageDescriptor>>> LocalImageStore::list() {
  std::vector<std::pair<std::string, ImageDescriptor>> images;
  const Json index = TRY(read_index());
  for (const auto& entry : index["manifests"]) images.emplace_back(tag_of(entry), TRY(parse_descriptor(entry)));
  return images;
}

Problems LocalImageStore::verify_all() {
  Problems problems;
  const auto files = list_files(folder_);
  if (!files) return {{"stray", files.error().where, files.error().message}};
  std::set<std::string> blobs;
  for (const auto& file : *files) {
    const bool is_blob = file.starts_with("blobs/sha256/");
    if (is_blob) {
      const auto digest = Digest::parse(file.substr(13));
      const auto reader = FileReader::open(folder_ / file);
      const auto actual = reader ? crypto::sha256_of(**reader) : Result<Digest>(fail(reader.error()));
      if (!digest) {
        problems.push_back({"stray", file, "not a blob's name"});
      } else if (!actual || *actual != *digest) {
        problems.push_back({"blob", file, actual ? "the contents have another digest" : actual.error().message});
      }
      blobs.insert(file);
    } else if (file == "oci-layout") {
      if (read_text_file(folder_ / file).value_or("") != kLayout) problems.push_back({"index", file, "not what the layout says"});
    } else if (file != "index.json" && file != ".lock") {
      problems.push_back({"stray", file, "belongs to no image layout"});
    }
  }
  const auto images = list();
  if (!images) {
    problems.push_back({"index", "index.json", images.error().message});
    return problems;
  }
  Json expected = {{"schemaVersion", 2}, {"mediaType", "application/vnd.oci.image.index.v1+json"}, {"manifests", Json::array()}};
  for (const auto& [name, descriptor] : *images) {
    expected["manifests"].push_back(to_index_entry(name, descriptor));
    if (!blobs.contains("blobs/sha256/" + descriptor.digest.hex())) {
      problems.push_back({"index", "index.json", fmt::format("'{}' names a manifest that is not there", name)});
    } else if (!describes(name, descriptor, blob_path(descriptor.digest))) {
      problems.push_back({"index", "index.json", fmt::format("'{}' is not what its manifest says", name)});
    }
  }
  if (read_text_file(folder_ / "index.json").value_or("") != dump_json(expected)) problems.push_back({"index", "index.json", "not as this program writes it"});
  return problems;
}

}  // namespace redoubt::provider::local
