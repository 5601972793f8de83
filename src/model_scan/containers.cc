// SPDX-License-Identifier: Apache-2.0
//
// Files that hold files: zip archives (torch.save's, .npz, .keras and any other), tar archives, compressed files.
#include <fmt/format.h>

#include <map>
#include <optional>
#include <string>

#include "base/file.h"
#include "model_scan/byte_reader.h"
#include "model_scan/crc32.h"
#include "model_scan/decoder.h"
#include "model_scan/scan.h"
#include "model_scan/tar_reader.h"
#include "model_scan/zip_reader.h"

namespace redoubt::model_scan {
namespace {

constexpr std::uint64_t kSmallTextMax = 4096;

// What torch.save and torch.jit.save call their members, below the archive's one folder.
enum class TorchPart { none, pickle, storage, fact, program };

class ZipFile {
 public:
  ZipFile(Scan& scan, const RandomAccess& object, const Place& place) : scan_(scan), object_(object), place_(place) {}

  Status run() {
    const auto members = TRY(read_zip(object_, [this](const ZipProblem& problem) {
      scan_.add(problem.member.empty() ? place_ : place_.inside(problem.member), "archive", "archive/" + problem.rule, problem.severity, problem.detail, problem.offset);
    }));
    for (const auto& member : members) {
      if (member.name == "data.pkl" || member.name.ends_with("/data.pkl")) folder_ = member.name.substr(0, member.name.size() - 8);
    }
    // Members that lie over each other were told of; reading each would read the same bytes as often as the archive likes.
    std::uint64_t bytes = 0;
    for (const auto& member : members) {
      if ((bytes += member.compressed) > object_.size()) return {};
      TRY(look_at(member));
    }
    compare_storages();
    return {};
  }

 private:
  TorchPart part_of(std::string_view name) const {
    if (!folder_ || !name.starts_with(*folder_)) return TorchPart::none;
    name.remove_prefix(folder_->size());
    if (name == "data.pkl" || name == "constants.pkl") return TorchPart::pickle;
    for (const std::string_view storages : {"data/", "constants/"}) {
      if (name.starts_with(storages) && name.size() > storages.size() && name.find_first_not_of("0123456789", storages.size()) == name.npos) return TorchPart::storage;
    }
    if (name.starts_with("code/")) return TorchPart::program;
    for (const char* fact : {"version", "byteorder", ".format_version", ".storage_alignment", ".data/serialization_id"}) {
      if (name == fact) return TorchPart::fact;
    }
    return TorchPart::none;
  }

  static Result<bool> is_array(const RandomAccess& contents) {
    Bytes start(static_cast<std::size_t>(std::min<std::uint64_t>(6, contents.size())));
    TRY(contents.read_at(0, start));
    return starts_with(start, "\x93NUMPY");
  }

  void differs(const Place& member, const char* detail) { scan_.add(member, "archive", "archive/zip-checksum", "critical", detail); }

  Status look_at(const ZipMember& member) {
    const Place inside = place_.inside(member.name);
    if (member.is_folder()) {
      if (member.bytes != 0) scan_.add(inside, "archive", "archive/zip-malformed", "high", "a folder with contents");
      return {};
    }
    if ((member.flags & 1) != 0) return {};  // encrypted: told
    if (member.method == kZipStored) {
      const Part part(object_, member.data, member.compressed);
      if (TRY(crc32_of(part, 0, part.size())) != member.crc32) differs(inside, "the contents do not have the checksum that is written down");
      return look_inside(member, part, inside);
    }
    if (member.method != kZipDeflated) return {};  // told
    const auto decoded = TRY(DecodedObject::open(object_, member.data, member.data + member.compressed, Codec::deflate));
    if (decoded->decoded().is_bomb) {
      scan_.add(inside, "archive", "archive/bomb", "high", "so few bytes hold so many: a bomb");
      return {};
    }
    const bool is_same = decoded->decoded().is_whole && !decoded->decoded().has_trailing && decoded->size() == member.bytes && decoded->crc32() == member.crc32;
    if (!is_same) differs(inside, "the contents do not have the size or checksum that is written down, or can't be read to their end");
    return look_inside(member, *decoded, inside);
  }

  Status look_inside(const ZipMember& member, const RandomAccess& contents, const Place& inside) {
    const TorchPart part = part_of(member.name);
    // numpy.load takes an archive's member for an array by its first bytes, whatever it is called.
    if ((part == TorchPart::storage || part == TorchPart::fact) && TRY(is_array(contents))) return scan_.look_at_array(contents, inside);
    switch (part) {
      case TorchPart::storage: sizes_[member.name.substr(folder_->size())] = contents.size(); return {};
      case TorchPart::pickle: return look_at_tensors(member, contents, inside);
      case TorchPart::program:
        if (!has_program_) scan_.add(inside, "code", "torchscript/program", "high", "a TorchScript program: loading it is running somebody's code");
        has_program_ = true;
        return {};
      case TorchPart::fact:
        if (contents.size() > kSmallTextMax) scan_.add(inside, "malformed", "archive/torch-malformed", "high", "a fact about the archive that is too long");
        return {};
      case TorchPart::none: return scan_.look(contents, inside);
    }
    return {};
  }

  Status look_at_tensors(const ZipMember& member, const RandomAccess& contents, const Place& inside) {
    std::map<std::string, std::uint64_t> storages;
    TRY(scan_.look_at_pickle(contents, inside, &storages));
    const char* beside = member.name.ends_with("constants.pkl") ? "constants/" : "data/";
    for (const auto& [key, bytes] : storages) expected_[beside + key] = bytes;
    return {};
  }

  // Loaders of old make tensors of the pickle's size over the member's bytes. Of a member that could not be read, or is not there, more was told or nothing is made.
  void compare_storages() {
    for (const auto& [name, bytes] : expected_) {
      const auto found = sizes_.find(name);
      if (found == sizes_.end() || found->second == bytes) continue;
      scan_.add(place_.inside(*folder_ + name), "malformed", "archive/torch-malformed", "critical", fmt::format("a tensor's {} bytes, where the pickle asks for {}", found->second, bytes));
    }
  }

  Scan& scan_;
  const RandomAccess& object_;
  const Place& place_;
  std::map<std::string, std::uint64_t> expected_, sizes_;  // bytes of tensors, by the pickle and as they are
  std::optional<std::string> folder_;  // of torch's members, with its '/'; without one they stand at the root
  bool has_program_ = false;
};

}  // namespace

Status Scan::look_at_zip(const RandomAccess& object, const Place& place) { return ZipFile(*this, object, place).run(); }

Status Scan::look_at_tar(const RandomAccess& object, const Place& place) {
  const auto end = TRY(read_tar(object, [&](const TarMember& member) -> Status {
    const Place inside = place.inside(member.name);
    std::string bare = member.name.starts_with("./") ? member.name.substr(2) : member.name;
    while (bare.ends_with('/')) bare.pop_back();
    if (!bare.empty() && bare != "." && !is_safe_relative_path(bare)) add(inside, "archive", "archive/tar-slip", "critical", "a name that leaves the folder it would be unpacked into", member.header);
    if (member.type == '5') return {};
    if (member.type != '0') {
      add(inside, "archive", "archive/tar-link", "critical", "a member that is neither a file nor a folder", member.header);
      return {};
    }
    const Part part(object, member.data, member.bytes);
    return look(part, inside);
  }));
  if (!end.is_whole) add(place, "archive", "archive/tar-malformed", "high", end.problem, end.offset);
  return {};
}

Status Scan::look_at_compressed(const RandomAccess& object, const Place& place) {
  Bytes start(static_cast<std::size_t>(std::min<std::uint64_t>(4096, object.size())));
  TRY(object.read_at(0, start));
  const Codec codec = *codec_of(start);
  const auto decoded = TRY(DecodedObject::open(object, 0, object.size(), codec));
  if (decoded->decoded().is_bomb) {
    add(place, "archive", "archive/bomb", "high", "so few bytes hold so many: a bomb");
    return {};
  }
  if (!decoded->decoded().is_whole) add(place, "archive", "archive/broken-compression", "high", fmt::format("the {} stream can't be read to its end", to_string(codec)));
  if (decoded->decoded().has_trailing) add(place, "archive", "archive/trailing-data", "high", fmt::format("bytes stand behind the {} stream", to_string(codec)));
  // "a.pkl.gz" holds "a.pkl"; joblib compresses under the name of the pickle itself.
  std::string name(place.name().substr(place.name().rfind('/') + 1));
  for (const char* ending : {".gz", ".bz2", ".xz", ".zst", ".lz4", ".lzma", ".z", ".zlib"}) {
    if (name.ends_with(ending)) {
      name.resize(name.size() - std::string_view(ending).size());
      break;
    }
  }
  if (name.ends_with(".tgz") || name.ends_with(".tbz2") || name.ends_with(".txz")) name += ".tar";
  if (name.find('.') == name.npos) name += ".pkl";
  return look(*decoded, place.inside(name));
}

}  // namespace redoubt::model_scan
