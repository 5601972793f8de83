// SPDX-License-Identifier: Apache-2.0
#include "ledger/ledger.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <random>
#include <set>
#include <thread>

#include "base/file.h"
#include "ledger/verify.h"

namespace redoubt::ledger {
namespace {

namespace fs = std::filesystem;
using crypto::SignatureAlgorithm;
using crypto::SigningKey;

std::string entry_text(std::uint64_t index) { return "entry " + std::to_string(index) + std::string(index % 50, '.'); }

class LedgerTest : public testing::Test {
 protected:
  std::unique_ptr<LedgerWriter> make(std::uint64_t size) {
    auto writer = LedgerWriter::create(options_, key_);
    EXPECT_TRUE(writer) << writer.error().message;
    fill(**writer, size);
    return std::move(*writer);
  }
  void fill(LedgerWriter& writer, std::uint64_t size) {
    for (auto i = writer.checkpoint().head.size; i < size; ++i) {
      const auto index = writer.append(view_of(entry_text(i)));
      ASSERT_TRUE(index) << index.error().message;
      ASSERT_EQ(*index, i);
    }
  }
  Result<std::unique_ptr<LedgerReader>> read() { return LedgerReader::open(options_, key_.public_key()); }
  Result<std::unique_ptr<LedgerWriter>> reopen() { return LedgerWriter::open(options_, key_); }
  LedgerReport verify() { return verify_ledger(options_, key_.public_key()); }

  TemporaryFolder folder_ = std::move(*TemporaryFolder::create());
  LedgerOptions options_{folder_.path() / "ledger", folder_.path() / "outside/checkpoint", "redoubt.local/test"};
  SigningKey key_ = SigningKey::generate(SignatureAlgorithm::ed25519);
};

std::string describe(const Problems& problems) {
  std::string text;
  for (const auto& problem : problems) text += problem.kind + " " + problem.object + ": " + problem.detail + "\n";
  return text;
}

TEST_F(LedgerTest, entries_roots_and_proofs_read_back_over_several_tiles) {
  auto writer = make(0);
  std::vector<Digest> leaves, roots{empty_root()};
  for (std::uint64_t i = 0; i < 600; ++i) {
    ASSERT_EQ(*writer->append(view_of(entry_text(i))), i);
    leaves.push_back(leaf_hash(view_of(entry_text(i))));
    roots.push_back(root_of_leaves(leaves));
    ASSERT_EQ(writer->checkpoint().head, (TreeHead{i + 1, roots.back()}));
  }
  auto reader = read();
  ASSERT_TRUE(reader) << reader.error().message;
  for (std::uint64_t i = 0; i < 600; i += 7) {
    ASSERT_EQ(text_of(*(*reader)->entry(i)), entry_text(i));
    ASSERT_TRUE(verify_inclusion(leaves[i], i, {600, roots[600]}, *(*reader)->inclusion_proof(i)));
    ASSERT_EQ(*(*reader)->root(i), roots[i]);
    ASSERT_TRUE(verify_consistency({i, roots[i]}, {600, roots[600]}, *(*reader)->consistency_proof(i, 600)));
  }
  EXPECT_EQ((*reader)->entry(600).error().code, ErrorCode::not_found);
  std::uint64_t seen = 250;
  ASSERT_TRUE((*reader)->for_each(250, [&](std::uint64_t index, ByteView entry) -> Status {
    EXPECT_EQ(index, seen++);
    EXPECT_EQ(text_of(entry), entry_text(index));
    return {};
  }));
  EXPECT_EQ(seen, 600u);
  const auto report = verify();
  EXPECT_EQ(describe(report.problems), "");
  EXPECT_EQ(report.entries, 600u);
  EXPECT_EQ(report.root, roots[600]);
}

TEST_F(LedgerTest, the_folder_holds_exactly_the_files_of_the_layout) {
  make(513);
  const auto files = *list_files(options_.folder);
  EXPECT_EQ(files,
            (std::vector<std::string>{"checkpoint", "lock", "tile/0/000", "tile/0/001", "tile/0/002.p/1", "tile/1/000.p/2",
                                      "tile/entries/000", "tile/entries/001", "tile/entries/002.p/1"}));
}

TEST_F(LedgerTest, appending_goes_on_after_reopening_at_every_size) {
  make(0);
  for (std::uint64_t size = 0; size < 260; ++size) {
    auto writer = reopen();
    ASSERT_TRUE(writer) << writer.error().message;
    ASSERT_EQ(*(*writer)->append(view_of(entry_text(size))), size);
  }
  EXPECT_EQ(describe(verify().problems), "");
}

TEST_F(LedgerTest, limits_and_wrong_use_are_refused) {
  auto writer = make(1);
  EXPECT_TRUE(writer->append(Bytes(kEntryBytesMax)));
  EXPECT_TRUE(writer->append({}));
  EXPECT_EQ(writer->append(Bytes(kEntryBytesMax + 1)).error().code, ErrorCode::limit_exceeded);
  EXPECT_EQ(LedgerWriter::create(options_, key_).error().code, ErrorCode::already_exists);
  EXPECT_EQ(describe(verify().problems), "");
  auto elsewhere = options_;
  elsewhere.folder = folder_.path() / "none";
  elsewhere.anchor.clear();
  EXPECT_EQ(LedgerWriter::open(elsewhere, key_).error().code, ErrorCode::not_found);
  EXPECT_EQ(LedgerReader::open(elsewhere, key_.public_key()).error().code, ErrorCode::not_found);
  elsewhere.origin = "with space";
  EXPECT_EQ(LedgerWriter::create(elsewhere, key_).error().code, ErrorCode::invalid_argument);
}

TEST_F(LedgerTest, another_key_or_origin_is_tampered) {
  make(3);
  EXPECT_EQ(LedgerReader::open(options_, SigningKey::generate(SignatureAlgorithm::ed25519).public_key()).error().code,
            ErrorCode::tampered);
  options_.origin = "redoubt.local/other";
  EXPECT_EQ(read().error().code, ErrorCode::tampered);
}

TEST_F(LedgerTest, several_processes_and_threads_append_without_losing_an_entry) {
  constexpr int kProcesses = 4, kEach = 40;
  make(0);
  std::vector<pid_t> children;
  for (int child = 0; child < kProcesses; ++child) {
    const pid_t pid = ::fork();
    ASSERT_GE(pid, 0);
    if (pid == 0) {
      auto writer = reopen();
      bool fine = writer.has_value();
      for (int i = 0; fine && i < kEach; ++i)
        fine = (*writer)->append(view_of(std::to_string(child * 1000 + i))).has_value();
      ::_exit(fine ? 0 : 1);
    }
    children.push_back(pid);
  }
  auto writer = *reopen();
  std::thread other([&] {
    for (int i = 0; i < kEach; ++i) ASSERT_TRUE(writer->append(view_of(std::to_string(8000 + i))));
  });
  for (int i = 0; i < kEach; ++i) ASSERT_TRUE(writer->append(view_of(std::to_string(9000 + i))));
  other.join();
  for (const pid_t pid : children) {
    int status = 0;
    ASSERT_EQ(::waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
  }
  EXPECT_EQ(describe(verify().problems), "");
  std::set<std::string> seen;
  auto reader = *read();
  ASSERT_TRUE(reader->for_each(0, [&](std::uint64_t, ByteView entry) -> Status {
    seen.insert(redoubt::to_text(entry));
    return {};
  }));
  EXPECT_EQ(reader->size(), (kProcesses + 2u) * kEach);
  EXPECT_EQ(seen.size(), (kProcesses + 2u) * kEach);
}

TEST_F(LedgerTest, a_reader_follows_a_writer) {
  auto writer = make(254);
  auto reader = *read();
  fill(*writer, 259);
  EXPECT_EQ(reader->size(), 254u);
  EXPECT_EQ(text_of(*reader->entry(253)), entry_text(253));
  ASSERT_TRUE(reader->refresh());
  EXPECT_EQ(text_of(*reader->entry(258)), entry_text(258));
}

// A child appends as fast as it can and is killed at a random moment; what it had acknowledged through a pipe must be there.
TEST_F(LedgerTest, a_kill_at_any_moment_loses_nothing_acknowledged) {
  make(250);
  const auto seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  for (int round = 0; round < 60; ++round) {
    int pipe_ends[2];
    ASSERT_EQ(::pipe(pipe_ends), 0);
    const pid_t pid = ::fork();
    ASSERT_GE(pid, 0);
    if (pid == 0) {
      auto writer = reopen();
      while (writer) {
        const auto index = (*writer)->append(view_of("killed"));
        if (!index || ::write(pipe_ends[1], &*index, sizeof *index) != sizeof *index) break;
      }
      ::_exit(1);
    }
    ::close(pipe_ends[1]);
    ::usleep(random() % 12'000);
    ASSERT_EQ(::kill(pid, SIGKILL), 0);
    int status = 0;
    ASSERT_EQ(::waitpid(pid, &status, 0), pid);
    ASSERT_TRUE(WIFSIGNALED(status));
    std::uint64_t index = 0, acknowledged = 0;
    while (::read(pipe_ends[0], &index, sizeof index) == sizeof index) acknowledged = index + 1;
    ::close(pipe_ends[0]);
    const auto at_rest = verify();
    ASSERT_EQ(describe(at_rest.problems), "");
    ASSERT_GE(at_rest.entries, acknowledged);
    ASSERT_TRUE(read());
  }
  auto writer = reopen();
  ASSERT_TRUE(writer) << writer.error().message;
  ASSERT_TRUE((*writer)->append(view_of("after")));
  EXPECT_EQ(describe(verify().problems), "");
  EXPECT_EQ(list_files(options_.folder)->size(),
            tiles_of((*writer)->checkpoint().head.size).size() + 2 + ((*writer)->checkpoint().head.size + 255) / 256);
}

// The files of an append one after the other, as a crash between any two writes leaves them.
TEST_F(LedgerTest, a_crash_between_any_two_writes_leaves_a_ledger_that_verifies) {
  for (const std::uint64_t size : {1u, 5u, 255u, 256u, 511u}) {
    fs::remove_all(options_.folder);
    fs::remove_all(options_.anchor.parent_path());
    auto writer = make(size);
    const auto before = folder_.path() / "before", after = folder_.path() / "after";
    fs::remove_all(before), fs::remove_all(after);
    fs::copy(options_.folder, before, fs::copy_options::recursive);
    fill(*writer, size + 1);
    fs::copy(options_.folder, after, fs::copy_options::recursive);
    const auto anchor_before = *read_text_file(before / "checkpoint");
    std::vector<std::string> added;
    const auto new_files = *list_files(after);
    for (const auto& file : new_files) {
      if (!fs::exists(before / file)) added.push_back(file);
    }
    for (std::size_t written = 0; written <= added.size() + 1; ++written) {
      fs::remove_all(options_.folder);
      fs::copy(before, options_.folder, fs::copy_options::recursive);
      ASSERT_TRUE(write_file(options_.anchor, anchor_before));
      // bundle first, then the tiles: "tile/entries" sorts last, so walk backwards
      for (std::size_t i = 0; i < std::min(written, added.size()); ++i) {
        const auto& file = added[added.size() - 1 - i];
        fs::create_directories((options_.folder / file).parent_path());
        fs::copy_file(after / file, options_.folder / file);
      }
      if (written > added.size())
        fs::copy_file(after / "checkpoint", options_.folder / "checkpoint", fs::copy_options::overwrite_existing);
      ASSERT_TRUE(write_file(options_.folder / ".checkpoint.1.2.tmp", std::string_view("torn")));
      ASSERT_EQ(describe(verify().problems), "") << size << " " << written;
      auto again = reopen();
      ASSERT_TRUE(again) << again.error().message;
      ASSERT_EQ((*again)->checkpoint().head.size, written > added.size() ? size + 1 : size);
      ASSERT_FALSE(fs::exists(options_.folder / ".checkpoint.1.2.tmp"));
      ASSERT_TRUE((*again)->append(view_of("another")));
      ASSERT_EQ(describe(verify().problems), "");
    }
  }
}

}  // namespace
}  // namespace redoubt::ledger
