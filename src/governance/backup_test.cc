// SPDX-License-Identifier: Apache-2.0
#include "base/memory_object.h"
#include "governance/backup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "governance/backup_archive.h"
#include "vault/sealing.h"

namespace redoubt::governance {
namespace {

BackupManifest manifest() {
  BackupManifest manifest;
  manifest.workspace = std::string(32, 'a');
  manifest.created = "2026-01-02T03:04:05.000Z";
  manifest.identity = "operator";
  manifest.checkpoint = "a note";
  manifest.files = {{"keyring.json", 3, {}}, {"objects/blobs/x", 5, {}}};
  return manifest;
}

TEST(BackupFormat, a_manifest_is_read_as_it_was_written) {
  const auto text = encode_backup_manifest(manifest());
  const auto read = parse_backup_manifest(text);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(encode_backup_manifest(*read), text);
  EXPECT_EQ(parse_backup_manifest(" " + text).error().code, ErrorCode::tampered);
  EXPECT_EQ(parse_backup_manifest("").error().code, ErrorCode::tampered);
}

TEST(BackupFormat, only_files_of_a_workspace_are_named_in_order_and_once) {
  for (const char* path : {"../x", "/etc/passwd", "objects/../x", "other", "registry.db", "run.lock", "objects/.x.tmp", "spool/x", "ledger/lock", "state/x.lock", ""}) {
    EXPECT_FALSE(is_backup_path(path)) << path;
    auto changed = manifest();
    changed.files = {{path, 1, {}}};
    EXPECT_EQ(parse_backup_manifest(encode_backup_manifest(changed)).error().code, ErrorCode::tampered) << path;
  }
  auto twice = manifest();
  twice.files.push_back(twice.files.back());
  EXPECT_EQ(parse_backup_manifest(encode_backup_manifest(twice)).error().code, ErrorCode::tampered);
  auto elsewhere = manifest();
  elsewhere.workspace = "../../elsewhere";
  EXPECT_EQ(parse_backup_manifest(encode_backup_manifest(elsewhere)).error().code, ErrorCode::tampered);
}

TEST(BackupFormat, a_later_version_is_unsupported) {
  auto text = encode_backup_manifest(manifest());
  text.replace(text.find("\"version\":1"), 11, "\"version\":2");
  EXPECT_EQ(parse_backup_manifest(text).error().code, ErrorCode::unsupported);
}

TEST(BackupFormat, key_files_open_with_their_passphrase_in_their_workspace_only) {
  const KeyFiles files = {{"keyring.key", Secret("one")}, {"operator.key", Secret("two")}};
  const auto wrapped = wrap_key_files(files, Secret("passphrase"), "w");
  ASSERT_TRUE(wrapped);
  EXPECT_EQ(open_key_files(*wrapped, Secret("passphrase"), "w").value(), files);
  EXPECT_EQ(open_key_files(*wrapped, Secret("other"), "w").error().code, ErrorCode::permission_denied);
  EXPECT_EQ(open_key_files(*wrapped, Secret("passphrase"), "v").error().code, ErrorCode::permission_denied);
  EXPECT_EQ(wrap_key_files({{"../x.key", Secret("one")}}, Secret("passphrase"), "w").error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(wrap_key_files(files, Secret(), "w").error().code, ErrorCode::invalid_argument);
}

Bytes archive_of(const std::vector<std::pair<std::string, std::string>>& files) {
  MemorySink out;
  const auto writer = *BackupArchiveWriter::create(out);
  for (const auto& [name, contents] : files) {
    MemorySource source(view_of(contents));
    EXPECT_TRUE(writer->add(name, contents.size(), source));
  }
  EXPECT_TRUE(writer->finish());
  return out.take();
}

TEST(BackupArchive, any_changed_or_missing_byte_is_found_before_anything_is_read) {
  const Bytes whole = archive_of({{"a", "contents of a"}, {"b", std::string(10'000, 'b')}});
  for (std::size_t at = 0; at < whole.size(); ++at) {
    Bytes changed = whole;
    changed[at] ^= 4;
    EXPECT_EQ(BackupArchiveReader::open(MemoryObject(changed)).error().code, ErrorCode::tampered) << at;
    const MemoryObject cut(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(at)));
    EXPECT_EQ(BackupArchiveReader::open(cut).error().code, ErrorCode::tampered) << at;
  }
}

TEST(BackupArchive, files_come_by_name_in_order_and_no_longer_than_they_may_be) {
  const MemoryObject whole(archive_of({{"a", "contents of a"}, {"b", "contents of b"}}));
  MemorySink out;
  const auto reader = *BackupArchiveReader::open(whole);
  ASSERT_TRUE(reader->read("a", 13, out));
  EXPECT_EQ(to_text(out.take()), "contents of a");
  EXPECT_EQ(reader->finish().error().code, ErrorCode::tampered);
  EXPECT_EQ((*BackupArchiveReader::open(whole))->read("b", 13, out).error().code, ErrorCode::tampered);
  EXPECT_EQ((*BackupArchiveReader::open(whole))->read("a", 12, out).error().code, ErrorCode::tampered);
}

TEST(BackupArchive, a_file_that_is_not_as_long_as_announced_is_refused) {
  MemorySink out;
  const auto writer = *BackupArchiveWriter::create(out);
  MemorySource longer(view_of("four")), shorter(view_of("four"));
  EXPECT_FALSE(writer->add("a", 3, longer));
  const auto again = *BackupArchiveWriter::create(out);
  EXPECT_FALSE(again->add("a", 5, shorter));
}

}  // namespace
}  // namespace redoubt::governance
