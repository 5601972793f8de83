// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/file.h"
#include "provider/local/image_store.h"
#include "stages/image/build.h"
#include "stages/image/oci/testing_shell.h"
#include "stages/image/packages.h"

namespace redoubt::stages::image {
namespace {

namespace fs = std::filesystem;

using oci::shell;

TEST(Elf, finds_what_ldd_finds) {
  const auto files = *resolve_program("/bin/bash");
  EXPECT_EQ(files.interpreter, "/lib64/ld-linux-x86-64.so.2");
  EXPECT_TRUE(files.libraries.contains("libc.so.6"));
  EXPECT_TRUE(files.libraries.contains("libtinfo.so.6"));
}

TEST(Elf, malformed_files_are_errors) {
  const auto folder = *TemporaryFolder::create();
  const Bytes whole = *read_file("/bin/true", 1 << 20);
  for (std::size_t size : {0ul, 3ul, 63ul, 64ul, 200ul, 700ul}) {
    ASSERT_TRUE(write_file(folder.path() / "cut", ByteView(whole).first(size)));
    EXPECT_FALSE(resolve_program(folder.path() / "cut")) << size;
  }
  ASSERT_TRUE(write_file(folder.path() / "text", std::string_view("#!/bin/sh\n")));
  EXPECT_FALSE(read_elf(folder.path() / "text"));
}

class BuildTest : public ::testing::Test {
 protected:
  TemporaryFolder folder_ = *TemporaryFolder::create();
  NoProgress progress_;
  BuildOptions options_{"/bin/bash", "shell", "1.0"};
};

TEST_F(BuildTest, equal_contents_give_the_equal_digest_and_skopeo_reads_it) {
  Digest digests[2];
  for (int i = 0; i < 2; ++i) {
    auto store = *provider::local::LocalImageStore::open(folder_.path() / std::to_string(i));
    const auto contents = *collect_contents(options_, progress_);
    const auto built = *build_image(options_, contents, *store, progress_);
    digests[i] = built.manifest.digest;
    EXPECT_TRUE(store->verify_all().empty());
    const auto inspected = shell("skopeo inspect --format '{{.Digest}}' oci:" + (folder_.path() / std::to_string(i)).string() + ":" + built.tag);
    EXPECT_EQ(inspected, "0:" + built.manifest.digest.tagged() + "\n");
  }
  EXPECT_EQ(digests[0], digests[1]);
}

TEST_F(BuildTest, every_changed_file_of_the_layout_is_named_and_tags_do_not_move) {
  auto store = *provider::local::LocalImageStore::open(folder_.path() / "i");
  const auto built = *build_image(options_, *collect_contents(options_, progress_), *store, progress_);
  EXPECT_EQ(store->tag(built.tag, {"x", {}, 1}).error().code, ErrorCode::already_exists);
  const auto files = *list_files(folder_.path() / "i");
  for (const auto& file : files) {
    if (file == ".lock") continue;
    const Bytes before = *read_file(folder_.path() / "i" / file, 64 << 20);
    Bytes changed = before;
    changed[changed.size() / 2] ^= 1;
    ASSERT_TRUE(write_file(folder_.path() / "i" / file, ByteView(changed)));
    EXPECT_FALSE(store->verify_all().empty()) << file;
    ASSERT_TRUE(write_file(folder_.path() / "i" / file, ByteView(before)));
  }
  EXPECT_TRUE(store->verify_all().empty());
}

TEST_F(BuildTest, every_changed_byte_of_the_index_is_noticed) {
  auto store = *provider::local::LocalImageStore::open(folder_.path() / "i");
  (void)*build_image(options_, *collect_contents(options_, progress_), *store, progress_);
  const Bytes before = *read_file(folder_.path() / "i/index.json", 1 << 20);
  for (std::size_t at = 0; at < before.size(); ++at) {
    Bytes changed = before;
    changed[at] ^= 1;
    ASSERT_TRUE(write_file(folder_.path() / "i/index.json", ByteView(changed)));
    EXPECT_FALSE(store->verify_all().empty()) << at;
  }
}

TEST_F(BuildTest, packages_are_those_of_dpkg) {
  const auto packages = *find_packages(options_, *collect_contents(options_, progress_));
  const auto libc = std::find_if(packages.begin(), packages.end(), [](const Package& p) { return p.name == "libc6"; });
  ASSERT_NE(libc, packages.end());
  EXPECT_EQ("0:" + libc->version, shell("dpkg-query -W -f '${Version}' libc6"));
  EXPECT_EQ(libc->source, "glibc");
  for (const auto& package : packages) {
    if (!package.ecosystem.starts_with("Debian")) continue;
    EXPECT_EQ("0:" + package.source + " " + package.source_version, shell("dpkg-query -W -f '${source:Package} ${source:Version}' " + package.name + ":amd64")) << package.name;
  }
}

}  // namespace
}  // namespace redoubt::stages::image
