// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

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
    auto server = HubServer::start({folder_.path() / "root", "127.0.0.1", 0, certificate_.certificate_pem, certificate_.private_key_pem, Secret(kToken)});
    ASSERT_TRUE(server) << server.error().message;
    server_ = std::move(*server);
  }
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

TEST_F(HubTest, mirror_is_read_only) {
  for (const char* target : {"/acme/tiny/resolve/main/config.json", "/api/models/acme/tiny", "/api/models/acme/tiny/commit/main"}) {
    auto asked = request(target);
    asked.method = "POST";
    EXPECT_EQ(code_of(asked), ErrorCode::invalid_argument) << target;
    asked.method = "DELETE";
    EXPECT_EQ(code_of(asked), ErrorCode::invalid_argument) << target;
  }
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

TEST_F(HubTest, start_refuses_an_absent_folder_and_a_short_token) {
  EXPECT_EQ(HubServer::start({folder_.path() / "absent", "127.0.0.1", 0, certificate_.certificate_pem, certificate_.private_key_pem, Secret(kToken)}).error().code, ErrorCode::not_found);
  EXPECT_EQ(HubServer::start({folder_.path(), "127.0.0.1", 0, certificate_.certificate_pem, certificate_.private_key_pem, Secret(std::string_view("short"))}).error().code, ErrorCode::invalid_argument);
}

}  // namespace
}  // namespace redoubt::hub
