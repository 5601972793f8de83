// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdio>
#include <filesystem>

#include "crypto/hash.h"
#include "http/client.h"
#include "http/testing_client.h"
#include "hub/server.h"

namespace redoubt::hub {
namespace {

namespace fs = std::filesystem;

class HubTest : public ::testing::Test {
 protected:
  void SetUp() override {
    put("acme/tiny/config.json", "{}");
    put("acme/tiny/model.safetensors", "weights");
    put("acme/tiny/sub/folder/notes.txt", "notes");
    put("acme/tiny/.git/config", "secret");
    put("acme/tiny/sub/.env", "secret");
    put("outside.txt", "secret");
    ASSERT_TRUE(write_file(folder_.path() / "ca.pem", certificate_.ca_pem));
    start();
  }
  // Refuses files that hold the word "evil", and counts its looks.
  Options options() {
    Options options;
    options.root = folder_.path() / "root";
    options.certificate_pem = certificate_.certificate_pem;
    options.private_key_pem = certificate_.private_key_pem;
    options.token = Secret(kToken);
    options.scanner = "test";
    options.scan = [this](const Repository& repository) -> Result<std::vector<std::string>> {
      ++scans_;
      std::vector<std::string> findings;
      for (const auto& file : repository.files) {
        if (read_text_file(file.location)->find("evil") != std::string::npos) findings.push_back(file.path + ": evil");
      }
      return findings;
    };
    return options;
  }
  void start() {
    server_.reset();
    auto server = HubServer::start(options());
    ASSERT_TRUE(server) << server.error().message;
    server_ = std::move(*server);
  }
  std::string make_token(const std::string& name, Role role = Role::read, std::vector<std::string> repositories = {"*/*"}, std::optional<TimePoint> expires = {}) {
    Token token{.id = "", .name = name, .hash = {}, .role = role, .repositories = std::move(repositories), .created = {}, .expires = expires, .is_revoked = false};
    const auto made = TokenFile::create(state() / kTokensName, token);
    EXPECT_TRUE(made) << made.error().message;
    return to_text(made->reveal(SecretAccess::for_user()));
  }
  fs::path state() const { return folder_.path() / "root/.hub"; }
  void put(const std::string& path, std::string_view text) {
    const auto whole = folder_.path() / "root" / path;
    ASSERT_TRUE(make_folder(whole.parent_path()));
    ASSERT_TRUE(write_file(whole, text));
  }
  http::ClientRequest request(const std::string& target, std::string_view token = kToken) const {
    http::ClientRequest out;
    out.url = "https://localhost:" + std::to_string(server_->port()) + target;
    if (!token.empty()) out.bearer = Secret(token);
    out.attempts_max = 1;
    return out;
  }
  Result<std::pair<http::ClientResponse, std::string>> fetch(const http::ClientRequest& asked) const {
    return http::Client(http::ClientOptions{.ca_file = (folder_.path() / "ca.pem").string()}).fetch(asked);
  }
  Result<std::pair<http::ClientResponse, std::string>> fetch(const std::string& target) const { return fetch(request(target)); }
  Json json(const std::string& target) const {
    const auto answered = fetch(target);
    EXPECT_TRUE(answered) << target;
    return answered ? *parse_json(answered->second, target) : Json();
  }
  ErrorCode code_of(const http::ClientRequest& asked) const {
    const auto answered = fetch(asked);
    EXPECT_FALSE(answered);
    return answered ? ErrorCode::internal : answered.error().code;
  }
  std::string commit() const { return json("/api/models/acme/tiny")["sha"]; }

  static constexpr std::string_view kToken = "hf_right_token";
  std::atomic<int> scans_ = 0;
  TemporaryFolder folder_ = *TemporaryFolder::create();
  http::testing::TestCertificate certificate_ = http::testing::make_test_certificate();
  std::unique_ptr<HubServer> server_;
};

std::vector<std::string> paths_of(const Json& entries, const char* key) {
  std::vector<std::string> out;
  for (const auto& entry : entries) out.push_back(entry[key]);
  return out;
}

TEST_F(HubTest, every_route_needs_the_token) {
  for (const char* target : {"/api/models/acme/tiny", "/api/whoami-v2", "/acme/tiny/resolve/main/config.json", "/nothing"}) {
    for (const char* token : {"", "hf_wrong_token", "hf_right_toke", "hf_right_token2"}) {
      EXPECT_EQ(code_of(request(target, token)), ErrorCode::permission_denied) << target << " " << token;
    }
  }
}

TEST_F(HubTest, listing_names_every_file_but_hidden_ones) {
  const auto info = json("/api/models/acme/tiny/revision/main");
  EXPECT_EQ(paths_of(info["siblings"], "rfilename"), (std::vector<std::string>{"config.json", "model.safetensors", "sub/folder/notes.txt"}));
  EXPECT_EQ(info["siblings"][1]["lfs"]["sha256"], crypto::sha256("weights").hex());
  EXPECT_EQ(paths_of(json("/api/models/acme/tiny/tree/main?recursive=true"), "path"),
            (std::vector<std::string>{"config.json", "model.safetensors", "sub", "sub/folder", "sub/folder/notes.txt"}));
  EXPECT_EQ(paths_of(json("/api/models/acme/tiny/tree/main?recursive=False"), "path"), (std::vector<std::string>{"config.json", "model.safetensors", "sub"}));
  EXPECT_EQ(paths_of(json("/api/models/acme/tiny/tree/main/sub"), "path"), std::vector<std::string>{"sub/folder"});
}

TEST_F(HubTest, commit_is_made_of_the_contents_alone) {
  const std::string before = commit();
  EXPECT_THAT(before, ::testing::MatchesRegex("[0-9a-f]{40}"));
  fs::last_write_time(folder_.path() / "root/acme/tiny/config.json", fs::file_time_type::clock::now() + std::chrono::hours(1));
  EXPECT_EQ(commit(), before);
  put("acme/tiny/config.json", "[]");
  const std::string after = commit();
  EXPECT_NE(after, before);
  EXPECT_EQ(code_of(request("/acme/tiny/resolve/" + before + "/config.json")), ErrorCode::not_found);
  EXPECT_EQ(fetch("/acme/tiny/resolve/" + after + "/config.json")->second, "[]");
}

TEST_F(HubTest, file_comes_with_its_digest_and_in_ranges) {
  auto asked = request("/acme/tiny/resolve/main/model.safetensors");
  const auto whole = *fetch(asked);
  EXPECT_EQ(whole.second, "weights");
  EXPECT_EQ(*whole.first.headers.find("etag"), "\"" + crypto::sha256("weights").hex() + "\"");
  EXPECT_EQ(*whole.first.headers.find("x-linked-size"), "7");
  EXPECT_EQ(*whole.first.headers.find("x-repo-commit"), commit());
  asked.offset = 2;
  asked.length = 3;
  EXPECT_EQ(fetch(asked)->second, "igh");
  asked = request("/acme/tiny/resolve/main/config.json");
  asked.method = "HEAD";
  EXPECT_EQ(*fetch(asked)->first.headers.find("etag"), "\"9e26dfeeb6e641a33dae4961196235bdb965b21b\"");  // git hash-object of {}
}

TEST_F(HubTest, nothing_outside_of_a_repository_is_served) {
  for (const char* target : {"/acme/tiny/resolve/main/.git/config", "/acme/tiny/resolve/main/sub/.env", "/acme/tiny/resolve/main/sub",
                             "/acme/tiny/resolve/main/%2e%2e%2f%2e%2e%2foutside.txt", "/acme/tiny/resolve/main/sub%2f%2e%2e%2f%2e%2e%2f%2e%2e%2foutside.txt",
                             "/acme/%2e%2e/resolve/main/outside.txt", "/api/models/%2e%2e/root", "/api/models/acme/.git", "/api/models/acme/absent"}) {
    const auto answered = fetch(target);
    ASSERT_FALSE(answered) << target;
    EXPECT_NE(answered.error().code, ErrorCode::unavailable) << target;
  }
}

TEST_F(HubTest, dot_segments_are_refused_as_sent) {
  http::testing::TestClient client(certificate_.ca_pem, server_->port());
  client.send("GET /acme/tiny/resolve/main/../../../../outside.txt HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer hf_right_token\r\n\r\n");
  const auto answer = client.read_to_end();
  EXPECT_EQ(answer.find("HTTP/1.1 400"), 0u) << answer;
}

TEST_F(HubTest, repository_with_a_link_is_not_served) {
  fs::create_symlink(folder_.path() / "root/outside.txt", folder_.path() / "root/acme/tiny/link.txt");
  EXPECT_EQ(code_of(request("/api/models/acme/tiny")), ErrorCode::not_found);
  fs::create_directory_symlink("/etc", folder_.path() / "root/acme/etc");
  EXPECT_EQ(code_of(request("/api/models/acme/etc")), ErrorCode::not_found);
}

TEST_F(HubTest, a_token_that_reads_does_not_write) {
  for (const char* target : {"/acme/tiny/resolve/main/config.json", "/api/models/acme/tiny", "/api/models/acme/tiny/commit/main", "/api/repos/create", "/acme/tiny.git/info/lfs/objects/batch"}) {
    auto asked = request(target);
    asked.method = "POST";
    EXPECT_EQ(code_of(asked), ErrorCode::permission_denied) << target;
    asked.method = "DELETE";
    EXPECT_EQ(code_of(asked), ErrorCode::permission_denied) << target;
  }
  auto asked = request("/api/uploads/acme/tiny/" + std::string(64, 'a') + "/0?size=1&expires=99999999999&signature=" + std::string(64, 'b'), "");
  asked.method = "PUT";
  EXPECT_EQ(code_of(asked), ErrorCode::permission_denied);
}

TEST_F(HubTest, paths_info_answers_what_is_there) {
  auto asked = request("/api/models/acme/tiny/paths-info/main");
  asked.method = "POST";
  asked.headers.add("Content-Type", "application/json");
  asked.body = R"({"paths":["config.json","sub","absent","../outside.txt"]})";
  EXPECT_EQ(paths_of(*parse_json(fetch(asked)->second, "answer"), "path"), (std::vector<std::string>{"config.json", "sub"}));
  for (const char* body : {"", "[", "[]", R"({"paths":7})", R"({"paths":[7]})"}) {
    asked.body = body;
    EXPECT_EQ(code_of(asked), ErrorCode::invalid_argument) << body;
  }
}

TEST_F(HubTest, start_refuses_an_absent_folder_a_short_token_and_none) {
  auto asked = options();
  asked.root = folder_.path() / "absent";
  EXPECT_EQ(HubServer::start(std::move(asked)).error().code, ErrorCode::not_found);
  asked = options();
  asked.token = Secret(std::string_view("short"));
  EXPECT_EQ(HubServer::start(std::move(asked)).error().code, ErrorCode::invalid_argument);
  asked = options();
  asked.token = {};
  EXPECT_EQ(HubServer::start(std::move(asked)).error().code, ErrorCode::invalid_argument);
}

TEST_F(HubTest, what_the_scan_refuses_is_not_served_until_it_is_mended) {
  put("acme/bad/config.json", "evil");
  const auto answered = fetch("/api/models/acme/bad");
  ASSERT_FALSE(answered);
  EXPECT_EQ(answered.error().code, ErrorCode::permission_denied);
  EXPECT_FALSE(fetch("/acme/bad/resolve/main/config.json"));
  EXPECT_EQ(json("/api/models").size(), 1u);
  put("acme/bad/config.json", "{}");
  EXPECT_TRUE(fetch("/acme/bad/resolve/main/config.json"));
  EXPECT_EQ(json("/api/models").size(), 2u);
}

TEST_F(HubTest, a_file_that_changes_after_the_scan_is_looked_at_again) {
  commit();
  const int before = scans_;
  EXPECT_TRUE(fetch("/acme/tiny/resolve/main/config.json"));
  EXPECT_EQ(scans_, before);
  // In place and with its old time: the change of the inode's time shows it.
  const auto file = folder_.path() / "root/acme/tiny/config.json";
  const auto time = fs::last_write_time(file);
  FILE* open = std::fopen(file.c_str(), "r+");
  ASSERT_NE(open, nullptr);
  std::fputs("[]", open);
  std::fclose(open);
  fs::last_write_time(file, time);
  EXPECT_EQ(fetch("/acme/tiny/resolve/main/config.json")->second, "[]");
  EXPECT_EQ(scans_, before + 1);
}

TEST_F(HubTest, what_was_scanned_is_remembered_and_forgotten_for_another_scanner) {
  commit();
  const int before = scans_;
  start();
  commit();
  EXPECT_EQ(scans_, before);
  server_.reset();
  auto asked = options();
  asked.scanner = "newer";
  server_ = *HubServer::start(std::move(asked));
  commit();
  EXPECT_EQ(scans_, before + 1);
}

TEST_F(HubTest, a_token_sees_what_its_patterns_cover_until_it_is_revoked) {
  put("other/model/config.json", "{}");
  const std::string token = make_token("reader", Role::read, {"acme/*"});
  EXPECT_TRUE(fetch(request("/api/models/acme/tiny", token)));
  EXPECT_EQ(code_of(request("/api/models/other/model", token)), ErrorCode::not_found);
  EXPECT_EQ(code_of(request("/other/model/resolve/main/config.json", token)), ErrorCode::not_found);
  EXPECT_EQ(parse_json(fetch(request("/api/models", token))->second, "models")->size(), 1u);
  ASSERT_TRUE(TokenFile::revoke(state() / kTokensName, "reader"));
  EXPECT_EQ(code_of(request("/api/models/acme/tiny", token)), ErrorCode::permission_denied);
  const std::string old = make_token("old", Role::read, {"*/*"}, SystemClock().now() - std::chrono::hours(1));
  EXPECT_EQ(code_of(request("/api/models/acme/tiny", old)), ErrorCode::permission_denied);
  EXPECT_EQ(read_text_file(state() / kTokensName)->find(token), std::string::npos);
}

TEST_F(HubTest, a_gated_model_needs_a_grant) {
  const std::string token = make_token("reader");
  ASSERT_TRUE(GateFile::change(state() / kGatesName, [](Gates& gates) -> Status {
    gates["Acme/*"];
    return {};
  }));
  EXPECT_EQ(parse_json(fetch(request("/api/models/acme/tiny", token))->second, "info")->at("gated"), "manual");
  EXPECT_EQ(code_of(request("/acme/tiny/resolve/main/config.json", token)), ErrorCode::permission_denied);
  EXPECT_EQ(code_of(request("/api/models/acme/tiny/auth-check", token)), ErrorCode::permission_denied);
  ASSERT_TRUE(GateFile::change(state() / kGatesName, [](Gates& gates) -> Status {
    gates["Acme/*"].insert("reader");
    return {};
  }));
  EXPECT_TRUE(fetch(request("/acme/tiny/resolve/main/config.json", token)));
}

TEST_F(HubTest, a_broken_file_of_tokens_lets_nobody_in) {
  const std::string token = make_token("reader");
  ASSERT_TRUE(fetch(request("/api/models/acme/tiny", token)));
  ASSERT_TRUE(write_file(state() / kTokensName, std::string_view("{")));
  EXPECT_EQ(code_of(request("/api/models/acme/tiny", token)), ErrorCode::permission_denied);
}

TEST_F(HubTest, each_download_is_in_the_audit_file_without_the_token) {
  const std::string token = make_token("reader");
  auto asked = request("/acme/tiny/resolve/main/model.safetensors", token);
  ASSERT_TRUE(fetch(asked));
  asked.offset = 2;
  asked.length = 3;
  ASSERT_TRUE(fetch(asked));
  server_.reset();
  const std::string text = *read_text_file(state() / "audit.jsonl");
  EXPECT_EQ(text.find(token), std::string::npos);
  std::vector<Json> lines;
  for (std::size_t begin = 0; begin < text.size(); begin = text.find('\n', begin) + 1) lines.push_back(*parse_json(text.substr(begin, text.find('\n', begin) - begin), "line"));
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_EQ(lines[0]["event"], "download");
  EXPECT_EQ(lines[0]["name"], "reader");
  EXPECT_EQ(lines[0]["bytes"], 7);
  EXPECT_EQ(lines[0]["sha256"], crypto::sha256("weights").hex());
  EXPECT_EQ(lines[1]["event"], "sent");
  EXPECT_EQ(lines[2]["offset"], 2);
  EXPECT_EQ(lines[3]["bytes"], 3);
  EXPECT_TRUE(check_audit(state() / "audit.jsonl")->problems.empty());
  auto cut = text;
  cut.erase(text.find('\n') + 1, text.find('\n', text.find('\n') + 1) - text.find('\n'));
  ASSERT_TRUE(write_file(state() / "audit.jsonl", cut));
  EXPECT_EQ(check_audit(state() / "audit.jsonl")->problems.size(), 1u);
}

TEST_F(HubTest, pages_of_a_tree_hang_together) {
  std::vector<std::string> paths;
  for (int cursor = 0; cursor < 4; ++cursor) {
    const auto answered = fetch("/api/models/acme/tiny/tree/main?recursive=true&limit=1&cursor=" + std::to_string(cursor));
    const Json page = *parse_json(answered->second, "page");
    ASSERT_EQ(page.size(), 1u);
    paths.push_back(page[0]["path"]);
    EXPECT_EQ(answered->first.headers.find("link") != nullptr, cursor + 1 < 5);
  }
  EXPECT_EQ(paths.size(), 4u);
  EXPECT_EQ(code_of(request("/api/models/acme/tiny/tree/main?limit=x")), ErrorCode::invalid_argument);
}

}  // namespace
}  // namespace redoubt::hub
