// SPDX-License-Identifier: Apache-2.0
//
// What LocalImageStore does beyond the contract of ImageStore (tests/contract): its folder checked file by file, and what is left
// of a process that died.
#include "provider/local/image_store.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "base/file.h"
#include "base/json.h"

namespace redoubt::provider::local {
namespace {

namespace fs = std::filesystem;

class LocalImageStoreTest : public ::testing::Test {
 protected:
  LocalImageStoreTest() { store_ = *LocalImageStore::open(images_); }

  ImageDescriptor put(const std::string& text, const char* type) {
    MemorySource source(view_of(text));
    return {type, *store_->put_blob(source), text.size()};
  }
  static Json json(const ImageDescriptor& d) { return {{"mediaType", d.media_type}, {"digest", d.digest.tagged()}, {"size", d.size}}; }

  // An image of a configuration and two layers under the tag "app:1".
  void put_image() {
    config_ = put(R"({"config":{}})", "application/vnd.oci.image.config.v1+json");
    layer_ = put("layer one", "application/vnd.oci.image.layer.v1.tar");
    const auto second = put("layer two", "application/vnd.oci.image.layer.v1.tar");
    manifest_ = put(dump_json({{"schemaVersion", 2}, {"config", json(config_)}, {"layers", {json(layer_), json(second)}}}),
                    "application/vnd.oci.image.manifest.v1+json");
    ASSERT_TRUE(store_->tag("app:1", manifest_));
    ASSERT_TRUE(store_->verify_all().empty());
  }

  static std::string name_of(const ImageDescriptor& d) { return "blobs/sha256/" + d.digest.hex(); }
  bool names(const std::string& object) {
    const auto problems = store_->verify_all();
    return std::any_of(problems.begin(), problems.end(), [&](const Problem& p) { return p.object == object; });
  }
  void write_index(const Json& entry) {
    ASSERT_TRUE(write_file(images_ / "index.json", dump_json({{"schemaVersion", 2}, {"mediaType", "application/vnd.oci.image.index.v1+json"}, {"manifests", {entry}}})));
  }

  TemporaryFolder folder_ = *TemporaryFolder::create();
  fs::path images_ = folder_.path() / "images";
  std::unique_ptr<LocalImageStore> store_;
  ImageDescriptor config_, layer_, manifest_;
};

TEST_F(LocalImageStoreTest, a_blob_that_was_deleted_is_named) {
  put_image();
  for (const auto& blob : {config_, layer_, manifest_}) {
    const Bytes before = *read_file(images_ / name_of(blob), 1 << 20);
    fs::remove(images_ / name_of(blob));
    EXPECT_TRUE(names(name_of(blob))) << blob.media_type;
    ASSERT_TRUE(write_file(images_ / name_of(blob), ByteView(before)));
  }
  EXPECT_TRUE(store_->verify_all().empty());
}

TEST_F(LocalImageStoreTest, a_blob_that_was_cut_is_named) {
  put_image();
  for (const auto& blob : {config_, layer_, manifest_}) {
    const Bytes before = *read_file(images_ / name_of(blob), 1 << 20);
    for (std::uint64_t size : {blob.size - 1, std::uint64_t{0}}) {
      ASSERT_TRUE(write_file(images_ / name_of(blob), ByteView(before).first(size)));
      EXPECT_TRUE(names(name_of(blob))) << blob.media_type;
    }
    ASSERT_TRUE(write_file(images_ / name_of(blob), ByteView(before)));
  }
}

TEST_F(LocalImageStoreTest, an_index_or_a_layout_file_that_was_deleted_is_named_and_not_made_anew) {
  put_image();
  for (const char* file : {"index.json", "oci-layout"}) {
    const std::string before = *read_text_file(images_ / file);
    fs::remove(images_ / file);
    store_ = *LocalImageStore::open(images_);
    EXPECT_TRUE(names(file)) << file;
    ASSERT_TRUE(write_file(images_ / file, before));
  }
  fs::remove(images_ / "index.json");
  EXPECT_EQ(store_->resolve("app:1").error().code, ErrorCode::tampered);
}

TEST_F(LocalImageStoreTest, an_index_with_values_of_another_type_is_tampered) {
  put_image();
  const Json good = {{"mediaType", manifest_.media_type}, {"digest", manifest_.digest.tagged()}, {"size", manifest_.size},
                     {"annotations", {{"org.opencontainers.image.ref.name", "app:1"}}}};
  write_index(good);
  ASSERT_TRUE(store_->resolve("app:1"));
  for (const char* key : {"mediaType", "digest", "size", "annotations"}) {
    for (const Json& wrong : {Json(nullptr), Json(7), Json("x"), Json(-1), Json(1.5), Json::array({1}), Json{{"org.opencontainers.image.ref.name", 7}}}) {
      if (std::string_view(key) == "size" && wrong == Json(7)) continue;
      if (std::string_view(key) == "mediaType" && wrong.is_string()) continue;
      Json entry = good;
      entry[key] = wrong;
      write_index(entry);
      EXPECT_FALSE(store_->verify_all().empty()) << entry;
      const auto found = store_->resolve("app:1");
      ASSERT_FALSE(found) << entry;
      EXPECT_EQ(found.error().code, ErrorCode::tampered) << entry;
      EXPECT_EQ(store_->tag("app:2", manifest_).error().code, ErrorCode::tampered) << entry;
    }
  }
  for (const char* text : {"", "{", "[]", "7", R"({"manifests":7})", R"({"manifests":[7]})", R"({"manifests":[[]]})"}) {
    ASSERT_TRUE(write_file(images_ / "index.json", std::string_view(text)));
    EXPECT_EQ(store_->list().error().code, ErrorCode::tampered) << text;
    EXPECT_TRUE(names("index.json")) << text;
  }
}

TEST_F(LocalImageStoreTest, a_manifest_with_values_of_another_type_is_a_problem_and_no_crash) {
  for (const char* text : {"7", "[]", R"({"mediaType":7})", R"({"annotations":{"org.opencontainers.image.ref.name":7}})", R"({"config":7})", R"({"config":{},"layers":7})",
                           R"({"layers":[7]})", R"({"layers":[{"digest":7}]})", R"({"layers":[{"digest":"sha256:00","size":1,"mediaType":"x"}]})", R"({"manifests":[{"size":-1}]})"}) {
    const auto folder = *TemporaryFolder::create();
    store_ = *LocalImageStore::open(folder.path());
    ASSERT_TRUE(store_->tag("app:1", put(text, "application/vnd.oci.image.manifest.v1+json")));
    EXPECT_FALSE(store_->verify_all().empty()) << text;
  }
}

// A source whose reader dies in the midst of it.
class DeadlySource final : public Source {
 public:
  Result<std::size_t> read(MutableByteView into) override {
    if (reads_++ == 2) ::kill(::getpid(), SIGKILL);
    std::fill(into.begin(), into.end(), std::uint8_t{7});
    return into.size();
  }

 private:
  int reads_ = 0;
};

TEST_F(LocalImageStoreTest, what_a_killed_writer_left_goes_when_the_store_is_opened_again) {
  put_image();
  const pid_t child = ::fork();
  if (child == 0) {
    DeadlySource source;
    (void)store_->put_blob(source);
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  // The three moments: while it writes, between its two renames as earlier versions had them, and while it tags.
  ASSERT_TRUE(write_file(images_ / "blobs/sha256/.incoming-0123456789abcdef", std::string_view("cut")));
  ASSERT_TRUE(write_file(images_ / (".index.json." + std::to_string(child) + ".0.tmp"), std::string_view("cut")));
  EXPECT_FALSE(store_->verify_all().empty());
  store_ = *LocalImageStore::open(images_);
  EXPECT_TRUE(store_->verify_all().empty()) << store_->verify_all()[0].object;
}

TEST_F(LocalImageStoreTest, a_stray_is_named_whatever_its_name_looks_like) {
  for (const char* name : {"blobs/sha256/.incoming-xyz", "blobs/sha256/abc", "blobs/sha256/.hidden", "extra", "blobs/md5/0"}) {
    ASSERT_TRUE(make_folder((images_ / name).parent_path()));
    ASSERT_TRUE(write_file(images_ / name, std::string_view("x")));
    store_ = *LocalImageStore::open(images_);
    EXPECT_TRUE(names(name)) << name;
    fs::remove(images_ / name);
  }
}

}  // namespace
}  // namespace redoubt::provider::local
