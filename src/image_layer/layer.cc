// SPDX-License-Identifier: Apache-2.0
#include "image_layer/layer.h"

#include <archive_entry.h>

#include <algorithm>
#include <cerrno>
#include <initializer_list>
#include <optional>

#include "base/layer_path.h"
#include "image_layer/archive_input.h"

namespace redoubt::image_layer {
namespace {

constexpr std::string_view kWhiteout = ".wh.", kOpaque = ".wh..wh..opq";

EntryKind kind_of(archive_entry* entry) {
  if (archive_entry_hardlink(entry) != nullptr) return EntryKind::hard_link;
  switch (archive_entry_filetype(entry)) {
    case AE_IFREG: return EntryKind::file;
    case AE_IFDIR: return EntryKind::folder;
    case AE_IFLNK: return EntryKind::symbolic_link;
    default: return EntryKind::special;
  }
}

// The name of what a whiteout hides, and its kind.
Status make_whiteout(LayerEntry& entry) {
  const auto slash = entry.path.rfind('/');
  const std::string folder = slash == entry.path.npos ? "" : entry.path.substr(0, slash);
  const std::string name = slash == entry.path.npos ? entry.path : entry.path.substr(slash + 1);
  if (!name.starts_with(kWhiteout)) return {};
  if (name == kOpaque) {
    entry.kind = EntryKind::opaque;
    entry.path = folder;
    return {};
  }
  const std::string hidden = name.substr(kWhiteout.size());
  if (hidden.empty() || hidden == "." || hidden == "..") return fail(ErrorCode::invalid_argument, "a bad whiteout", entry.path);
  entry.kind = EntryKind::whiteout;
  entry.path = folder.empty() ? hidden : folder + "/" + hidden;
  return {};
}

Result<LayerEntry> to_entry(archive_entry* from) {
  LayerEntry entry;
  entry.path = TRY(clean_layer_path(archive_entry_pathname(from)));
  entry.kind = kind_of(from);
  entry.mode = archive_entry_perm(from) & 07777;
  entry.uid = static_cast<unsigned>(archive_entry_uid(from));
  entry.gid = static_cast<unsigned>(archive_entry_gid(from));
  if (entry.kind == EntryKind::hard_link) entry.link = TRY(clean_layer_path(archive_entry_hardlink(from)));
  if (entry.kind == EntryKind::symbolic_link) {
    const char* target = archive_entry_symlink(from);
    if (target == nullptr || std::string_view(target).size() > kLayerPathBytesMax) return fail(ErrorCode::invalid_argument, "a symbolic link without a readable target", entry.path);
    entry.link = target;
  }
  if (entry.kind == EntryKind::file) entry.size = static_cast<std::uint64_t>(std::max<la_int64_t>(archive_entry_size(from), 0));
  TRY(make_whiteout(entry));
  return entry;
}

// The bytes of the entry that libarchive stands at.
class EntrySource final : public Source {
 public:
  explicit EntrySource(ArchiveInput& input) : input_(input) {}
  Result<std::size_t> read(MutableByteView into) override {
    const la_ssize_t count = archive_read_data(input_.reader(), into.data(), into.size());
    if (count < 0) return input_.failure("a file of the image can't be read");
    return static_cast<std::size_t>(count);
  }

 private:
  ArchiveInput& input_;
};

// Ends with limit_exceeded where more comes than may.
class LimitedSource final : public Source {
 public:
  LimitedSource(Source& from, std::uint64_t& left) : from_(from), left_(left) {}
  Result<std::size_t> read(MutableByteView into) override {
    const std::size_t count = TRY(from_.read(into));
    if (count > left_) return fail(ErrorCode::limit_exceeded, "the image's layers are larger than their limit", "image layer", "use a smaller image");
    left_ -= count;
    return count;
  }

 private:
  Source& from_;
  std::uint64_t& left_;
};

// Some writers (umoci insert) leave out the zeros that fill the last block and end the archive. More zeros than needed harm nobody.
class FilledSource final : public Source {
 public:
  explicit FilledSource(Source& from) : from_(from) {}
  Result<std::size_t> read(MutableByteView into) override {
    if (!ended_) {
      const std::size_t count = TRY(from_.read(into));
      bytes_ += count;
      if (count > 0 || into.empty()) return count;
      ended_ = true;
      zeros_ = (kBlock - bytes_ % kBlock) % kBlock + 2 * kBlock;
    }
    const std::size_t count = std::min(into.size(), zeros_);
    std::fill_n(into.begin(), count, std::uint8_t{0});
    zeros_ -= count;
    return count;
  }

 private:
  static constexpr std::size_t kBlock = 512;
  Source& from_;
  std::uint64_t bytes_ = 0;
  std::size_t zeros_ = 0;
  bool ended_ = false;
};

enum class Compression { none, gzip, zstd };

Result<Compression> compression_of(std::string_view type) {
  for (auto none : {"application/vnd.oci.image.layer.v1.tar", "application/vnd.oci.image.layer.nondistributable.v1.tar", "application/vnd.docker.image.rootfs.diff.tar"}) {
    if (type == none) return Compression::none;
  }
  for (auto gzip : {"application/vnd.oci.image.layer.v1.tar+gzip", "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "application/vnd.docker.image.rootfs.diff.tar.gzip"}) {
    if (type == gzip) return Compression::gzip;
  }
  for (auto zstd : {"application/vnd.oci.image.layer.v1.tar+zstd", "application/vnd.docker.image.rootfs.diff.tar.zstd"}) {
    if (type == zstd) return Compression::zstd;
  }
  if (type.ends_with("+encrypted")) return fail(ErrorCode::unsupported, "the layer is encrypted", std::string(type), "decrypt the image first: redoubt image decrypt");
  return fail(ErrorCode::unsupported, "a layer that is no tar: " + std::string(type.substr(0, 200)));
}

class DecompressedSource final : public Source {
 public:
  DecompressedSource(Source& from, Compression compression) : input_(from), compression_(compression) {}
  Result<std::size_t> read(MutableByteView into) override {
    if (ended_) return std::size_t{0};
    if (!opened_) TRY(open());
    if (ended_ || into.empty()) return std::size_t{0};
    const la_ssize_t count = archive_read_data(input_.reader(), into.data(), into.size());
    if (count < 0 || (count == 0 && input_.source_failed())) return input_.failure("a compressed layer can't be read");
    ended_ = count == 0;
    return static_cast<std::size_t>(count);
  }

 private:
  Status open() {
    opened_ = true;
    compression_ == Compression::gzip ? archive_read_support_filter_gzip(input_.reader()) : archive_read_support_filter_zstd(input_.reader());
    archive_read_support_format_raw(input_.reader());
    archive_entry* entry = nullptr;
    const int status = input_.open();
    const int next = status == ARCHIVE_OK ? archive_read_next_header(input_.reader(), &entry) : status;
    if (next == ARCHIVE_EOF) return fail(ErrorCode::invalid_argument, "a compressed layer that is empty", "image layer");
    if (next != ARCHIVE_OK) return input_.failure("a compressed layer can't be read");
    const int wanted = compression_ == Compression::gzip ? ARCHIVE_FILTER_GZIP : ARCHIVE_FILTER_ZSTD;
    if (archive_filter_code(input_.reader(), 0) != wanted) return fail(ErrorCode::invalid_argument, "a layer is not compressed as its media type says", "image layer");
    return {};
  }

  ArchiveInput input_;
  Compression compression_;
  bool opened_ = false, ended_ = false;
};

class BorrowedSource final : public Source {
 public:
  explicit BorrowedSource(Source& from) : from_(from) {}
  Result<std::size_t> read(MutableByteView into) override { return from_.read(into); }

 private:
  Source& from_;
};

constexpr std::size_t kMagicBytes = 4;

// Skippable frames may come before a zstd stream (RFC 8878, section 3.1.2).
Compression compression_of_bytes(ByteView head) {
  const auto starts_with = [&](std::initializer_list<std::uint8_t> magic) { return head.size() >= magic.size() && std::equal(magic.begin(), magic.end(), head.begin()); };
  if (starts_with({0x1f, 0x8b, 0x08})) return Compression::gzip;
  const bool is_skippable = head.size() == kMagicBytes && (head[0] & 0xf0) == 0x50 && head[1] == 0x2a && head[2] == 0x4d && head[3] == 0x18;
  return is_skippable || starts_with({0x28, 0xb5, 0x2f, 0xfd}) ? Compression::zstd : Compression::none;
}

// A source whose first bytes were looked at, from its start on; and what is inside of it.
class ToldByItsBytes final : public Source {
 public:
  static Result<std::unique_ptr<Source>> open(Source& from) {
    auto told = std::unique_ptr<ToldByItsBytes>(new ToldByItsBytes(from));
    told->head_ = TRY(read_head(from, kMagicBytes));
    if (const auto compression = compression_of_bytes(told->head_); compression != Compression::none) told->inside_.emplace(told->whole_, compression);
    return std::unique_ptr<Source>(std::move(told));
  }
  Result<std::size_t> read(MutableByteView into) override { return inside_ ? inside_->read(into) : whole_.read(into); }

 private:
  explicit ToldByItsBytes(Source& from) : from_(from), whole_(*this) {}

  class Whole final : public Source {
   public:
    explicit Whole(ToldByItsBytes& owner) : owner_(owner) {}
    Result<std::size_t> read(MutableByteView into) override {
      if (at_ == owner_.head_.size()) return owner_.from_.read(into);
      const std::size_t count = std::min(into.size(), owner_.head_.size() - at_);
      std::copy_n(owner_.head_.begin() + static_cast<std::ptrdiff_t>(at_), count, into.begin());
      at_ += count;
      return count;
    }

   private:
    ToldByItsBytes& owner_;
    std::size_t at_ = 0;
  };

  Source& from_;
  Bytes head_;
  Whole whole_;
  std::optional<DecompressedSource> inside_;
};

}  // namespace

Result<Bytes> read_head(Source& from, std::size_t length) {
  Bytes head(length);
  std::size_t at = 0;
  while (at < length) {
    const std::size_t count = TRY(from.read(MutableByteView(head).subspan(at)));
    if (count == 0) break;
    at += count;
  }
  head.resize(at);
  return head;
}

Status read_tar(Source& layer, LayerLimits& limits, const OnEntry& on_entry, Oddities oddities) {
  std::uint64_t contents_left = limits.bytes_max;  // of files with their holes, of which the layer need not have a byte
  LimitedSource limited(layer, limits.bytes_max);
  FilledSource filled(limited);
  ArchiveInput input(filled);
  archive_read_support_format_tar(input.reader());
  archive_read_support_format_empty(input.reader());
  archive_read_set_options(input.reader(), "hdrcharset=BINARY");
  const auto reads_on = [&](int status) { return status == ARCHIVE_OK || (status == ARCHIVE_WARN && oddities == Oddities::pass); };
  int status = input.open();
  archive_entry* next = nullptr;
  while (reads_on(status) && reads_on(status = archive_read_next_header(input.reader(), &next))) {
    if (limits.entries_max == 0) return fail(ErrorCode::limit_exceeded, "the image has too many files", "image layer");
    --limits.entries_max;
    const LayerEntry entry = TRY(to_entry(next));
    EntrySource whole(input);
    LimitedSource contents(whole, contents_left);
    TRY(on_entry(entry, contents));
  }
  if (status != ARCHIVE_EOF || input.source_failed()) return input.failure("not a readable tar");
  // The bytes behind the archive's end belong to the digest too.
  Bytes rest(64 << 10);
  while (TRY(limited.read(rest)) > 0) {
  }
  return {};
}

bool is_layer_type(std::string_view media_type) { return compression_of(media_type).has_value(); }

Result<std::unique_ptr<Source>> uncompressed(Source& layer, std::string_view media_type) {
  const auto compression = TRY(compression_of(media_type));
  if (compression == Compression::none) return std::unique_ptr<Source>(std::make_unique<BorrowedSource>(layer));
  return std::unique_ptr<Source>(std::make_unique<DecompressedSource>(layer, compression));
}

Result<std::unique_ptr<Source>> uncompressed(Source& layer) { return ToldByItsBytes::open(layer); }

}  // namespace redoubt::image_layer
