// SPDX-License-Identifier: Apache-2.0
#include "crypto/x509.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/file.h"

namespace redoubt::crypto {
namespace {

using ::testing::ElementsAre;

class Certificates : public ::testing::Test {
 protected:
  CertificateAndKey ca() { return *make_ca({.not_before = now_}); }
  LeafOptions server() {
    return {.common_name = "endpoint",
            .dns_names = {"localhost", "*.example.org"},
            .ip_addresses = {"127.0.0.1", "::1"},
            .not_before = now_};
  }
  // The judge: the openssl program with its strict checks of RFC 5280.
  bool openssl_accepts(const std::string& root, const std::string& leaf, const std::string& how) {
    EXPECT_TRUE(write_file(folder_.path() / "ca.pem", root));
    EXPECT_TRUE(write_file(folder_.path() / "leaf.pem", leaf));
    const auto command =
        "cd " + folder_.path().string() + " && openssl verify -x509_strict -CAfile ca.pem " + how + " leaf.pem >log 2>&1";
    return std::system(command.c_str()) == 0;
  }
  TimePoint now_ = SystemClock().now() - std::chrono::minutes(5);
  TemporaryFolder folder_ = *TemporaryFolder::create();
};

TEST_F(Certificates, openssl_accepts_the_server_certificate_for_its_names_only) {
  const auto root = ca();
  const auto leaf = *issue_leaf(root, server());
  for (const char* how :
       {"-verify_hostname localhost", "-verify_hostname a.example.org", "-verify_ip 127.0.0.1", "-verify_ip ::1"}) {
    EXPECT_TRUE(openssl_accepts(root.certificate, leaf.certificate, std::string("-purpose sslserver ") + how)) << how;
  }
  EXPECT_FALSE(openssl_accepts(root.certificate, leaf.certificate, "-purpose sslserver -verify_hostname evil.org"));
  EXPECT_FALSE(openssl_accepts(root.certificate, leaf.certificate, "-purpose sslclient"));
  EXPECT_FALSE(openssl_accepts(ca().certificate, leaf.certificate, "-purpose sslserver"));
}

TEST_F(Certificates, openssl_accepts_the_client_certificate_as_such) {
  const auto root = ca();
  const auto leaf = *issue_leaf(root, {.use = LeafUse::client, .common_name = "operator", .not_before = now_});
  EXPECT_TRUE(openssl_accepts(root.certificate, leaf.certificate, "-purpose sslclient"));
  EXPECT_FALSE(openssl_accepts(root.certificate, leaf.certificate, "-purpose sslserver"));
}

TEST_F(Certificates, openssl_accepts_a_peers_certificate_at_both_ends) {
  const auto root = ca();
  const auto leaf = *issue_leaf(root, {.use = LeafUse::peer, .common_name = "rank", .dns_names = {"*.job.internal"}, .not_before = now_});
  EXPECT_TRUE(openssl_accepts(root.certificate, leaf.certificate, "-purpose sslclient"));
  EXPECT_TRUE(openssl_accepts(root.certificate, leaf.certificate, "-purpose sslserver -verify_hostname rank-3.job.internal"));
  EXPECT_FALSE(issue_leaf(root, {.use = LeafUse::peer, .common_name = "rank", .not_before = now_}));
}

TEST_F(Certificates, a_leaf_cannot_issue) {
  const auto root = ca();
  EXPECT_EQ(issue_leaf(*issue_leaf(root, server()), server()).error().code, ErrorCode::invalid_argument);
}

TEST_F(Certificates, say_what_was_asked_for) {
  const auto root = ca();
  const auto info = *read_certificate(issue_leaf(root, server())->certificate);
  EXPECT_EQ(info.common_name, "endpoint");
  EXPECT_THAT(info.dns_names, ElementsAre("localhost", "*.example.org"));
  EXPECT_THAT(info.ip_addresses, ElementsAre("127.0.0.1", "::1"));
  EXPECT_EQ(info.not_before, std::chrono::floor<std::chrono::seconds>(now_));
  EXPECT_EQ(info.not_after - info.not_before, std::chrono::hours(24 * 90));
  EXPECT_FALSE(info.is_ca);
  EXPECT_TRUE(read_certificate(root.certificate)->is_ca);
}

TEST_F(Certificates, a_leaf_never_outlives_its_ca) {
  const auto root = *make_ca({.not_before = now_, .days = 10});
  EXPECT_EQ(read_certificate(issue_leaf(root, server())->certificate)->not_after,
            read_certificate(root.certificate)->not_after);
  auto late = server();
  late.not_before = now_ + std::chrono::hours(24 * 11);
  EXPECT_EQ(issue_leaf(root, late).error().code, ErrorCode::invalid_argument);
}

TEST_F(Certificates, refuse_names_that_are_none) {
  const auto root = ca();
  for (const auto& name :
       std::vector<std::string>{"", "a b", "a,DNS:evil.org", "-a", "a..b", "*", "a.*.b", std::string(64, 'a')}) {
    auto options = server();
    options.dns_names = {name};
    EXPECT_EQ(issue_leaf(root, options).error().code, ErrorCode::invalid_argument) << name;
  }
  auto options = server();
  options.ip_addresses = {"127.0.0.256"};
  EXPECT_EQ(issue_leaf(root, options).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(issue_leaf(root, {.common_name = "x", .not_before = now_}).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(issue_leaf(root, {.use = LeafUse::client, .not_before = now_}).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(make_ca({.not_before = now_, .days = 0}).error().code, ErrorCode::invalid_argument);
}

TEST_F(Certificates, a_stored_pair_loads_and_a_mixed_one_does_not) {
  const auto one = ca(), two = ca();
  EXPECT_TRUE(load_certificate(one.certificate, one.key.to_pem()));
  EXPECT_EQ(load_certificate(one.certificate, two.key.to_pem()).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(read_certificate("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").error().code,
            ErrorCode::invalid_argument);
}

}  // namespace
}  // namespace redoubt::crypto
