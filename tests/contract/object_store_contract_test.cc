// SPDX-License-Identifier: Apache-2.0
//
// What every ObjectStore promises (src/provider/object_store.h).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "base/file.h"
#include "crypto/random.h"
#include "provider/aws/aws_kms.h"
#include "provider/aws/s3_object_store.h"
#include "provider/local/local_object_store.h"
#include "provider/testing/fake_stores.h"
#include "tests/contract/aws_case.h"

namespace redoubt::provider {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct ObjectsUnderTest {
  virtual ~ObjectsUnderTest() = default;
  virtual ObjectStore& store() = 0;
};

struct FakeObjectCase final : ObjectsUnderTest {
  ObjectStore& store() override { return store_; }
  testing::FakeObjectStore store_;
};

struct LocalObjectCase final : ObjectsUnderTest {
  ObjectStore& store() override { return *store_; }
  TemporaryFolder folder_ = *TemporaryFolder::create();
  std::unique_ptr<local::LocalObjectStore> store_ = *local::LocalObjectStore::open(folder_.path() / "objects");
};

// A bucket of its own with a small part and block, so that a few megabytes are many.
struct AwsObjectCase final : ObjectsUnderTest {
  AwsObjectCase() {
    auto& client = *aws::test_client();
    const std::string bucket = aws::unique_name(), key = "alias/" + bucket;
    CHECK(aws::AwsKms(client).create_key("aws-kms:" + key));
    CHECK(client.call("s3", "CreateBucket", {{"Bucket", bucket}, {"CreateBucketConfiguration", {{"LocationConstraint", client.region()}}}}));
    CHECK(client.call("s3", "PutBucketVersioning", {{"Bucket", bucket}, {"VersioningConfiguration", {{"Status", "Enabled"}}}}));
    aws::S3ObjectStoreOptions options;
    options.bucket = bucket;
    options.prefix = "objects/";
    options.kms_key = key;
    options.block_bytes = 256 << 10;
    store_ = *aws::S3ObjectStore::create(options, client);
  }
  ObjectStore& store() override { return *store_; }
  std::unique_ptr<aws::S3ObjectStore> store_;
};

struct ObjectCase {
  const char* name;
  std::unique_ptr<ObjectsUnderTest> (*make)();
};

template <class T>
std::unique_ptr<ObjectsUnderTest> make_objects() {
  return std::make_unique<T>();
}

// Fails after some bytes, as a download that breaks.
class BrokenSource final : public Source {
 public:
  Result<std::size_t> read(MutableByteView into) override {
    if (std::exchange(started_, true)) return fail(ErrorCode::unavailable, "the line went dead");
    return into.size();
  }

 private:
  bool started_ = false;
};

class ObjectStoreContract : public ::testing::TestWithParam<ObjectCase> {
 protected:
  ObjectStore& store() { return under_test_->store(); }
  Status put(std::string_view key, ByteView bytes, PutMode mode = PutMode::create_only) {
    MemorySource source(bytes);
    return store().put(key, source, mode);
  }
  Bytes get(std::string_view key) {
    const auto object = *store().open(key);
    Bytes bytes(object->size());
    EXPECT_TRUE(object->read_at(0, bytes));
    return bytes;
  }
  std::unique_ptr<ObjectsUnderTest> under_test_ = GetParam().make();
};

TEST_P(ObjectStoreContract, gives_back_what_was_put) {
  for (const std::size_t size : {0, 1, 1 << 20, (3 << 20) + 7, (16 << 20) + 1}) {
    const auto bytes = crypto::random_bytes(size);
    const auto key = "sizes/" + std::to_string(size);
    ASSERT_TRUE(put(key, bytes));
    EXPECT_EQ(get(key), bytes);
  }
}

TEST_P(ObjectStoreContract, reads_any_part_and_nothing_beyond_the_end) {
  ASSERT_TRUE(put("a", view_of("0123456789")));
  const auto object = *store().open("a");
  Bytes part(4);
  ASSERT_TRUE(object->read_at(3, part));
  EXPECT_EQ(text_of(part), "3456");
  EXPECT_EQ(object->read_at(7, part).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(object->read_at(UINT64_MAX, part).error().code, ErrorCode::invalid_argument);
}

TEST_P(ObjectStoreContract, create_only_keeps_what_is_there_and_replace_does_not) {
  ASSERT_TRUE(put("a", view_of("old")));
  EXPECT_EQ(put("a", view_of("new")).error().code, ErrorCode::already_exists);
  EXPECT_EQ(to_text(get("a")), "old");
  ASSERT_TRUE(put("a", view_of("new"), PutMode::replace));
  EXPECT_EQ(to_text(get("a")), "new");
  EXPECT_TRUE(put("b", view_of("first"), PutMode::replace));
}

TEST_P(ObjectStoreContract, a_reader_keeps_the_whole_object_it_opened) {
  ASSERT_TRUE(put("a", view_of("old")));
  const auto object = *store().open("a");
  ASSERT_TRUE(put("a", view_of("a longer text"), PutMode::replace));
  Bytes bytes(object->size());
  ASSERT_TRUE(object->read_at(0, bytes));
  EXPECT_EQ(text_of(bytes), "old");
}

TEST_P(ObjectStoreContract, what_is_absent_is_not_found) {
  EXPECT_EQ(store().open("a").error().code, ErrorCode::not_found);
  EXPECT_EQ(store().remove("a").error().code, ErrorCode::not_found);
  ASSERT_TRUE(put("a", view_of("x")));
  ASSERT_TRUE(store().remove("a"));
  EXPECT_EQ(store().open("a").error().code, ErrorCode::not_found);
  EXPECT_TRUE(put("a", view_of("y")));
}

TEST_P(ObjectStoreContract, lists_sorted_keys_by_prefix) {
  for (const char* key : {"blobs/b", "blobs/a", "manifests/c", "blobs2/d"}) ASSERT_TRUE(put(key, view_of("x")));
  EXPECT_THAT(*store().list(""), ElementsAre("blobs/a", "blobs/b", "blobs2/d", "manifests/c"));
  EXPECT_THAT(*store().list("blobs/"), ElementsAre("blobs/a", "blobs/b"));
  EXPECT_THAT(*store().list("blobs"), ElementsAre("blobs/a", "blobs/b", "blobs2/d"));
  EXPECT_THAT(*store().list("none"), IsEmpty());
}

TEST_P(ObjectStoreContract, refuses_keys_that_some_store_could_not_keep) {
  for (const std::string key : {"", "/a", "a/", "a//b", "../a", "a/../b", "a/.b", ".a", "a b", "a\\b", "ä"}) {
    EXPECT_EQ(put(key, view_of("x")).error().code, ErrorCode::invalid_argument) << key;
    EXPECT_EQ(store().open(key).error().code, ErrorCode::invalid_argument) << key;
    EXPECT_EQ(store().remove(key).error().code, ErrorCode::invalid_argument) << key;
  }
  EXPECT_EQ(put(std::string(513, 'a'), view_of("x")).error().code, ErrorCode::invalid_argument);
  EXPECT_THAT(*store().list(""), IsEmpty());
}

TEST_P(ObjectStoreContract, adopts_a_file_under_a_free_key) {
  const auto folder = std::move(*TemporaryFolder::create());
  const auto file = folder.path() / "finished";
  ASSERT_TRUE(write_file(file, std::string_view("contents")));
  ASSERT_TRUE(store().adopt("adopted/a", file));
  EXPECT_FALSE(std::filesystem::exists(file));
  const auto reader = *store().open("adopted/a");
  Bytes bytes(8);
  ASSERT_TRUE(reader->read_at(0, bytes));
  EXPECT_EQ(to_text(bytes), "contents");
  ASSERT_TRUE(write_file(file, std::string_view("others")));
  EXPECT_EQ(store().adopt("adopted/a", file).error().code, ErrorCode::already_exists);
  EXPECT_TRUE(std::filesystem::exists(file));
  EXPECT_EQ(store().adopt("adopted/b", folder.path() / "absent").error().code, ErrorCode::not_found);
}

TEST_P(ObjectStoreContract, a_source_that_breaks_leaves_nothing) {
  BrokenSource source;
  EXPECT_EQ(store().put("a", source, PutMode::create_only).error().code, ErrorCode::unavailable);
  EXPECT_THAT(*store().list(""), IsEmpty());
  ASSERT_TRUE(put("a", view_of("old")));
  BrokenSource again;
  EXPECT_FALSE(store().put("a", again, PutMode::replace));
  EXPECT_EQ(to_text(get("a")), "old");
}

TEST_P(ObjectStoreContract, of_many_who_create_one_key_exactly_one_succeeds) {
  std::atomic<int> created{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20; ++i)
        created += put("race/" + std::to_string(i), Bytes(100, static_cast<std::uint8_t>(t))).has_value();
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(created, 20);
}

INSTANTIATE_TEST_SUITE_P(Providers, ObjectStoreContract,
                         ::testing::ValuesIn(aws::with_aws<ObjectCase>({{"fake", make_objects<FakeObjectCase>}, {"local", make_objects<LocalObjectCase>}},
                                                                 {"aws", make_objects<AwsObjectCase>})),
                         [](const auto& instance) { return instance.param.name; });

}  // namespace
}  // namespace redoubt::provider
