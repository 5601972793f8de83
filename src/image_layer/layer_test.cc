// SPDX-License-Identifier: Apache-2.0
#include "image_layer/layer.h"

#include <archive.h>
#include <archive_entry.h>
#include <gtest/gtest.h>

namespace redoubt::image_layer {
namespace {

struct Entry {
  const char* path;
  std::string contents = {};
  mode_t type = AE_IFREG;
  const char* link = nullptr;
};

// What libarchive writes, with its own compression.
std::string tar_of(const std::vector<Entry>& entries, int filter = ARCHIVE_FILTER_NONE) {
  std::string bytes(8 << 20, '\0');
  std::size_t used = 0;
  archive* writer = archive_write_new();
  archive_write_set_format_pax_restricted(writer);
  archive_write_add_filter(writer, filter);
  EXPECT_EQ(archive_write_open_memory(writer, bytes.data(), bytes.size(), &used), ARCHIVE_OK);
  for (const auto& each : entries) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, each.path);
    archive_entry_set_filetype(entry, each.type);
    archive_entry_set_perm(entry, 0755);
    if (each.type == AE_IFLNK) archive_entry_set_symlink(entry, each.link);
    else if (each.link != nullptr) archive_entry_set_hardlink(entry, each.link);
    archive_entry_set_size(entry, static_cast<la_int64_t>(each.contents.size()));
    EXPECT_EQ(archive_write_header(writer, entry), ARCHIVE_OK);
    archive_write_data(writer, each.contents.data(), each.contents.size());
    archive_entry_free(entry);
  }
  archive_write_free(writer);
  bytes.resize(used);
  return bytes;
}

// "KIND:PATH[>LINK][=CONTENTS] " of each entry, or the error.
std::string read(const std::string& bytes, LayerLimits limits = {}) {
  constexpr const char* kKinds[] = {"file", "folder", "link", "hard", "special", "hide", "opaque"};
  MemorySource source(view_of(bytes));
  std::string out;
  const auto plain = uncompressed(source);
  if (!plain) return "error: " + plain.error().message;
  const auto done = read_tar(**plain, limits, [&](const LayerEntry& entry, Source& contents) -> Status {
    out += std::string(kKinds[static_cast<int>(entry.kind)]) + ":" + entry.path;
    if (!entry.link.empty()) out += ">" + entry.link;
    if (entry.kind == EntryKind::file) out += "=" + to_text(TRY(read_all(contents, 1 << 20)));
    out += " ";
    return {};
  });
  return done ? out : "error: " + done.error().message;
}

const std::vector<Entry> kSome = {{"./etc/", "", AE_IFDIR}, {"etc//a", "one"}, {"/etc/b", "", AE_IFLNK, "../a"}, {"etc/c", "", AE_IFREG, "./etc/a"},
                                  {"etc/.wh.gone"}, {"opt/.wh..wh..opq"}, {".wh..wh.plnk"}, {"dev/null", "", AE_IFCHR}};

TEST(Layer, entries_are_told_apart_and_their_names_are_clean) {
  EXPECT_EQ(read(tar_of(kSome)), "folder:etc file:etc/a=one link:etc/b>../a hard:etc/c>etc/a hide:etc/gone opaque:opt hide:.wh.plnk special:dev/null ");
}

TEST(Layer, compression_is_told_by_the_first_bytes) {
  const auto plain = read(tar_of(kSome));
  EXPECT_EQ(read(tar_of(kSome, ARCHIVE_FILTER_GZIP)), plain);
  EXPECT_EQ(read(tar_of(kSome, ARCHIVE_FILTER_ZSTD)), plain);
  EXPECT_EQ(read(""), "");
  EXPECT_EQ(read("x").substr(0, 5), "error");
}

// Other damage is for the digest to tell: libarchive compares no checksum of gzip's.
TEST(Layer, a_compressed_layer_that_breaks_off_is_refused) {
  std::string contents(100'000, 'x');
  for (std::size_t i = 0; i < contents.size(); ++i) contents[i] = static_cast<char>(i * i >> 3);
  for (const int filter : {ARCHIVE_FILTER_GZIP, ARCHIVE_FILTER_ZSTD}) {
    const std::string whole = tar_of({{"a", contents}}, filter);
    EXPECT_EQ(read(whole.substr(0, whole.size() / 2)).substr(0, 5), "error");
  }
}

TEST(Layer, what_leaves_the_image_is_refused) {
  EXPECT_EQ(read(tar_of({{"../a", "x"}})), "error: a path that leaves the image");
  EXPECT_EQ(read(tar_of({{"a/../../b", "x"}})), "error: a path that leaves the image");
  EXPECT_EQ(read(tar_of({{"a", "", AE_IFREG, "../b"}})), "error: a path that leaves the image");
  EXPECT_EQ(read(tar_of({{"a/.wh."}})), "error: a bad whiteout");
  EXPECT_EQ(read(tar_of({{".wh..."}})), "error: a bad whiteout");
}

// A GNU or pax sparse file of a few bytes may say that it has terabytes, which are read as zeros.
TEST(Layer, the_holes_of_a_file_count_too) {
  std::string bytes(1 << 20, '\0');
  std::size_t used = 0;
  archive* writer = archive_write_new();
  archive_write_set_format_pax(writer);
  EXPECT_EQ(archive_write_open_memory(writer, bytes.data(), bytes.size(), &used), ARCHIVE_OK);
  archive_entry* entry = archive_entry_new();
  archive_entry_set_pathname(entry, "holes");
  archive_entry_set_filetype(entry, AE_IFREG);
  archive_entry_set_size(entry, 1 << 30);
  archive_entry_sparse_add_entry(entry, 0, 512);
  EXPECT_EQ(archive_write_header(writer, entry), ARCHIVE_OK);
  const std::string start(512, 'a');
  archive_write_data(writer, start.data(), start.size());
  archive_entry_free(entry);
  archive_write_free(writer);
  ASSERT_LT(used, 1 << 16);
  MemorySource layer(view_of(std::string_view(bytes).substr(0, used)));
  LayerLimits limits{1 << 20, 10};
  Bytes some(1 << 16);
  const auto read = read_tar(layer, limits, [&](const LayerEntry&, Source& contents) -> Status {
    while (TRY(contents.read(some)) > 0) {
    }
    return {};
  });
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, ErrorCode::limit_exceeded);
}

TEST(Layer, limits_count_what_is_skipped_too) {
  const std::string bomb = tar_of({{"zeros", std::string(4 << 20, '\0')}}, ARCHIVE_FILTER_GZIP);
  ASSERT_LT(bomb.size(), 64u << 10);
  MemorySource source(view_of(bomb));
  const auto plain = *uncompressed(source);
  LayerLimits limits{.bytes_max = 1 << 20, .entries_max = 10};
  const auto read_it = read_tar(*plain, limits, [](const LayerEntry&, Source&) { return Status(); });
  ASSERT_FALSE(read_it);
  EXPECT_EQ(read_it.error().code, ErrorCode::limit_exceeded);
  EXPECT_EQ(read(tar_of({{"a"}, {"b"}, {"c"}}), {.bytes_max = 1 << 20, .entries_max = 2}), "error: the image has too many files");
}

}  // namespace
}  // namespace redoubt::image_layer
