// SPDX-License-Identifier: Apache-2.0
//
// Whatever is done to a ledger's files, the verification names it, and no reader answers something else than what was
// written.
#include <gtest/gtest.h>

#include <fstream>
#include <random>
#include <set>

#include "base/file.h"
#include "ledger/verify.h"

namespace redoubt::ledger {
namespace {

namespace fs = std::filesystem;
using crypto::SignatureAlgorithm;
using crypto::SigningKey;

class TamperTest : public testing::TestWithParam<std::uint64_t> {
 protected:
  void SetUp() override {
    auto writer = *LedgerWriter::create(options_, key_);
    for (std::uint64_t i = 0; i < GetParam(); ++i) ASSERT_TRUE(writer->append(view_of("entry " + std::to_string(i))));
    fs::copy(options_.folder, pristine_, fs::copy_options::recursive);
    files_ = *list_files(options_.folder);
  }
  void restore(const std::string& file) {
    fs::create_directories((options_.folder / file).parent_path());
    fs::copy_file(pristine_ / file, options_.folder / file, fs::copy_options::overwrite_existing);
  }
  Problems problems() { return verify_ledger(options_, key_.public_key()).problems; }
  // The verification names the file, and reading either fails as tampered or gives what was written.
  void expect_named(const std::string& file, const std::string& what) {
    const auto found = problems();
    const bool is_named = std::any_of(found.begin(), found.end(), [&](const Problem& problem) {
      return problem.object.find(file) != problem.object.npos;
    });
    std::string list;
    for (const auto& problem : found) list += problem.kind + " " + problem.object + ": " + problem.detail + "\n";
    EXPECT_TRUE(is_named) << what << " of " << file << " gave\n" << list;
    expect_nothing_wrong_is_read();
  }
  void expect_nothing_wrong_is_read() {
    auto reader = LedgerReader::open(options_, key_.public_key());
    if (!reader) {
      EXPECT_EQ(reader.error().code, ErrorCode::tampered) << reader.error().message;
      return;
    }
    std::uint64_t count = 0;
    const auto status = (*reader)->for_each(0, [&](std::uint64_t index, ByteView entry) -> Status {
      EXPECT_EQ(text_of(entry), "entry " + std::to_string(index));
      ++count;
      return {};
    });
    if (status) {
      EXPECT_EQ(count, GetParam());
    } else {
      EXPECT_EQ(status.error().code, ErrorCode::tampered);
    }
  }
  Bytes contents(const std::string& file) { return *read_file(options_.folder / file, 1 << 26); }
  void put(const std::string& file, ByteView bytes) {
    std::ofstream(options_.folder / file, std::ios::binary) << text_of(bytes);
  }

  TemporaryFolder folder_ = std::move(*TemporaryFolder::create());
  LedgerOptions options_{folder_.path() / "ledger", folder_.path() / "outside/checkpoint", "redoubt.local/test"};
  fs::path pristine_ = folder_.path() / "pristine";
  SigningKey key_ = SigningKey::generate(SignatureAlgorithm::ed25519);
  std::vector<std::string> files_;
};

TEST_P(TamperTest, a_flipped_bit_anywhere_is_named) {
  const auto seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  for (const auto& file : files_) {
    const auto good = contents(file);
    for (int i = 0; i < 40 && !good.empty(); ++i) {
      auto bad = good;
      bad[random() % bad.size()] ^= static_cast<std::uint8_t>(1u << (random() % 8));
      put(file, bad);
      expect_named(file, "flip");
    }
    restore(file);
  }
  EXPECT_TRUE(problems().empty());
}

TEST_P(TamperTest, truncation_and_addition_are_named) {
  std::mt19937 random(7);
  for (const auto& file : files_) {
    const auto good = contents(file);
    for (const std::size_t added : {1u, 2u, 32u}) {
      auto bad = good;
      bad.insert(bad.end(), added, 0);
      put(file, bad);
      expect_named(file, "addition");
    }
    for (int i = 0; i < 6 && !good.empty(); ++i) {
      put(file, ByteView(good).first(random() % good.size()));
      expect_named(file, "truncation");
    }
    restore(file);
  }
  EXPECT_TRUE(problems().empty());
}

TEST_P(TamperTest, a_deleted_file_is_named) {
  for (const auto& file : files_) {
    if (file == kLockName) continue;  // holds nothing; made again when it is needed
    fs::remove(options_.folder / file);
    expect_named(file, "deletion");
    restore(file);
  }
  EXPECT_TRUE(problems().empty());
}

TEST_P(TamperTest, two_swapped_files_are_named) {
  for (const auto& a : files_) {
    for (const auto& b : files_) {
      if (a >= b || contents(a) == contents(b)) continue;
      fs::copy_file(pristine_ / a, options_.folder / b, fs::copy_options::overwrite_existing);
      fs::copy_file(pristine_ / b, options_.folder / a, fs::copy_options::overwrite_existing);
      const auto found = problems();
      EXPECT_FALSE(found.empty()) << a << " " << b;
      expect_nothing_wrong_is_read();
      restore(a), restore(b);
    }
  }
  EXPECT_TRUE(problems().empty());
}

TEST_P(TamperTest, a_stray_file_is_named) {
  for (const std::string file : {"more", "tile/0/999", "tile/entries/more", "tile/9/000", ".hidden", "tile/0/000.p/256",
                                 "tile/0/0", "checkpoint.bak", "tile/0/000.p/007", ".lock.1.1.tmp", ".more.1.1.tmp"}) {
    fs::create_directories((options_.folder / file).parent_path());
    put(file, view_of("x"));
    expect_named(file, "stray");
    fs::remove(options_.folder / file);
  }
  fs::create_symlink("/etc/passwd", options_.folder / "link");
  expect_named("link", "link");
  fs::remove(options_.folder / "link");
  EXPECT_TRUE(problems().empty());
}

TEST_P(TamperTest, an_old_partial_file_is_fine_only_as_it_was) {
  const auto width = std::min<std::uint64_t>(GetParam(), 256) / 2;
  if (width == 0) return;
  Bytes tile, bundle;
  for (std::uint64_t i = 0; i < width; ++i) {
    const auto entry = "entry " + std::to_string(i);
    const auto hash = leaf_hash(view_of(entry));
    tile.insert(tile.end(), hash.value.begin(), hash.value.end());
    append_to_bundle(bundle, view_of(entry));
  }
  const auto tile_file = tile_path(0, 0, width), bundle_file = bundle_path(0, width);
  fs::create_directories((options_.folder / tile_file).parent_path());
  fs::create_directories((options_.folder / bundle_file).parent_path());
  put(tile_file, tile);
  put(bundle_file, bundle);
  EXPECT_TRUE(problems().empty());
  for (auto* bytes : {&tile, &bundle}) {
    const auto& file = bytes == &tile ? tile_file : bundle_file;
    for (std::size_t at = 0; at < bytes->size(); at += 11) {
      (*bytes)[at] ^= 1;
      put(file, *bytes);
      expect_named(file, "flip");
      (*bytes)[at] ^= 1;
    }
    put(file, *bytes);
  }
}

TEST_P(TamperTest, a_ledger_that_was_rolled_back_or_replaced_is_noticed) {
  if (GetParam() == 0) return;
  auto writer = *LedgerWriter::open(options_, key_);
  ASSERT_TRUE(writer->append(view_of("the one to hide")));
  fs::remove_all(options_.folder);
  fs::copy(pristine_, options_.folder, fs::copy_options::recursive);
  const auto expect_tampered = [&](const char* what) {
    EXPECT_EQ(LedgerReader::open(options_, key_.public_key()).error().code, ErrorCode::tampered) << what;
    EXPECT_EQ(LedgerWriter::open(options_, key_).error().code, ErrorCode::tampered) << what;
    const auto found = problems();
    EXPECT_TRUE(std::any_of(found.begin(), found.end(), [](const Problem& p) {
      return p.kind == "anchor" || p.kind == "checkpoint";
    })) << what;
  };
  expect_tampered("rolled back");
  EXPECT_EQ(writer->append(view_of("more")).error().code, ErrorCode::tampered);

  // Another history of the same length, signed with the very key.
  auto forged = options_;
  forged.folder = folder_.path() / "forged";
  forged.anchor.clear();
  auto forger = *LedgerWriter::create(forged, key_);
  for (std::uint64_t i = 0; i <= GetParam() + 1; ++i) ASSERT_TRUE(forger->append(view_of("forged")));
  fs::remove_all(options_.folder);
  fs::copy(forged.folder, options_.folder, fs::copy_options::recursive);
  expect_tampered("rewritten");

  fs::remove(options_.anchor);
  expect_tampered("anchor gone");
  fs::remove_all(options_.folder);
  ASSERT_TRUE(write_file(options_.anchor, std::string_view("not a checkpoint")));
  EXPECT_EQ(LedgerWriter::create(options_, key_).error().code, ErrorCode::tampered);
}

TEST_P(TamperTest, a_restored_ledger_can_be_adopted) {
  if (GetParam() == 0) return;
  fs::remove_all(options_.anchor.parent_path());
  ASSERT_FALSE(LedgerWriter::open(options_, key_));
  const auto head = adopt_ledger(options_, key_.public_key());
  ASSERT_TRUE(head);
  EXPECT_EQ(head->size, GetParam());
  EXPECT_TRUE(problems().empty());
  EXPECT_TRUE(LedgerWriter::open(options_, key_));
}

INSTANTIATE_TEST_SUITE_P(Sizes, TamperTest, testing::Values(0, 5, 255, 256, 300));

}  // namespace
}  // namespace redoubt::ledger
