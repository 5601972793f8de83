// SPDX-License-Identifier: Apache-2.0
//
// What is particular to the embedded providers; what they share with others is in tests/contract.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <set>

#include "base/file.h"
#include "base/json.h"
#include "crypto/hash.h"
#include "provider/local/endpoint_process.h"
#include "provider/local/local_kms.h"
#include "provider/local/local_object_store.h"
#include "provider/local/vault_secret_store.h"
#include "provider/testing/fake_kms.h"
#include "vault/key_file.h"

namespace redoubt::provider::local {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr crypto::ScryptCost kCheap{1024, 8, 1};

class Keyring : public ::testing::Test {
 protected:
  std::filesystem::path path() { return folder_.path() / "keyring.json"; }
  std::filesystem::path key_file() { return folder_.path() / "keys" / "keyring.key"; }
  Unlock passphrase(std::string_view text) { return Passphrase{Secret(text), kCheap}; }
  Bytes wrap(LocalKms& kms) { return *kms.wrap("local:default", Secret("data key"), context_); }
  std::unique_ptr<LocalKms> make(const Unlock& unlock) {
    auto kms = *LocalKms::create(path(), unlock);
    EXPECT_TRUE(kms->create_key("local:default"));
    return kms;
  }

  TemporaryFolder folder_ = *TemporaryFolder::create();
  EncryptionContext context_{{"name", "n"}};
};

TEST_F(Keyring, opens_again_with_its_passphrase_and_with_no_other) {
  const auto wrapped = wrap(*make(passphrase("correct horse")));
  EXPECT_EQ(*LocalKms::unlock_kind(path()), UnlockKind::passphrase);
  const auto again = *LocalKms::open(path(), passphrase("correct horse"));
  EXPECT_TRUE(*again->unwrap("local:default", wrapped, context_) == Secret("data key"));
  const auto wrong = LocalKms::open(path(), passphrase("correct hors"));
  EXPECT_EQ(wrong.error().code, ErrorCode::permission_denied);
  EXPECT_THAT(wrong.error().message, HasSubstr("wrong passphrase"));
  EXPECT_EQ(LocalKms::open(path(), KeyFile{key_file()}).error().code, ErrorCode::permission_denied);
}

TEST_F(Keyring, opens_with_its_key_file_and_with_no_other) {
  ASSERT_TRUE(vault::make_key_file(key_file()));
  make(KeyFile{key_file()});
  EXPECT_TRUE(LocalKms::open(path(), KeyFile{key_file()}));
  const auto other = folder_.path() / "other.key";
  ASSERT_TRUE(vault::make_key_file(other));
  EXPECT_EQ(LocalKms::open(path(), KeyFile{other}).error().code, ErrorCode::permission_denied);
  EXPECT_EQ(LocalKms::open(path(), passphrase("x")).error().code, ErrorCode::permission_denied);
}

TEST_F(Keyring, every_flipped_byte_is_tampered) {
  ASSERT_TRUE(vault::make_key_file(key_file()));
  for (const auto& unlock : {passphrase("pass"), Unlock(KeyFile{key_file()})}) {
    std::filesystem::remove(path());
    make(unlock);
    const auto text = *read_text_file(path());
    for (std::size_t i = 0; i < text.size(); ++i) {
      for (const int bit : {0x01, 0x20}) {
        auto changed = text;
        changed[i] = static_cast<char>(changed[i] ^ bit);
        ASSERT_TRUE(write_file(path(), changed));
        ASSERT_EQ(LocalKms::open(path(), unlock).error().code, ErrorCode::tampered) << "byte " << i;
      }
    }
    for (std::size_t size = 0; size < text.size(); size += 13) {
      EXPECT_EQ(parse_keyring(text.substr(0, size)).error().code, ErrorCode::tampered);
    }
  }
}

// An attacker who also mends the checksum.
TEST_F(Keyring, changed_sections_with_a_right_checksum_never_open) {
  make(passphrase("pass"));
  const auto file = *parse_keyring(*read_text_file(path()));
  const auto code_of = [&](auto change) {
    auto changed = file;
    change(changed);
    EXPECT_TRUE(write_file(path(), encode_keyring(changed)));
    return LocalKms::open(path(), passphrase("pass")).error().code;
  };
  EXPECT_EQ(code_of([](KeyringFile& f) { f.root.back() ^= 1; }), ErrorCode::tampered);
  EXPECT_EQ(code_of([](KeyringFile& f) { f.keys.back() ^= 1; }), ErrorCode::tampered);
  EXPECT_EQ(code_of([](KeyringFile& f) { f.keys.clear(); }), ErrorCode::tampered);
  EXPECT_EQ(code_of([](KeyringFile& f) { f.lock.salt[0] ^= 1; }), ErrorCode::permission_denied);
  EXPECT_EQ(code_of([](KeyringFile& f) { f.lock.cost.n = 2048; }), ErrorCode::permission_denied);
  EXPECT_EQ(code_of([](KeyringFile& f) { f.lock.cost.n = 1 << 30; }), ErrorCode::tampered);
}

TEST_F(Keyring, a_later_version_is_unsupported) {
  make(passphrase("pass"));
  auto json = *parse_json(*read_text_file(path()), "keyring");
  json.erase("sha256");
  json["version"] = 2;
  json["sha256"] = crypto::sha256(dump_json(json)).hex();
  EXPECT_EQ(parse_keyring(dump_json(json) + "\n").error().code, ErrorCode::unsupported);
}

TEST_F(Keyring, changing_the_passphrase_keeps_the_keys) {
  const auto kms = make(passphrase("old"));
  const auto wrapped = wrap(*kms);
  ASSERT_TRUE(vault::make_key_file(key_file()));
  for (const auto& next : {passphrase("new"), Unlock(KeyFile{key_file()}), passphrase("newer")}) {
    ASSERT_TRUE(kms->change_unlock(next));
    EXPECT_TRUE(*(*LocalKms::open(path(), next))->unwrap("local:default", wrapped, context_) == Secret("data key"));
  }
  EXPECT_EQ(LocalKms::open(path(), passphrase("old")).error().code, ErrorCode::permission_denied);
  EXPECT_EQ(kms->change_unlock(passphrase("")).error().code, ErrorCode::invalid_argument);
}

TEST_F(Keyring, changes_by_another_process_are_seen) {
  const auto one = make(passphrase("pass"));
  const auto two = *LocalKms::open(path(), passphrase("pass"));
  ASSERT_TRUE(two->rotate_key("local:default"));
  EXPECT_EQ((*one->versions())["default"], 2U);
  const auto wrapped = wrap(*one);
  ASSERT_TRUE(two->destroy_key("local:default"));
  EXPECT_EQ(one->unwrap("local:default", wrapped, context_).error().code, ErrorCode::not_found);
  EXPECT_THAT(*one->versions(), IsEmpty());
}

TEST_F(Keyring, is_not_made_over_another_and_a_missing_one_says_so) {
  EXPECT_EQ(LocalKms::open(path(), passphrase("pass")).error().code, ErrorCode::not_found);
  make(passphrase("pass"));
  EXPECT_EQ(LocalKms::create(path(), passphrase("pass")).error().code, ErrorCode::already_exists);
  struct stat info {};
  ASSERT_EQ(::stat(path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
}

TEST_F(Keyring, refuses_uris_that_are_not_local) {
  const auto kms = make(passphrase("pass"));
  for (const std::string uri : {"", "local:", "local:A", "local:a/b", "aws-kms:x", "default"}) {
    EXPECT_EQ(kms->wrap(uri, Secret("k"), context_).error().code, ErrorCode::invalid_argument) << uri;
  }
}

TEST_F(Keyring, of_own_keys_overwrites_what_held_a_destroyed_one) {
  const LocalKms::Options own{"own:", true};
  const auto kms = *LocalKms::create(path(), passphrase("pass"), own);
  EXPECT_EQ(kms->create_key("local:a").error().code, ErrorCode::invalid_argument);
  ASSERT_TRUE(kms->create_key("own:a"));
  ASSERT_TRUE(kms->create_key("own:b"));
  const auto wrapped = *kms->wrap("own:a", Secret("data key"), context_);
  const auto link = folder_.path() / "the old file";
  std::filesystem::create_hard_link(path(), link);
  ASSERT_TRUE(kms->destroy_key("own:a"));
  EXPECT_TRUE(*kms->is_destroyed("own:a"));
  EXPECT_FALSE(*kms->is_destroyed("own:b"));
  EXPECT_FALSE(*kms->is_destroyed("own:c"));
  EXPECT_EQ(kms->unwrap("own:a", wrapped, context_).error().code, ErrorCode::not_found);
  EXPECT_EQ(kms->create_key("own:a").error().code, ErrorCode::already_exists);
  const auto old = *read_file(link, 1 << 20);
  EXPECT_EQ(old, Bytes(old.size())) << "zeros where the key was";
  EXPECT_TRUE(LocalKms::open(path(), passphrase("pass"), own)) << "and the file in its place is whole";
}

TEST_F(Keyring, holds_no_key_in_clear) {
  ASSERT_TRUE(vault::make_key_file(key_file()));
  make(KeyFile{key_file()});
  const auto text = *read_text_file(path());
  const auto secret = *vault::read_key_file(key_file());
  EXPECT_THAT(text, ::testing::Not(HasSubstr(to_base64(secret.reveal(SecretAccess::for_storage())))));
}

class KeyFiles : public Keyring {};

TEST_F(KeyFiles, open_to_others_are_refused) {
  ASSERT_TRUE(vault::make_key_file(key_file()));
  for (const mode_t mode : {0640, 0604, 0620, 0602, 0610, 0601}) {
    ASSERT_EQ(::chmod(key_file().c_str(), mode), 0);
    EXPECT_EQ(vault::read_key_file(key_file()).error().code, ErrorCode::permission_denied) << std::oct << mode;
  }
  ASSERT_EQ(::chmod(key_file().c_str(), 0400), 0);
  EXPECT_TRUE(vault::read_key_file(key_file()));
}

TEST_F(KeyFiles, of_another_user_are_refused) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
  ASSERT_TRUE(vault::make_key_file(key_file()));
  ASSERT_EQ(::chown(key_file().c_str(), 65534, 65534), 0);
  EXPECT_EQ(vault::read_key_file(key_file()).error().code, ErrorCode::permission_denied);
}

TEST_F(KeyFiles, that_are_links_folders_or_something_else_are_refused) {
  ASSERT_TRUE(vault::make_key_file(key_file()));
  EXPECT_EQ(vault::make_key_file(key_file()).error().code, ErrorCode::already_exists);
  const auto link = folder_.path() / "link";
  std::filesystem::create_symlink(key_file(), link);
  EXPECT_EQ(vault::read_key_file(link).error().code, ErrorCode::permission_denied);
  EXPECT_EQ(vault::read_key_file(folder_.path()).error().code, ErrorCode::permission_denied);
  EXPECT_EQ(vault::read_key_file(folder_.path() / "none").error().code, ErrorCode::not_found);
  for (const char* text : {"", "redoubt-key-1:", "redoubt-key-1:AAAA\n", "ssh-ed25519 AAAA"}) {
    ASSERT_TRUE(write_file(folder_.path() / "bad", text));
    EXPECT_EQ(vault::read_key_file(folder_.path() / "bad").error().code, ErrorCode::invalid_argument);
  }
}

// The process id of a child that has ended and was waited for.
pid_t dead_process() {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  ::waitpid(child, nullptr, 0);
  return child;
}

TEST(LocalObjectStore, leftovers_of_dead_processes_are_ignored_and_cleaned_and_those_of_live_ones_stay) {
  const auto folder = *TemporaryFolder::create();
  const auto store = *LocalObjectStore::open(folder.path());
  MemorySource source(view_of("x"));
  ASSERT_TRUE(store->put("blobs/a", source, PutMode::create_only));
  const auto dead = ".b." + std::to_string(dead_process()) + ".0.tmp";
  const auto live = ".b." + std::to_string(::getpid()) + ".9.tmp";
  for (const auto& name : {dead, live, std::string(".other")})
    ASSERT_TRUE(write_file(folder.path() / "blobs" / name, "half"));
  EXPECT_THAT(*store->list(""), ElementsAre("blobs/a"));
  EXPECT_EQ(*store->remove_leftovers(), 1);
  EXPECT_THAT(*list_folder(folder.path() / "blobs"), ElementsAre(live, ".other", "a"));
}

TEST(LocalObjectStore, a_process_killed_while_it_puts_leaves_no_object) {
  const auto folder = *TemporaryFolder::create();
  const auto store = *LocalObjectStore::open(folder.path());
  struct KillsItself final : Source {
    Result<std::size_t> read(MutableByteView into) override {
      if (++reads == 3) ::kill(::getpid(), SIGKILL);
      return into.size();
    }
    int reads = 0;
  };
  const pid_t child = ::fork();
  if (child == 0) {
    KillsItself source;
    (void)store->put("blobs/a", source, PutMode::create_only);
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_THAT(*store->list(""), IsEmpty());
  EXPECT_EQ(*store->remove_leftovers(), 1);
  EXPECT_THAT(*list_folder(folder.path() / "blobs"), IsEmpty());
}

class Secrets : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(kms_.create_key("fake:default")); }
  Result<std::unique_ptr<VaultSecretStore>> open() {
    return VaultSecretStore::open({folder_.path(), "w", {&kms_, "fake:default"}}, clock_);
  }
  testing::FakeKms kms_;
  FakeClock clock_;
  TemporaryFolder folder_ = *TemporaryFolder::create();
};

TEST_F(Secrets, survive_reopening_and_show_neither_name_nor_value) {
  ASSERT_TRUE((*open())->put("huggingface/api-token", Secret("hf_plainly_visible")));
  EXPECT_TRUE(*(*open())->get("huggingface/api-token") == Secret("hf_plainly_visible"));
  const auto names = *list_files(folder_.path());
  for (const auto& name : names) {
    const auto bytes = *read_text_file(folder_.path() / name);
    for (const char* word : {"huggingface", "api-token", "hf_plainly"}) {
      EXPECT_THAT(name, ::testing::Not(HasSubstr(word)));
      EXPECT_THAT(bytes, ::testing::Not(HasSubstr(word)));
    }
  }
}

TEST_F(Secrets, every_flipped_byte_and_every_swap_is_tampered) {
  auto store = *open();
  ASSERT_TRUE(store->put("a", Secret("one")));
  ASSERT_TRUE(store->put("b", Secret("two")));
  const auto names = *list_files(folder_.path());
  std::vector<std::filesystem::path> records;
  for (const auto& name : names) {
    if (name.size() == 64) records.push_back(folder_.path() / name);
  }
  ASSERT_EQ(records.size(), 2U);
  const auto one = *read_file(records[0], 1 << 20), two = *read_file(records[1], 1 << 20);
  for (std::size_t i = 0; i < one.size(); ++i) {
    auto changed = one;
    changed[i] ^= 1;
    ASSERT_TRUE(write_file(records[0], changed));
    ASSERT_EQ(store->list().error().code, ErrorCode::tampered) << i;
  }
  ASSERT_TRUE(write_file(records[0], two));
  ASSERT_TRUE(write_file(records[1], one));
  EXPECT_EQ(store->get("a").error().code, ErrorCode::tampered);
  EXPECT_EQ(store->get("b").error().code, ErrorCode::tampered);
}

TEST_F(Secrets, each_damaged_record_is_named) {
  auto store = *open();
  for (const char* name : {"a", "b", "c"}) ASSERT_TRUE(store->put(name, Secret("value")));
  EXPECT_TRUE(store->verify_all()->empty());
  std::set<std::string> damaged, named;
  const auto names = *list_files(folder_.path());
  for (const auto& name : names) {
    if (name.size() != 64 || damaged.size() == 2) continue;
    damaged.insert(name);
    ASSERT_TRUE(write_file(folder_.path() / name, to_bytes("not a record")));
  }
  const auto found = *store->verify_all();
  for (const auto& secret : found) named.insert(secret.name);
  EXPECT_EQ(named, damaged);
}

TEST_F(Secrets, a_missing_key_of_names_is_tampered_once_there_are_secrets) {
  ASSERT_TRUE((*open())->put("a", Secret("one")));
  ASSERT_TRUE(std::filesystem::remove(folder_.path() / "names.key"));
  EXPECT_EQ(open().error().code, ErrorCode::tampered);
}

// The number is sent signals, and 0 and less are groups of processes; whoever may write the workspace's files may write this one.
TEST(EndpointProcess, a_status_that_names_no_process_is_tampered) {
  const auto folder = *TemporaryFolder::create();
  const EndpointProcess process(folder.path(), "dev");
  EndpointStatus status;
  status.pid = 7;
  ASSERT_TRUE(write_status(process.status_file(), status));
  EXPECT_TRUE(process.status());
  for (const char* pid : {"0", "-1", "-7", "4294967295"}) {
    auto text = *read_text_file(process.status_file());
    const auto from = text.find("\"pid\":") + 6;
    text.replace(from, text.find_first_of(",}", from) - from, pid);
    ASSERT_TRUE(write_file(process.status_file(), text));
    const auto read = process.status();
    ASSERT_FALSE(read) << pid;
    EXPECT_EQ(read.error().code, ErrorCode::tampered) << pid;
  }
}

}  // namespace
}  // namespace redoubt::provider::local
