// SPDX-License-Identifier: Apache-2.0
//
// What every ImageStore promises (src/provider/image_store.h).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "crypto/hash.h"
#include "provider/aws/ecr_image_store.h"
#include "provider/local/image_store.h"
#include "provider/mirrored_image_store.h"
#include "tests/contract/aws_case.h"

namespace redoubt::provider {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

struct ImagesUnderTest {
  virtual ~ImagesUnderTest() = default;
  virtual ImageStore& store() = 0;
  // Changes a stored blob behind the store's back.
  virtual void damage(const Digest& digest) = 0;
};

struct LocalImageCase final : ImagesUnderTest {
  LocalImageCase() { store_ = *local::LocalImageStore::open(folder_.path()); }
  ImageStore& store() override { return *store_; }
  void damage(const Digest& digest) override {
    const auto file = folder_.path() / "blobs/sha256" / digest.hex();
    Bytes bytes = *read_file(file, 64 << 20);
    bytes.back() ^= 1;
    ASSERT_TRUE(write_file(file, ByteView(bytes)));
  }
  TemporaryFolder folder_ = *TemporaryFolder::create();
  std::unique_ptr<local::LocalImageStore> store_;
};

struct MirroredCase final : ImagesUnderTest {
  ImageStore& store() override { return store_; }
  void damage(const Digest& digest) override { near_.damage(digest); }
  LocalImageCase near_, far_;
  MirroredImageStore store_{near_.store(), far_.store()};
};

// A repository of a registry behind ECR's token, which REDOUBT_TEST_REGISTRY and REDOUBT_TEST_REGISTRY_STORAGE name.
struct AwsImageCase final : ImagesUnderTest {
  AwsImageCase() {
    options_.repository = aws::unique_name();
    options_.registry_url = std::getenv("REDOUBT_TEST_REGISTRY");
    options_.ca_file = std::getenv("REDOUBT_TEST_REGISTRY_CA");
    store_ = *aws::open_ecr_image_store(options_, *aws::test_client(), clock_);
  }
  ImageStore& store() override { return *store_; }
  void damage(const Digest& digest) override {
    const auto file = std::filesystem::path(std::getenv("REDOUBT_TEST_REGISTRY_STORAGE")) / "docker/registry/v2/blobs/sha256" / digest.hex().substr(0, 2) / digest.hex() / "data";
    Bytes bytes = *read_file(file, 64 << 20);
    bytes.back() ^= 1;
    ASSERT_TRUE(write_file(file, ByteView(bytes)));
  }
  SystemClock clock_;
  aws::EcrImageStoreOptions options_;
  std::unique_ptr<ImageStore> store_;
};

struct ImageCase {
  const char* name;
  std::unique_ptr<ImagesUnderTest> (*make)();
};

template <class T>
std::unique_ptr<ImagesUnderTest> make_images() {
  return std::make_unique<T>();
}

class ImageStoreContract : public ::testing::TestWithParam<ImageCase> {
 protected:
  ImageStore& store() { return under_test_->store(); }
  Digest put(std::string_view text) {
    MemorySource source(view_of(text));
    return store().put_blob(source).value();
  }
  // A whole image as registries check it: its config is `text`, and it has no layers.
  ImageDescriptor manifest(std::string_view text) {
    const std::string manifest = R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":")" +
                                 put(text).tagged() + R"(","size":)" + std::to_string(text.size()) + R"(},"layers":[]})";
    return {"application/vnd.oci.image.manifest.v1+json", put(manifest), manifest.size()};
  }
  std::unique_ptr<ImagesUnderTest> under_test_ = GetParam().make();
};

class FailingSource final : public Source {
 public:
  Result<std::size_t> read(MutableByteView into) override {
    if (reads_++ == 1) return fail(ErrorCode::unavailable, "broke off");
    return into.size();
  }

 private:
  int reads_ = 0;
};

TEST_P(ImageStoreContract, a_blob_comes_back_under_the_digest_of_its_bytes) {
  const std::string large(3'000'001, 'x');
  for (std::string_view text : {std::string_view(), std::string_view("abc"), std::string_view(large)}) {
    const Digest digest = put(text);
    EXPECT_EQ(digest, crypto::sha256(text));
    EXPECT_EQ(to_text(*read_all(**store().open_blob(digest), 4 << 20)), text);
    EXPECT_EQ(put(text), digest);  // again
  }
  // The digest that FIPS 180-4's examples give for "abc".
  EXPECT_EQ(put("abc").hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST_P(ImageStoreContract, a_blob_that_is_absent_is_not_found_and_one_whose_source_failed_is_absent) {
  EXPECT_EQ(store().open_blob(crypto::sha256("nothing")).error().code, ErrorCode::not_found);
  FailingSource source;
  EXPECT_EQ(store().put_blob(source).error().code, ErrorCode::unavailable);
  EXPECT_THAT(*store().list(), IsEmpty());
}

TEST_P(ImageStoreContract, a_changed_blob_is_tampered_by_its_end) {
  const Digest digest = put(std::string(100'000, 'x'));
  under_test_->damage(digest);
  const auto source = store().open_blob(digest);
  const auto bytes = source ? read_all(**source, 1 << 20) : Result<Bytes>(fail(source.error()));
  EXPECT_EQ(bytes.error().code, ErrorCode::tampered);
}

TEST_P(ImageStoreContract, a_tag_names_one_manifest_for_ever) {
  const auto one = manifest("{\"a\":1}"), other = manifest("{\"a\":2}");
  ASSERT_TRUE(store().tag("app:1", one));
  ASSERT_TRUE(store().tag("app:1", one));  // the same again
  EXPECT_EQ(store().tag("app:1", other).error().code, ErrorCode::already_exists);
  EXPECT_EQ(store().resolve("app:1")->digest, one.digest);
  ASSERT_TRUE(store().tag("registry.example:5000/team/app:2", other));
  EXPECT_EQ(store().resolve(other.digest.tagged())->digest, other.digest);
  EXPECT_EQ(store().resolve(one.digest.tagged())->size, one.size);
  EXPECT_EQ(store().resolve(one.digest.tagged())->media_type, one.media_type);
  EXPECT_THAT(*store().list(), SizeIs(2));
}

TEST_P(ImageStoreContract, a_name_without_a_tag_and_what_was_never_put_are_not_found) {
  (void)manifest("{}");
  for (const char* name : {"", "app:1", "../app", "sha256:00"}) EXPECT_EQ(store().resolve(name).error().code, ErrorCode::not_found) << name;
  EXPECT_EQ(store().resolve(crypto::sha256("never put").tagged()).error().code, ErrorCode::not_found);
  EXPECT_EQ(store().tag("app:1", {"x", crypto::sha256("absent"), 6}).error().code, ErrorCode::not_found);
}

TEST_P(ImageStoreContract, refuses_what_is_no_tag) {
  const auto image = manifest("{}");
  for (const auto& name : std::vector<std::string>{"", "a b", "a\n", "a\"", "ü", std::string("a\0b", 3), std::string(257, 'a')}) {
    EXPECT_EQ(store().tag(name, image).error().code, ErrorCode::invalid_argument) << name;
  }
  EXPECT_THAT(*store().list(), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Providers, ImageStoreContract,
                         ::testing::ValuesIn(aws::with_aws<ImageCase>({{"local", make_images<LocalImageCase>}, {"mirrored", make_images<MirroredCase>}},
                                                                 {"aws", make_images<AwsImageCase>})), [](const auto& instance) { return instance.param.name; });

// What is particular to a store that publishes.
class MirroredImageStoreTest : public ::testing::Test {
 protected:
  static Digest put(ImageStore& store, const std::string& text) {
    MemorySource source(view_of(text));
    return store.put_blob(source).value();
  }
  // A manifest with a config and a layer, tagged.
  ImageDescriptor tag(ImageStore& store, const std::string& name, const std::string& layer) {
    const std::string text = R"({"config":{"digest":")" + put(store, "config").tagged() + R"("},"layers":[{"digest":")" + put(store, layer).tagged() + R"("}]})";
    const ImageDescriptor manifest{"application/vnd.oci.image.manifest.v1+json", put(store, text), text.size()};
    EXPECT_TRUE(store.tag(name, manifest));
    return manifest;
  }
  LocalImageCase near_, far_;
  MirroredImageStore store_{near_.store(), far_.store()};
};

TEST_F(MirroredImageStoreTest, a_tag_publishes_all_that_the_manifest_names) {
  const auto manifest = tag(store_, "app:1", "layer");
  EXPECT_EQ(far_.store().resolve("app:1")->digest, manifest.digest);
  for (const char* text : {"config", "layer"}) EXPECT_EQ(to_text(*read_all(**far_.store().open_blob(crypto::sha256(text)), 100)), text);
}

TEST_F(MirroredImageStoreTest, an_image_that_was_never_published_is_not_there) {
  (void)tag(near_.store(), "app:1", "layer");
  EXPECT_EQ(store_.resolve("app:1").error().code, ErrorCode::not_found);
  EXPECT_THAT(*store_.list(), IsEmpty());
  (void)tag(store_, "app:1", "layer");
  EXPECT_TRUE(store_.resolve("app:1"));
  EXPECT_THAT(*store_.list(), SizeIs(1));
}

TEST_F(MirroredImageStoreTest, a_published_name_of_another_image_is_tampered) {
  (void)tag(far_.store(), "app:1", "other layer");
  const auto ours = tag(near_.store(), "app:1", "layer");
  EXPECT_EQ(store_.resolve("app:1").error().code, ErrorCode::tampered);
  EXPECT_EQ(store_.tag("app:1", ours).error().code, ErrorCode::already_exists);
}

}  // namespace
}  // namespace redoubt::provider
