// SPDX-License-Identifier: Apache-2.0
#include "vault/artifact_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "crypto/hash.h"
#include "crypto/random.h"
#include "provider/testing/failing.h"
#include "provider/testing/fake_kms.h"
#include "provider/testing/fake_stores.h"
#include "vault/sealed_file.h"

namespace redoubt::vault {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class Artifacts : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(kms_.create_key("fake:default")); }
  SealingKey key() { return {&kms_, "fake:default"}; }
  ArtifactStore::Options options() { return {"workspace-1", key(), folder_.path()}; }

  Digest put(std::string_view text) {
    MemorySource source(view_of(text));
    return *store_.put_blob(source);
  }

  std::filesystem::path make_tree() {
    const auto tree = folder_.path() / "tree";
    EXPECT_TRUE(make_folder(tree / "deep"));
    EXPECT_TRUE(write_file(tree / "config.json", "{}"));
    EXPECT_TRUE(write_file(tree / "empty", ""));
    EXPECT_TRUE(write_file(tree / "deep" / "model.safetensors", crypto::random_bytes(200'000)));
    return tree;
  }

  provider::testing::FakeKms kms_;
  provider::testing::FakeObjectStore objects_;
  TemporaryFolder folder_ = *TemporaryFolder::create();
  ArtifactStore store_{objects_, options()};
};

// The digest is that of FIPS 180-4 for "abc".
TEST_F(Artifacts, a_blob_is_named_by_the_digest_of_its_plaintext_and_stored_sealed) {
  EXPECT_EQ(put("abc").hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_THAT(*objects_.list(""), ElementsAre("blobs/ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
  EXPECT_EQ(to_text(*store_.read_blob(put("abc"), 10)), "abc");
  EXPECT_EQ(store_.read_blob(put("abc"), 2).error().code, ErrorCode::limit_exceeded);
}

TEST_F(Artifacts, a_blob_that_comes_in_pieces_is_taken_up_where_it_was_cut_off) {
  const auto plain = crypto::random_bytes(700'001);
  const Digest digest = crypto::sha256(plain);
  std::uint64_t begun = 0;
  for (const std::size_t until : {200'000u, 450'000u, 700'001u}) {  // each a process that ends
    auto blob = *store_.begin_blob(digest);
    EXPECT_GE(blob->bytes() + 2 * (64 << 10), begun);
    EXPECT_LE(blob->bytes(), begun);
    ASSERT_TRUE(blob->write(ByteView(plain).subspan(blob->bytes(), until - blob->bytes())));
    begun = until;
    if (until < plain.size()) continue;
    ASSERT_TRUE(store_.finish_blob(std::move(blob)));
  }
  EXPECT_EQ(*store_.read_blob(digest, plain.size()), plain);
  EXPECT_TRUE(store_.verify_blob(digest));
  EXPECT_THAT(*list_folder(folder_.path()), IsEmpty());
}

TEST_F(Artifacts, of_a_blob_that_is_not_the_expected_one_nothing_is_kept) {
  const Digest expected = crypto::sha256("abc");
  auto blob = *store_.begin_blob(expected);
  ASSERT_TRUE(blob->write(view_of("abd")));
  EXPECT_EQ(store_.finish_blob(std::move(blob)).error().code, ErrorCode::tampered);
  EXPECT_THAT(*objects_.list(""), IsEmpty());
  EXPECT_THAT(*list_folder(folder_.path()), IsEmpty());
  blob = *store_.begin_blob(expected);
  EXPECT_EQ(blob->bytes(), 0u);
  ASSERT_TRUE(blob->write(view_of("abc")));
  EXPECT_TRUE(store_.finish_blob(std::move(blob)));
}

TEST_F(Artifacts, what_was_left_and_changed_since_is_not_taken_up) {
  const auto plain = crypto::random_bytes(300'000);
  const Digest digest = crypto::sha256(plain);
  ASSERT_TRUE((*store_.begin_blob(digest))->write(plain));
  const auto file = folder_.path() / ("partial-" + digest.hex());
  auto sealed = *read_file(file, 1 << 20);
  EXPECT_EQ(to_text(sealed).find(to_text(ByteView(plain).first(64))), std::string::npos);
  sealed[150'000] ^= 1;  // in the third chunk
  ASSERT_TRUE(write_file(file, sealed));
  EXPECT_EQ((*store_.begin_blob(digest))->bytes(), 2u * (64 << 10));
  ASSERT_TRUE(write_file(file, Bytes(100)));
  std::filesystem::remove(file.string() + ".old");
  EXPECT_EQ((*store_.begin_blob(digest))->bytes(), 0u);
}

TEST_F(Artifacts, blobs_around_the_spooling_limit_read_back) {
  for (const std::size_t size : {(4U << 20) - 1, 4U << 20, (4U << 20) + 1, (9U << 20) + 5}) {
    const auto plain = crypto::random_bytes(size);
    MemorySource source(plain);
    const auto digest = *store_.put_blob(source);
    EXPECT_EQ(digest, crypto::sha256(plain));
    EXPECT_EQ(*store_.read_blob(digest, size), plain);
  }
  EXPECT_THAT(*list_folder(folder_.path()), IsEmpty());
}

TEST_F(Artifacts, contents_that_are_not_the_expected_ones_are_tampered_and_not_kept) {
  MemorySource source(view_of("abd"));
  EXPECT_EQ(store_.put_blob(source, crypto::sha256("abc")).error().code, ErrorCode::tampered);
  EXPECT_THAT(*objects_.list(""), IsEmpty());
  MemorySource right(view_of("abc"));
  EXPECT_TRUE(store_.put_blob(right, crypto::sha256("abc")));
  EXPECT_TRUE(*store_.has_blob(crypto::sha256("abc")));
  EXPECT_FALSE(*store_.has_blob(crypto::sha256("abd")));
}

TEST_F(Artifacts, a_folder_comes_back_as_it_was) {
  const auto tree = make_tree();
  const auto artifact = *store_.import_folder(tree, "model");
  EXPECT_EQ(*store_.import_folder(tree, "model"), artifact);
  EXPECT_TRUE(store_.verify(artifact));
  const auto out = folder_.path() / "out";
  ASSERT_TRUE(store_.export_folder(artifact, out));
  EXPECT_EQ(*list_files(out), *list_files(tree));
  const auto paths = *list_files(tree);
  for (const auto& path : paths) EXPECT_EQ(*read_file(out / path, 1 << 20), *read_file(tree / path, 1 << 20));
  EXPECT_EQ(store_.export_folder(artifact, out).error().code, ErrorCode::already_exists);
  EXPECT_THAT(*store_.artifacts(), ElementsAre(artifact));
}

TEST_F(Artifacts, a_folder_with_a_link_is_refused) {
  const auto tree = make_tree();
  std::filesystem::create_symlink("/etc/passwd", tree / "link");
  EXPECT_EQ(store_.import_folder(tree, "model").error().code, ErrorCode::invalid_argument);
}

TEST_F(Artifacts, every_flipped_byte_of_every_object_is_named) {
  const auto text = put("some data");
  ASSERT_TRUE(store_.put_manifest({"data", {{"a.txt", 9, text}}}));
  EXPECT_THAT(*store_.verify_all(), IsEmpty());
  const auto keys = *objects_.list("");
  for (const auto& key : keys) {
    auto& bytes = objects_.bytes_of(key);
    for (auto& byte : bytes) {
      byte ^= 0x10;
      const auto damages = *store_.verify_all();
      ASSERT_EQ(damages.size(), 1U);
      EXPECT_EQ(damages[0].object, key);
      EXPECT_EQ(damages[0].error.code, ErrorCode::tampered);
      byte ^= 0x10;
    }
  }
}

TEST_F(Artifacts, objects_that_change_places_are_tampered) {
  const auto one = put("one"), two = put("two");
  std::swap(objects_.bytes_of("blobs/" + one.hex()), objects_.bytes_of("blobs/" + two.hex()));
  EXPECT_EQ(store_.open_blob(one).error().code, ErrorCode::tampered);
  EXPECT_EQ(store_.open_blob(two).error().where, "blobs/" + two.hex());
}

TEST_F(Artifacts, an_object_of_another_workspace_is_tampered) {
  const auto digest = put("one");
  auto other = options();
  other.workspace = "workspace-2";
  EXPECT_EQ(ArtifactStore(objects_, other).open_blob(digest).error().code, ErrorCode::tampered);
}

TEST_F(Artifacts, missing_and_foreign_objects_are_named) {
  const auto text = put("some data");
  const auto artifact = *store_.put_manifest({"data", {{"a.txt", 9, text}}});
  ASSERT_TRUE(objects_.remove("blobs/" + text.hex()));
  EXPECT_EQ(store_.verify(artifact).error().code, ErrorCode::not_found);
  MemorySource foreign(view_of("x"));
  ASSERT_TRUE(objects_.put("blobs/readme", foreign, provider::PutMode::create_only));
  const auto damages = *store_.verify_all();
  ASSERT_EQ(damages.size(), 2U);
  EXPECT_EQ(damages[0].object, "blobs/readme");
  EXPECT_EQ(damages[1].object, "blobs/" + text.hex());
}

// A store behind a network: it lists, and gives nothing from the n-th open on.
class StoreThatGoesAway final : public provider::ObjectStore {
 public:
  StoreThatGoesAway(provider::ObjectStore& inner, int opens) : inner_(inner), opens_left_(opens) {}
  Status put(std::string_view key, Source& contents, provider::PutMode mode) override { return inner_.put(key, contents, mode); }
  Result<std::unique_ptr<RandomAccess>> open(std::string_view key) override {
    ++asked;
    if (opens_left_-- > 0) return inner_.open(key);
    return fail(ErrorCode::unavailable, "nobody answers", "far:" + std::string(key));
  }
  Result<std::vector<std::string>> list(std::string_view prefix) override { return inner_.list(prefix); }
  Status remove(std::string_view key) override { return inner_.remove(key); }
  int asked = 0;

 private:
  provider::ObjectStore& inner_;
  int opens_left_;
};

TEST_F(Artifacts, objects_that_a_store_does_not_give_are_told_as_such_and_it_is_not_asked_for_each) {
  for (int i = 0; i < 20; ++i) put(std::to_string(i));
  StoreThatGoesAway far(objects_, 5);
  const auto damages = *ArtifactStore(far, options()).verify_all();
  ASSERT_EQ(damages.size(), 15U);
  for (const auto& damage : damages) {
    EXPECT_EQ(damage.error.code, ErrorCode::unavailable);
    EXPECT_THAT(damage.error.where, ::testing::StartsWith("far:blobs/")) << "the store's own name of it";
  }
  EXPECT_EQ(far.asked, 8);
}

TEST_F(Artifacts, an_object_whose_key_is_not_there_is_not_missing_itself) {
  const auto text = put("some data");
  const auto artifact = *store_.put_manifest({"data", {{"a.txt", 9, text}}});
  provider::testing::FakeKms other;
  auto changed = options();
  changed.key = {&other, "fake:default"};  // of a key service that does not know the key
  ArtifactStore store(objects_, changed);
  EXPECT_EQ(store.open_blob(text).error().code, ErrorCode::unavailable);
  EXPECT_EQ(store.open_blob(text).error().where, "fake:default");
  EXPECT_EQ(store.manifest(artifact).error().code, ErrorCode::unavailable);
  EXPECT_TRUE(*store.has(text));
  EXPECT_TRUE(*store.has(artifact));
  EXPECT_FALSE(*store.has(crypto::sha256("absent")));
  StoreThatGoesAway away(objects_, 0);
  EXPECT_EQ(ArtifactStore(away, options()).has(text).error().code, ErrorCode::unavailable);
}

TEST_F(Artifacts, a_put_over_a_damaged_blob_is_tampered) {
  const auto digest = put("abc");
  objects_.bytes_of("blobs/" + digest.hex()).back() ^= 1;
  MemorySource source(view_of("abc"));
  EXPECT_EQ(store_.put_blob(source).error().code, ErrorCode::tampered);
}

TEST_F(Artifacts, a_manifest_needs_its_blobs_safe_paths_and_true_sizes) {
  const auto text = put("abc");
  EXPECT_EQ(store_.put_manifest({"data", {{"a", 3, crypto::sha256("absent")}}}).error().code, ErrorCode::not_found);
  EXPECT_EQ(store_.put_manifest({"data", {{"a", 4, text}}}).error().code, ErrorCode::invalid_argument);
  for (const char* path : {"", "/a", "../a", "a/./b", "a//b", "a\\b"}) {
    EXPECT_EQ(store_.put_manifest({"data", {{path, 3, text}}}).error().code, ErrorCode::invalid_argument) << path;
  }
  EXPECT_EQ(store_.put_manifest({"data", {{"a", 3, text}, {"a", 3, text}}}).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(store_.put_manifest({"Data!", {{"a", 3, text}}}).error().code, ErrorCode::invalid_argument);
}

TEST_F(Artifacts, the_order_of_files_does_not_change_the_name) {
  const auto a = put("a"), b = put("b");
  EXPECT_EQ(*store_.put_manifest({"data", {{"a", 1, a}, {"b", 1, b}}}),
            *store_.put_manifest({"data", {{"b", 1, b}, {"a", 1, a}}}));
}

TEST_F(Artifacts, a_failure_at_any_call_leaves_a_store_that_verifies) {
  const auto tree = make_tree();
  for (int call = 1;; ++call) {
    provider::testing::FakeObjectStore inner;
    provider::testing::FailurePoint point(call);
    provider::testing::FailingObjectStore failing(inner, point);
    ArtifactStore store(failing, options());
    const bool done = store.import_folder(tree, "model").has_value();
    EXPECT_THAT(*ArtifactStore(inner, options()).verify_all(), IsEmpty());
    if (done) break;
    EXPECT_TRUE(ArtifactStore(inner, options()).import_folder(tree, "model"));
  }
}

TEST_F(Artifacts, a_sealed_file_is_bound_to_its_name) {
  const auto path = folder_.path() / "state";
  const SealedFile file(path, key(), {{"workspace", "w"}, {"kind", "state"}, {"name", "a"}});
  EXPECT_EQ(file.read().error().code, ErrorCode::not_found);
  ASSERT_TRUE(file.write_json({{"count", 1}}));
  EXPECT_EQ((*file.read_json())["count"], 1);
  const SealedFile other(path, key(), {{"workspace", "w"}, {"kind", "state"}, {"name", "b"}});
  EXPECT_EQ(other.read().error().code, ErrorCode::tampered);
}

TEST(Manifest, takes_only_what_it_writes) {
  const auto json = *encode_manifest({"data", {{"a", 1, crypto::sha256("a")}}});
  EXPECT_EQ(
      json,
      R"({"files":[{"path":"a","sha256":"ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb","size":1}],)"
      R"("kind":"data","version":1})");
  EXPECT_TRUE(parse_manifest(json));
  for (std::size_t i = 0; i < json.size(); ++i) {
    auto changed = json;
    changed[i] = '\x01';
    EXPECT_EQ(parse_manifest(changed).error().code, ErrorCode::tampered);
  }
  EXPECT_EQ(parse_manifest(json + " ").error().code, ErrorCode::tampered);
}

}  // namespace
}  // namespace redoubt::vault
