// SPDX-License-Identifier: Apache-2.0
#include "provider/local/image_layout.h"

#include <fmt/format.h>

#include <map>
#include <set>

#include "base/file.h"
#include "crypto/hash.h"

namespace redoubt::provider::local::detail {
namespace fs = std::filesystem;
namespace {

constexpr const char* kTag = "org.opencontainers.image.ref.name";
constexpr const char* kIndexType = "application/vnd.oci.image.index.v1+json";
constexpr std::string_view kBlobs = "blobs/sha256/";
constexpr std::size_t kReferencesMax = 4096;
constexpr int kNestingMax = 4;  // of indexes in indexes

Result<ImageDescriptor> parse_descriptor(const Json& entry, std::string_view where) {
  if (!entry.is_object()) return fail(ErrorCode::invalid_argument, "a descriptor is no object", std::string(where));
  ImageDescriptor descriptor;
  descriptor.media_type = TRY(json_string(entry, "mediaType", where));
  descriptor.digest = TRY(Digest::parse(TRY(json_string(entry, "digest", where))));
  const auto size = TRY(json_integer(entry, "size", where));
  if (size < 0) return fail(ErrorCode::invalid_argument, "a size below zero", std::string(where));
  descriptor.size = static_cast<std::uint64_t>(size);
  return descriptor;
}

// The tag among an entry's annotations; empty where there is none.
Result<std::string> tag_of(const Json& entry, std::string_view where) {
  if (!entry.contains("annotations")) return std::string();
  const Json annotations = TRY(json_object(entry, "annotations", where));
  return annotations.contains(kTag) ? json_string(annotations, kTag, where) : Result<std::string>("");
}

// Layers that registries need not have, since their descriptor names an address.
bool may_be_elsewhere(std::string_view type) { return type.find(".foreign.") != type.npos || type.find(".nondistributable.") != type.npos; }

// One walk over a folder; goes on to the end and names all that it finds.
class Check {
 public:
  explicit Check(const fs::path& folder) : folder_(folder) {}

  Problems run(std::string_view layout) {
    const auto files = list_files(folder_);
    if (!files) return {{"stray", files.error().where, files.error().message}};
    for (const auto& file : *files) check_file(file);
    for (const char* file : {"oci-layout", "index.json"}) {
      if (!sizes_.contains(file)) add("index", file, "is missing");
    }
    if (sizes_.contains("oci-layout") && read_text_file(folder_ / "oci-layout").value_or("") != layout) add("index", "oci-layout", "not what the layout says");
    if (sizes_.contains("index.json")) check_index();
    return std::move(problems_);
  }

 private:
  void add(const char* kind, std::string object, std::string detail) { problems_.push_back({kind, std::move(object), std::move(detail)}); }

  void check_file(const std::string& file) {
    if (is_being_written(fs::path(file).filename().string())) return;
    sizes_[file] = 0;
    if (file.starts_with(kBlobs)) return check_blob(file);
    if (file != "oci-layout" && file != "index.json" && file != ".lock") add("stray", file, "belongs to no image layout");
  }

  void check_blob(const std::string& file) {
    const auto digest = Digest::parse(file.substr(kBlobs.size()));
    if (!digest || digest->hex() != file.substr(kBlobs.size())) return add("stray", file, "not a blob's name");
    const auto reader = FileReader::open(folder_ / file);
    if (!reader) return add("blob", file, reader.error().message);
    sizes_[file] = (*reader)->size();
    const auto actual = crypto::sha256_of(**reader);
    if (!actual || *actual != *digest) add("blob", file, actual ? "the contents have another digest" : actual.error().message);
  }

  void check_index() {
    const auto text = read_text_file(folder_ / "index.json", kDocumentBytesMax);
    const auto index = text ? parse_index(*text, "index.json") : Result<ImageIndex>(fail(text.error()));
    if (!index) return add("index", "index.json", index.error().message);
    for (const auto& [name, descriptor] : *index) check_image(name, descriptor);
    if (*text != dump_json(to_json(*index))) add("index", "index.json", "not as this program writes it");
  }

  // Whether an entry of the index fits the manifest that it names: type, size, and the name where the manifest states its own.
  void check_image(const std::string& name, const ImageDescriptor& descriptor) {
    const std::string file = std::string(kBlobs) + descriptor.digest.hex();
    if (!sizes_.contains(file)) {
      add("index", "index.json", fmt::format("'{}' names a manifest that is not there", name));
      return add("blob", file, fmt::format("the manifest of '{}' is missing", name));
    }
    const auto manifest = read_manifest(file);
    const auto own = manifest ? tag_of(*manifest, file) : Result<std::string>(fail(manifest.error()));
    if (!own) return add("blob", file, own.error().message);
    const bool same_type = !manifest->contains("mediaType") || (*manifest)["mediaType"] == descriptor.media_type;
    if (!same_type || (!own->empty() && *own != name)) add("index", "index.json", fmt::format("'{}' is not what its manifest says", name));
    check_references(name, descriptor, *manifest, 0);
  }

  void check_references(const std::string& name, const ImageDescriptor& from, const Json& manifest, int depth) {
    const std::string file = std::string(kBlobs) + from.digest.hex();
    if (sizes_[file] != from.size) add("index", depth == 0 ? "index.json" : file, fmt::format("'{}' names its manifest with another size", name));
    if (!visited_.insert(file).second) return;
    const auto references = parse_references(manifest, file);
    if (!references) return add("blob", file, references.error().message);
    for (const auto& reference : *references) {
      const std::string blob = std::string(kBlobs) + reference.digest.hex();
      const auto found = sizes_.find(blob);
      if (found == sizes_.end()) {
        if (!may_be_elsewhere(reference.media_type)) add("blob", blob, fmt::format("is missing; '{}' needs it ({})", name, reference.media_type));
      } else if (manifest.contains("manifests") && depth < kNestingMax) {
        const auto nested = read_manifest(blob);
        nested ? check_references(name, reference, *nested, depth + 1) : add("blob", blob, nested.error().message);
      } else if (found->second != reference.size) {
        add("blob", blob, fmt::format("has {} bytes where '{}' says {}", found->second, name, reference.size));
      }
    }
  }

  Result<Json> read_manifest(const std::string& file) const {
    Json manifest = TRY(parse_json(TRY(read_text_file(folder_ / file, kDocumentBytesMax)), file));
    if (!manifest.is_object()) return fail(ErrorCode::invalid_argument, "a manifest that is no object", file);
    return manifest;
  }

  const fs::path& folder_;
  std::map<std::string, std::uint64_t> sizes_;  // of the files that are there
  std::set<std::string> visited_;
  Problems problems_;
};

}  // namespace

Json to_json(const ImageIndex& index) {
  Json manifests = Json::array();
  for (const auto& [name, manifest] : index) {
    manifests.push_back({{"mediaType", manifest.media_type}, {"digest", manifest.digest.tagged()}, {"size", manifest.size}, {"annotations", {{kTag, name}}}});
  }
  return {{"schemaVersion", 2}, {"mediaType", kIndexType}, {"manifests", manifests}};
}

Result<ImageIndex> parse_index(std::string_view text, std::string_view where) {
  const Json document = TRY(parse_json(text, where, {.bytes_max = kDocumentBytesMax}));
  if (!document.is_object()) return fail(ErrorCode::invalid_argument, "an index that is no object", std::string(where));
  ImageIndex index;
  for (const auto& entry : TRY(json_array(document, "manifests", where))) {
    const auto descriptor = TRY(parse_descriptor(entry, where));
    index.emplace_back(TRY(tag_of(entry, where)), descriptor);
  }
  return index;
}

Result<std::vector<ImageDescriptor>> parse_references(const Json& manifest, std::string_view where) {
  std::vector<ImageDescriptor> references;
  const bool is_index = manifest.contains("manifests");
  if (!is_index) references.push_back(TRY(parse_descriptor(TRY(json_object(manifest, "config", where)), where)));
  const Json list = TRY(json_array(manifest, is_index ? "manifests" : "layers", where));
  if (list.size() > kReferencesMax) return fail(ErrorCode::limit_exceeded, "a manifest that names too much", std::string(where));
  for (const auto& entry : list) references.push_back(TRY(parse_descriptor(entry, where)));
  return references;
}

Problems verify_layout(const fs::path& folder, std::string_view layout) { return Check(folder).run(layout); }

}  // namespace redoubt::provider::local::detail
