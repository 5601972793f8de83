// SPDX-License-Identifier: Apache-2.0
#include "governance/workspace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "governance/identity_key.h"
#include "vault/key_file.h"

namespace redoubt::governance {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class InAFolder : public ::testing::Test {
 protected:
  std::filesystem::path root() { return folder_.path() / "workspace"; }
  std::filesystem::path credentials() { return folder_.path() / "credentials"; }
  Result<std::unique_ptr<Workspace>> create() {
    return Workspace::create({.root = root(), .credentials = credentials()}, clock_);
  }
  Result<std::unique_ptr<Workspace>> open() {
    return Workspace::open({.root = root(), .credentials = credentials()}, clock_);
  }
  TemporaryFolder folder_ = *TemporaryFolder::create();
  FakeClock clock_;
};

using Workspaces = InAFolder;

TEST_F(Workspaces, opens_again_with_everything_that_was_put) {
  Digest blob;
  std::string id;
  Secret key;
  {
    const auto workspace = *create();
    id = workspace->id();
    MemorySource source(view_of("weights"));
    blob = *workspace->artifacts().put_blob(source);
    ASSERT_TRUE(workspace->secrets().put("token", Secret("hf_x")));
    key = *workspace->named_key("registry-mac");
    ASSERT_TRUE(workspace->state_file("endpoint")->write_json({{"port", 1}}));
  }
  const auto workspace = *open();
  EXPECT_EQ(workspace->id(), id);
  EXPECT_EQ(workspace->created(), clock_.now());
  EXPECT_EQ(to_text(*workspace->artifacts().read_blob(blob, 100)), "weights");
  EXPECT_TRUE(*workspace->secrets().get("token") == Secret("hf_x"));
  EXPECT_TRUE(*workspace->named_key("registry-mac") == key);
  EXPECT_FALSE(*workspace->named_key("other") == key);
  EXPECT_EQ((*workspace->state_file("endpoint")->read_json())["port"], 1);
  EXPECT_THAT(workspace->identities().list(), SizeIs(3));
  for (const char* name : {"operator", "reviewer", "admin"}) EXPECT_TRUE(workspace->identities().unlock(name)) << name;
}

TEST_F(Workspaces, opens_with_a_passphrase_and_asks_for_it) {
  const provider::local::Passphrase passphrase{Secret("correct horse"), {1024, 8, 1}};
  ASSERT_TRUE(Workspace::create({.root = root(), .passphrase = passphrase, .credentials = credentials()}, clock_));
  EXPECT_TRUE(Workspace::needs_passphrase(root()));
  EXPECT_TRUE(Workspace::open({.root = root(), .passphrase = passphrase, .credentials = credentials()}, clock_));
  EXPECT_EQ(open().error().code, ErrorCode::permission_denied);
  const provider::local::Passphrase wrong{Secret("correct hors")};
  EXPECT_EQ(Workspace::open({.root = root(), .passphrase = wrong, .credentials = credentials()}, clock_).error().code,
            ErrorCode::permission_denied);
}

TEST_F(Workspaces, are_not_made_over_anything) {
  ASSERT_TRUE(create());
  EXPECT_EQ(create().error().code, ErrorCode::already_exists);
  const auto other = folder_.path() / "other";
  ASSERT_TRUE(make_folder(other));
  ASSERT_TRUE(write_file(other / "thesis.tex", "years of work"));
  EXPECT_EQ(Workspace::create({.root = other, .credentials = credentials()}, clock_).error().code,
            ErrorCode::already_exists);
  EXPECT_THAT(*list_folder(other), ::testing::ElementsAre("thesis.tex"));
}

TEST_F(Workspaces, that_are_none_say_so) {
  EXPECT_EQ(open().error().code, ErrorCode::not_found);
  ASSERT_TRUE(create());
  std::filesystem::remove_all(credentials());
  EXPECT_EQ(open().error().code, ErrorCode::permission_denied);
}

TEST_F(Workspaces, every_flipped_byte_of_the_description_is_tampered) {
  ASSERT_TRUE(create());
  const auto path = root() / "workspace.json";
  const auto text = *read_text_file(path);
  for (std::size_t i = 0; i < text.size(); ++i) {
    auto changed = text;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    ASSERT_TRUE(write_file(path, changed));
    ASSERT_EQ(open().error().code, ErrorCode::tampered) << i;
  }
}

TEST_F(Workspaces, have_one_writer) {
  const auto one = *create(), two = *open();
  auto lock = std::optional(*one->lock());
  EXPECT_EQ(two->lock().error().code, ErrorCode::unavailable);
  lock.reset();
  EXPECT_TRUE(two->lock());
}

TEST_F(Workspaces, killed_while_being_made_are_whole_or_made_again) {
  const auto start = std::chrono::steady_clock::now();
  ASSERT_TRUE(create());
  const auto needed = std::chrono::steady_clock::now() - start;
  std::filesystem::remove_all(root());
  std::filesystem::remove_all(credentials());
  // The moments are spread over the time that the making takes on this machine, and a little beyond.
  constexpr int kMoments = 30;
  for (int moment = 0; moment < kMoments; ++moment) {
    const pid_t child = ::fork();
    if (child == 0) {
      (void)create();
      ::_exit(0);
    }
    std::this_thread::sleep_for(needed * moment / (kMoments - 4));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    const auto opened = open();
    EXPECT_TRUE(opened || opened.error().code == ErrorCode::not_found);
    const auto again = create();
    EXPECT_TRUE(again || again.error().code == ErrorCode::already_exists) << again.error().message;
    const auto workspace = open();
    ASSERT_TRUE(workspace) << workspace.error().message;
    EXPECT_TRUE((*workspace)->lock());
    EXPECT_TRUE((*workspace)->identities().unlock("reviewer"));
    EXPECT_THAT(*(*workspace)->artifacts().verify_all(), IsEmpty());
    std::filesystem::remove_all(root());
    std::filesystem::remove_all(credentials());
  }
}

TEST(Credentials, lie_where_the_environment_says) {
  const std::string id(32, 'a');
  ASSERT_EQ(::setenv("XDG_CONFIG_HOME", "/x/config", 1), 0);
  EXPECT_EQ(*default_credentials_folder(id), "/x/config/redoubt/" + id);
  ASSERT_EQ(::unsetenv("XDG_CONFIG_HOME"), 0);
  ASSERT_EQ(::setenv("HOME", "/home/x", 1), 0);
  EXPECT_EQ(*default_credentials_folder(id), "/home/x/.config/redoubt/" + id);
}

class People : public InAFolder {
 protected:
  void SetUp() override { ASSERT_TRUE(identities_.add("operator", {Role::pipeline_operator})); }
  Identities::Places places() {
    return {"workspace-1", folder_.path() / "identities.json", folder_.path() / "identities", credentials()};
  }
  Identities identities_ = *Identities::create(places());
};

TEST_F(People, sign_with_the_key_they_are_listed_with) {
  const auto key = *identities_.unlock("operator");
  const auto again = *Identities::open(places());
  EXPECT_TRUE(again.find("operator")->key.verify(view_of("m"), key.sign(view_of("m"))));
  EXPECT_EQ(again.find_by_key(key.public_key().key_id())->name, "operator");
  EXPECT_EQ(again.find_by_key(std::string(64, '0')).error().code, ErrorCode::not_found);
}

TEST_F(People, who_lack_a_role_are_told_which_and_who_has_it) {
  EXPECT_TRUE(identities_.require("operator", Permission::run_pipeline));
  auto refused = identities_.require("operator", Permission::approve).error();
  EXPECT_EQ(refused.code, ErrorCode::permission_denied);
  EXPECT_THAT(refused.message, HasSubstr("reviewer"));
  EXPECT_THAT(refused.hint, HasSubstr("no identity"));
  ASSERT_TRUE(identities_.add("maria", {Role::reviewer}));
  refused = identities_.require("operator", Permission::approve).error();
  EXPECT_THAT(refused.hint, HasSubstr("maria"));
  EXPECT_EQ(identities_.require("mallory", Permission::read_audit).error().code, ErrorCode::permission_denied);
}

TEST_F(People, have_the_rights_of_the_table) {
  const std::map<Role, std::set<Permission>> table = {
      {Role::pipeline_operator,
       {Permission::run_pipeline, Permission::deploy, Permission::manage_secrets, Permission::manage_keys,
        Permission::read_audit, Permission::manage_data}},
      {Role::reviewer, {Permission::approve, Permission::read_audit, Permission::hold_data}},
      {Role::auditor, {Permission::read_audit}},
      {Role::admin,
       {Permission::manage_identities, Permission::manage_keys, Permission::manage_secrets, Permission::read_audit,
        Permission::manage_data, Permission::hold_data, Permission::set_policy}}};
  for (const auto& [role, allowed] : table) {
    EXPECT_EQ(*parse_role(to_string(role)), role);
    for (int p = 0; p <= static_cast<int>(Permission::set_policy); ++p) {
      const auto permission = static_cast<Permission>(p);
      EXPECT_EQ(allows(role, permission), allowed.contains(permission)) << to_string(role) << ": " << to_string(permission);
    }
  }
  EXPECT_EQ(parse_role("root").error().code, ErrorCode::invalid_argument);
}

TEST_F(People, without_their_own_credential_are_refused) {
  ASSERT_TRUE(identities_.add("maria", {Role::reviewer}));
  EXPECT_EQ(identities_.unlock("maria", credentials() / "operator.key").error().code, ErrorCode::permission_denied);
  EXPECT_EQ(identities_.unlock("maria", credentials() / "none.key").error().code, ErrorCode::permission_denied);
  EXPECT_EQ(identities_.unlock("mallory").error().code, ErrorCode::permission_denied);
  EXPECT_TRUE(identities_.unlock("maria", credentials() / "maria.key"));
}

TEST_F(People, a_sealed_key_that_is_gone_was_taken_away) {
  ASSERT_TRUE(identities_.add("maria", {Role::reviewer}));
  for (const auto& file : std::filesystem::recursive_directory_iterator(folder_.path()))
    if (file.path().filename() == "maria.sealed") std::filesystem::remove(file.path());
  EXPECT_EQ(identities_.unlock("maria").error().code, ErrorCode::tampered);
}

TEST_F(People, a_credential_may_lie_elsewhere) {
  const auto path = folder_.path() / "usb" / "maria.key";
  ASSERT_TRUE(identities_.add("maria", {Role::reviewer}, path));
  EXPECT_TRUE(identities_.unlock("maria", path));
  EXPECT_EQ(identities_.unlock("maria").error().code, ErrorCode::permission_denied);
}

TEST_F(People, every_flipped_byte_of_a_sealed_key_is_tampered) {
  const auto path = folder_.path() / "identities" / "operator.sealed";
  const auto sealed = *read_file(path, 1 << 20);
  for (std::size_t i = 0; i < sealed.size(); ++i) {
    auto changed = sealed;
    changed[i] ^= 1;
    ASSERT_TRUE(write_file(path, changed));
    ASSERT_EQ(identities_.unlock("operator").error().code, ErrorCode::tampered) << i;
  }
}

TEST_F(People, keys_that_change_places_do_not_open) {
  ASSERT_TRUE(identities_.add("maria", {Role::reviewer}));
  const auto keys = folder_.path() / "identities";
  ASSERT_TRUE(write_file(keys / "operator.sealed", *read_file(keys / "maria.sealed", 1 << 20)));
  EXPECT_FALSE(identities_.unlock("operator", credentials() / "maria.key"));
  const auto credential = *vault::read_key_file(credentials() / "operator.key");
  const auto stranger = crypto::SigningKey::generate(crypto::SignatureAlgorithm::ed25519);
  ASSERT_TRUE(write_file(keys / "operator.sealed", seal_signing_key(stranger, credential, {"workspace-1", "operator"})));
  EXPECT_EQ(identities_.unlock("operator").error().code, ErrorCode::tampered);
}

// The file is in clear: what a change can't be kept from, the digest in the ledger shows.
TEST_F(People, every_flipped_byte_of_the_list_is_refused_or_changes_the_digest) {
  const auto text = *read_text_file(folder_.path() / "identities.json");
  const auto digest = identities_.digest();
  for (std::size_t i = 0; i < text.size(); ++i) {
    auto changed = text;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    ASSERT_TRUE(write_file(folder_.path() / "identities.json", changed));
    const auto opened = Identities::open(places());
    EXPECT_TRUE(opened ? opened->digest() != digest : opened.error().code == ErrorCode::tampered) << i;
  }
}

TEST_F(People, change_roles_and_the_digest_with_them) {
  const auto before = identities_.digest();
  ASSERT_TRUE(identities_.set_roles("operator", {Role::auditor}));
  EXPECT_NE(identities_.digest(), before);
  EXPECT_EQ(Identities::open(places())->digest(), identities_.digest());
  EXPECT_EQ(Identities::open(places())->require("operator", Permission::deploy).error().code, ErrorCode::permission_denied);
  EXPECT_EQ(identities_.set_roles("nobody", {Role::admin}).error().code, ErrorCode::permission_denied);
  EXPECT_EQ(identities_.set_roles("operator", {}).error().code, ErrorCode::invalid_argument);
}

// The ledger has its word before the list is in force, so a kill leaves the one list or the other, and no key of nobody.
TEST_F(People, a_change_that_was_cut_off_ends_as_the_ledger_says) {
  std::optional<Digest> recorded = identities_.digest();
  const auto ledger = [&]() -> Result<std::optional<Digest>> { return recorded; };
  const auto die = [](const Digest&) -> Status { return fail(ErrorCode::unavailable, "killed"); };
  ASSERT_FALSE(identities_.add("maria", {Role::reviewer}, {}, die));
  EXPECT_FALSE(identities_.find("maria"));
  auto opened = *Identities::open(places());
  ASSERT_TRUE(opened.settle(ledger));
  EXPECT_FALSE(opened.find("maria"));
  EXPECT_THAT(*list_folder(folder_.path() / "identities"), ElementsAre("operator.sealed"));

  ASSERT_FALSE(opened.add("maria", {Role::reviewer}, {}, [&](const Digest& digest) -> Status {
    recorded = digest;
    return die(digest);
  }));
  opened = *Identities::open(places());
  EXPECT_FALSE(opened.find("maria"));
  ASSERT_TRUE(opened.settle(ledger));
  EXPECT_TRUE(opened.unlock("maria"));
  EXPECT_EQ(Identities::open(places())->digest(), *recorded);
}

TEST_F(People, a_list_that_the_ledger_does_not_know_is_tampered) {
  const std::optional<Digest> recorded = identities_.digest();
  ASSERT_TRUE(identities_.set_roles("operator", {Role::pipeline_operator, Role::admin}));
  auto opened = *Identities::open(places());
  EXPECT_EQ(opened.settle([&]() -> Result<std::optional<Digest>> { return recorded; }).error().code, ErrorCode::tampered);
  EXPECT_TRUE(opened.settle([]() -> Result<std::optional<Digest>> { return std::nullopt; }));  // a workspace that is being made
}

TEST_F(People, whoever_was_added_since_by_another_process_is_known_by_his_key) {
  auto other = *Identities::open(places());
  const auto maria = *other.add("maria", {Role::reviewer});
  ASSERT_FALSE(identities_.find("maria"));
  const auto found = identities_.find_by_key(maria.key.key_id());
  ASSERT_TRUE(found);
  EXPECT_EQ(found->name, "maria");
  EXPECT_EQ(identities_.find_by_key("none").error().code, ErrorCode::not_found);
}

TEST_F(People, need_a_free_and_plain_name) {
  EXPECT_EQ(identities_.add("operator", {Role::admin}).error().code, ErrorCode::already_exists);
  for (const char* name : {"", "A", "a/b", "a b", "../x"}) {
    EXPECT_EQ(identities_.add(name, {Role::admin}).error().code, ErrorCode::invalid_argument) << name;
  }
  EXPECT_EQ(identities_.add("maria", {}).error().code, ErrorCode::invalid_argument);
}

}  // namespace
}  // namespace redoubt::governance
