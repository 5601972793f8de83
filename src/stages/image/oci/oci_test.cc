// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/file.h"
#include "crypto/hash.h"
#include "provider/local/image_store.h"
#include "stages/image/oci/image.h"
#include "stages/image/oci/tar.h"
#include "stages/image/oci/testing_shell.h"
#include "stages/image/oci/writer.h"

namespace redoubt::stages::image::oci {
namespace {

namespace fs = std::filesystem;

TEST(Tar, is_read_by_tar) {
  const auto folder = *TemporaryFolder::create();
  ASSERT_TRUE(write_file(folder.path() / "big", Bytes(100'000, 'x')));
  auto tar = *TarSource::create({{"usr/bin/big", 0755, folder.path() / "big", {}}, {"etc/passwd", 0644, {}, "engine\n"}, {"tmp/", 01777, {}, {}}});
  ASSERT_TRUE(write_file(folder.path() / "a.tar", *read_all(*tar, 1 << 20)));
  EXPECT_EQ(shell("tar tvf " + (folder.path() / "a.tar").string() + " | awk '{print $1,$3,$6}'"),
            "0:drwxr-xr-x 0 etc/\n-rw-r--r-- 7 etc/passwd\ndrwxrwxrwt 0 tmp/\ndrwxr-xr-x 0 usr/\ndrwxr-xr-x 0 usr/bin/\n-rwxr-xr-x 100000 usr/bin/big\n");
}

TEST(Tar, names_of_systemds_units_are_read_by_tar) {
  const auto folder = *TemporaryFolder::create();
  const std::string unit = R"(usr/lib/systemd/system/system-systemd\x2dcryptsetup.slice)";
  auto tar = TarSource::create({{unit, 0644, {}, "[Unit]\n"}}, Parents::as_given);
  ASSERT_TRUE(tar) << tar.error().message;
  ASSERT_TRUE(write_file(folder.path() / "a.tar", *read_all(**tar, 1 << 20)));
  EXPECT_EQ(shell("tar --quoting-style=literal -tf " + (folder.path() / "a.tar").string()), "0:" + unit + "\n");
}

TEST(Tar, refuses_unsafe_and_doubled_paths) {
  EXPECT_FALSE(TarSource::create({{"../x", 0644, {}, ""}}));
  EXPECT_FALSE(TarSource::create({{"/x", 0644, {}, ""}}));
  EXPECT_FALSE(TarSource::create({{"a\\b/../x", 0644, {}, ""}}));
  EXPECT_FALSE(TarSource::create({{"x", 0644, {}, ""}, {"x", 0644, {}, ""}}));
}

TEST(Tar, long_names_great_owners_and_links_are_read_by_tar) {
  const auto folder = *TemporaryFolder::create();
  const std::string deep = std::string(60, 'a') + "/" + std::string(70, 'b'), long_name = std::string(200, 'c');
  std::vector<TarEntry> entries = {{deep, 0644, {}, "1"}, {long_name, 0600, {}, "22"}};
  entries.push_back({"link", 0777, {}, {}, 0, 0, "target"});
  entries.push_back({"long-link", 0777, {}, {}, 0, 0, std::string(150, 'd')});
  entries.push_back({"owned", 0640, {}, "x", 65532, 3000000});
  auto tar = *TarSource::create(entries, Parents::as_given, 1700000000);
  ASSERT_TRUE(write_file(folder.path() / "a.tar", *read_all(*tar, 1 << 20)));
  const auto told = shell("TZ=UTC tar --numeric-owner --full-time -tvf " + (folder.path() / "a.tar").string());
  EXPECT_NE(told.find(deep), told.npos) << told;
  EXPECT_NE(told.find(long_name), told.npos) << told;
  EXPECT_NE(told.find("link -> target"), told.npos) << told;
  EXPECT_NE(told.find("long-link -> " + std::string(150, 'd')), told.npos) << told;
  EXPECT_NE(told.find("-rw-r----- 65532/3000000"), told.npos) << told;
  EXPECT_NE(told.find("2023-11-14 22:13:20"), told.npos) << told;
}

class ImageTest : public ::testing::Test {
 protected:
  ImageTest() { store_ = *provider::local::LocalImageStore::open(folder_.path() / "images"); }

  // A layer that tar made of a script, in a folder of its own.
  provider::ImageDescriptor layer(const std::string& script, const std::string& type = kLayerType, const std::string& compress = "cat") {
    const auto work = folder_.path() / std::to_string(count_++);
    EXPECT_TRUE(make_folder(work));
    EXPECT_EQ(shell("cd " + work.string() + " && umask 022 && " + script + " && tar --numeric-owner -cf ../l.tar . && " + compress + " < ../l.tar > ../l.bin").substr(0, 2), "0:");
    const Bytes plain = *redoubt::read_file(folder_.path() / "l.tar", 64 << 20), bytes = *redoubt::read_file(folder_.path() / "l.bin", 64 << 20);
    diff_ids_.push_back(crypto::sha256(plain).tagged());
    MemorySource source(bytes);
    return {type, *store_->put_blob(source), bytes.size()};
  }
  provider::ImageDescriptor image(const std::vector<provider::ImageDescriptor>& layers) {
    Json list = Json::array();
    for (const auto& one : layers) list.push_back(to_json(one));
    const auto config = *write_json(*store_, {{"architecture", "amd64"}, {"os", "linux"}, {"config", Json::object()}, {"rootfs", {{"type", "layers"}, {"diff_ids", diff_ids_}}}}, kConfigType);
    return *write_json(*store_, {{"schemaVersion", 2}, {"mediaType", kManifestType}, {"config", to_json(config)}, {"layers", list}}, kManifestType);
  }
  Result<Image> read(const provider::ImageDescriptor& manifest) { return read_image(*store_, manifest, {}, progress_); }

  TemporaryFolder folder_ = *TemporaryFolder::create();
  std::unique_ptr<provider::local::LocalImageStore> store_;
  NoProgress progress_;
  Json diff_ids_ = Json::array();
  int count_ = 0;
};

TEST_F(ImageTest, layers_lie_over_each_other_as_the_specification_says) {
  const auto first = layer("mkdir -p a/b etc && echo one > a/b/f && echo kept > a/k && echo gone > a/gone && ln -s a link && echo hard > h && ln h h2");
  const auto second = layer("mkdir -p a etc && touch a/.wh.gone && echo two > a/new && chmod 4755 a/new", std::string(kLayerType) + "+gzip", "gzip -n");
  const auto third = layer("mkdir -p a/b && touch a/b/.wh..wh..opq && echo three > a/b/g", std::string(kLayerType) + "+zstd", "zstd -q");
  const auto got = read(image({first, second, third}));
  ASSERT_TRUE(got) << got.error().message;
  const auto& tree = got->tree;
  EXPECT_EQ(tree.find("a/gone"), nullptr);
  EXPECT_EQ(tree.find("a/b/f"), nullptr);
  ASSERT_NE(tree.find("a/b/g"), nullptr);
  EXPECT_EQ(tree.find("a/new")->mode, 04755u);
  EXPECT_EQ(*tree.resolve("link/k"), "a/k");
  EXPECT_EQ(*read_file(*store_, *got, "a/k", 100), "kept\n");
  EXPECT_EQ(*read_file(*store_, *got, "h2", 100), "hard\n");
  EXPECT_EQ(*read_file(*store_, *got, "a/b/g", 100), "three\n");
}

TEST(ImageTree, what_a_layer_puts_below_a_link_is_where_the_link_leads) {
  ImageTree tree;
  const auto apply = [&](int layer, EntryKind kind, const std::string& path, const std::string& link = "") {
    LayerEntry entry;
    entry.kind = kind;
    entry.path = path;
    entry.link = link;
    ASSERT_TRUE(tree.apply(entry, layer)) << path;
  };
  apply(0, EntryKind::folder, "usr/bin");
  apply(0, EntryKind::file, "usr/bin/old");
  apply(0, EntryKind::symbolic_link, "bin", "usr/bin");
  apply(1, EntryKind::file, "bin/tool");
  apply(1, EntryKind::hard_link, "bin/again", "bin/tool");
  apply(1, EntryKind::whiteout, "bin/old");
  ASSERT_NE(tree.find("usr/bin/tool"), nullptr);
  EXPECT_EQ(tree.find("usr/bin/tool")->layer_path, "bin/tool");
  EXPECT_EQ(*tree.resolve("bin/tool"), "usr/bin/tool");
  EXPECT_NE(tree.find("usr/bin/again"), nullptr);
  EXPECT_EQ(tree.find("usr/bin/old"), nullptr);
  EXPECT_EQ(tree.find("bin/tool"), nullptr);
  apply(2, EntryKind::opaque, "bin");
  EXPECT_EQ(tree.find("usr/bin/tool"), nullptr);
}

TEST_F(ImageTest, a_layer_that_is_not_its_diff_id_or_its_size_is_tampered) {
  auto first = layer("echo one > f");
  diff_ids_[0] = crypto::sha256("else").tagged();
  EXPECT_EQ(read(image({first})).error().code, ErrorCode::tampered);
  diff_ids_ = Json::array();
  first = layer("echo one > f");
  first.size += 1;
  EXPECT_EQ(read(image({first})).error().code, ErrorCode::tampered);
  first.size -= 1;
  diff_ids_.push_back(diff_ids_[0]);
  EXPECT_EQ(read(image({first})).error().code, ErrorCode::tampered);
}

TEST_F(ImageTest, a_broken_or_wrongly_named_layer_is_an_error) {
  for (const auto& [type, compress] : std::vector<std::pair<std::string, std::string>>{{std::string(kLayerType) + "+gzip", "cat"}, {std::string(kLayerType) + "+gzip", "gzip -n | head -c 100"},
                                                                                       {kLayerType, "gzip -n"}, {"text/plain", "cat"}, {std::string(kLayerType) + "+gzip+encrypted", "cat"}}) {
    diff_ids_ = Json::array();
    EXPECT_FALSE(read(image({layer("echo one > f", type, compress)}))) << type << compress;
  }
}

TEST_F(ImageTest, an_index_gives_the_platform_that_was_asked_for) {
  const auto inner = image({layer("echo one > f")});
  Json entry = to_json(inner);
  entry["platform"] = {{"os", "linux"}, {"architecture", "amd64"}};
  const auto index = *write_json(*store_, {{"schemaVersion", 2}, {"mediaType", kIndexType}, {"manifests", {entry}}}, kIndexType);
  EXPECT_EQ(read(index)->manifest.digest, inner.digest);
  const auto other = read_image(*store_, index, *Platform::parse("linux/arm64"), progress_);
  EXPECT_EQ(other.error().code, ErrorCode::not_found);
  EXPECT_NE(other.error().hint.find("linux/amd64"), std::string::npos);
}

TEST_F(ImageTest, manifests_that_say_two_things_are_refused) {
  for (const char* text : {"7", "[]", "{}", R"({"schemaVersion":1})", R"({"schemaVersion":2,"config":7,"layers":[]})", R"({"manifests":[],"layers":[]})",
                           R"({"mediaType":"application/vnd.oci.image.index.v1+json","config":{"mediaType":"a","digest":"sha256:0000000000000000000000000000000000000000000000000000000000000000","size":1},"layers":[]})",
                           R"({"config":{"mediaType":"a","digest":"sha512:00","size":1},"layers":[]})", R"({"config":{"mediaType":"a","digest":"sha256:0","size":1},"layers":[]})",
                           R"({"config":{"mediaType":"a","digest":"sha256:0000000000000000000000000000000000000000000000000000000000000000","size":-1},"layers":[]})"}) {
    EXPECT_FALSE(parse_manifest(text, "m")) << text;
  }
}

TEST_F(ImageTest, gzip_layers_hold_no_time_and_have_the_diff_id_of_the_plain_ones) {
  const std::vector<TarEntry> entries = {{"f", 0644, {}, std::string(100000, 'x')}};
  const auto plain = *write_layer(*store_, entries, {}, "l", progress_);
  const auto gzip = *write_layer(*store_, entries, {LayerCompression::gzip}, "l", progress_);
  EXPECT_EQ(plain.diff_id, gzip.diff_id);
  EXPECT_EQ(plain.diff_id, plain.blob.digest);
  EXPECT_LT(gzip.blob.size, 2000u);
  const auto path = folder_.path() / "images/blobs/sha256" / gzip.blob.digest.hex();
  EXPECT_EQ(shell("gzip -t < " + path.string()), "0:");
  const Bytes bytes = *redoubt::read_file(path, 1 << 20);
  EXPECT_EQ(to_hex(ByteView(bytes).first(10)).substr(0, 16), "1f8b080000000000");
}

}  // namespace
}  // namespace redoubt::stages::image::oci
