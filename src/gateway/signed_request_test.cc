// SPDX-License-Identifier: Apache-2.0
//
// The signatures are AWS's own: get-vanilla and post-header-key-case of the Signature Version 4 test suite.
#include "gateway/signed_request.h"

#include <gtest/gtest.h>

#include "crypto/hash.h"
#include "gateway/access.h"
#include "gateway/authentication.h"
#include "gateway/event_stream.h"
#include "provider/aws/api/sigv4.h"

namespace redoubt::gateway {
namespace {

using namespace std::chrono_literals;

const Secret kSecret{std::string_view("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")};
const SigningRules kRules{.hosts = {"example.amazonaws.com"}, .region = "us-east-1", .service = "service"};
const TimePoint kTime = parse_rfc3339("2015-08-30T12:36:00Z").value();
const std::string kEmpty = crypto::sha256("").hex();

http::Request vanilla(const std::string& method = "GET", const std::string& signature = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31") {
  http::Request request;
  request.method = method;
  request.path = "/";
  request.headers.add("host", "example.amazonaws.com");
  request.headers.add("x-amz-date", "20150830T123600Z");
  request.headers.add("authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature=" + signature);
  return request;
}

http::Request with(http::Request request, const std::string& name, const std::string& value) {
  http::Headers headers;
  for (const auto& header : request.headers)
    if (header.name != name) headers.add(header.name, header.value);
  headers.add(name, value);
  request.headers = headers;
  return request;
}

bool is_good(const http::Request& request, TimePoint now = kTime, const SigningRules& rules = kRules) {
  const auto given = read_signed_request(request, rules, now);
  return given && signature_fits(*given, request, rules, kSecret, kEmpty);
}

TEST(SignedRequest, awss_own_examples_are_taken) {
  EXPECT_TRUE(is_good(vanilla()));
  EXPECT_TRUE(is_good(vanilla("POST", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b")));
}

TEST(SignedRequest, what_was_signed_may_not_change) {
  EXPECT_FALSE(is_good(vanilla("POST")));
  auto other = vanilla();
  other.path = "/a";
  EXPECT_FALSE(is_good(other));
  other = vanilla();
  other.query = "a=1";
  EXPECT_FALSE(is_good(other));
  const auto given = read_signed_request(vanilla(), kRules, kTime).value();
  EXPECT_FALSE(signature_fits(given, vanilla(), kRules, kSecret, crypto::sha256("x").hex()));
  EXPECT_FALSE(signature_fits(given, vanilla(), kRules, Secret(std::string_view("other")), kEmpty));
}

TEST(SignedRequest, clocks_may_differ_by_five_minutes) {
  EXPECT_TRUE(is_good(vanilla(), kTime + 300s));
  EXPECT_TRUE(is_good(vanilla(), kTime - 300s));
  EXPECT_FALSE(is_good(vanilla(), kTime + 301s));
  EXPECT_FALSE(is_good(vanilla(), kTime - 301s));
}

TEST(SignedRequest, only_the_configured_host_region_and_service_count) {
  for (auto rules : {SigningRules{.hosts = {}, .region = "us-east-1", .service = "service"}, SigningRules{.hosts = {"other"}, .region = "us-east-1", .service = "service"},
                     SigningRules{.hosts = kRules.hosts, .region = "eu-west-1", .service = "service"}, SigningRules{.hosts = kRules.hosts, .region = "us-east-1", .service = "s3"}})
    EXPECT_FALSE(read_signed_request(vanilla(), rules, kTime));
  EXPECT_TRUE(read_signed_request(with(vanilla(), "host", "EXAMPLE.amazonaws.com:8443"), kRules, kTime));
}

TEST(SignedRequest, malformed_and_unsigned_parts_are_refused) {
  const std::string scope = "AWS4-HMAC-SHA256 Credential=A/20150830/us-east-1/service/aws4_request, ";
  const std::string signature = "Signature=" + std::string(64, 'a');
  for (const auto& value : {scope, scope + "SignedHeaders=host;x-amz-date, Signature=short", scope + "SignedHeaders=x-amz-date;host, " + signature,
                            scope + "SignedHeaders=host, " + signature, scope + "SignedHeaders=host;host;x-amz-date, " + signature, scope + "SignedHeaders=host;x-amz-date;zz, " + signature,
                            scope + signature + ", SignedHeaders=host;x-amz-date", scope + "SignedHeaders=host;x-amz-date, " + signature + ", Extra=1",
                            "AWS4-HMAC-SHA256 Credential=A/20150831/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, " + signature,
                            "AWS4-HMAC-SHA256 Credential=A/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, " + signature})
    EXPECT_FALSE(read_signed_request(with(vanilla(), "authorization", value), kRules, kTime)) << value;
  for (auto* date : {"20150830T123600", "2015-08-30T12:36:00Z", "20151330T123600Z", "20150830T126100Z", ""})
    EXPECT_FALSE(read_signed_request(with(vanilla(), "x-amz-date", date), kRules, kTime)) << date;
  for (auto* hash : {"UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", ""})
    EXPECT_FALSE(read_signed_request(with(with(vanilla(), "x-amz-content-sha256", hash), "authorization", scope + "SignedHeaders=host;x-amz-content-sha256;x-amz-date, " + signature), kRules, kTime)) << hash;
  EXPECT_FALSE(read_signed_request(with(vanilla(), "x-amz-target", "unsigned"), kRules, kTime));
  EXPECT_FALSE(read_signed_request(with(vanilla(), "content-type", "unsigned"), kRules, kTime));
}

class SignedKeysTest : public ::testing::Test {
 protected:
  std::pair<ApiKeyInfo, Secret> make(bool is_aws) {
    ApiKeyInfo wanted;
    wanted.name = "pair";
    wanted.is_aws = is_aws;
    return keys_->create(wanted).value();
  }
  http::Request signed_by(const std::string& access_key_id, const Secret& secret, const std::string& body, bool names_hash) {
    provider::aws::SignableRequest signable;
    signable.method = "POST";
    signable.path = "/endpoints/bot/invocations";
    signable.headers.add("host", "localhost");
    signable.payload_hash = crypto::sha256(body).hex();
    if (names_hash) signable.headers.add("x-amz-content-sha256", signable.payload_hash);
    http::Request request;
    request.method = signable.method;
    request.path = signable.path;
    request.body = body;
    for (const auto& header : provider::aws::signed_headers(signable, {"us-east-1", "sagemaker", clock_.now()}, {access_key_id, secret}))
      request.headers.add(header.name == "Authorization" ? "authorization" : header.name, header.value);
    return request;
  }
  FakeClock clock_;
  std::string stored_;
  std::unique_ptr<ApiKeys> keys_ = ApiKeys::open({[this] { return stored_; }, [this](const std::string& json) { return stored_ = json, Status(); }}, clock_).value();
  Authentication authentication_{*keys_, clock_, {.hosts = {"localhost"}}};
};

TEST_F(SignedKeysTest, a_pair_signs_and_its_body_counts) {
  const auto [info, secret] = make(true);
  for (const bool names_hash : {false, true}) {
    auto request = signed_by(access_key_id_of(info), secret, "{}", names_hash);
    EXPECT_TRUE(authentication_.before_body(request));
    ASSERT_TRUE(authentication_.with_body(request)) << authentication_.with_body(request).error().message;
    request.body = "[]";
    EXPECT_FALSE(authentication_.with_body(request));
  }
  // Where the request names its hash, a wrong signature is refused before the body is kept.
  EXPECT_FALSE(authentication_.before_body(signed_by(access_key_id_of(info), Secret(std::string_view("no")), "{}", true)));
  EXPECT_FALSE(authentication_.with_body(signed_by(access_key_id_of(info), Secret(std::string_view("no")), "{}", false)));
  EXPECT_FALSE(authentication_.before_body(signed_by("RDTK000000000000", secret, "{}", false)));
  EXPECT_FALSE(authentication_.with_body(signed_by("", Secret(), "{}", false)));
}

TEST_F(SignedKeysTest, a_pair_ends_as_a_key_does_and_is_no_bearer) {
  const auto [info, secret] = make(true);
  const auto again = ApiKeys::open({[this] { return stored_; }, {}}, clock_).value();
  EXPECT_TRUE(Authentication(*again, clock_, {.hosts = {"localhost"}}).with_body(signed_by(access_key_id_of(info), secret, "{}", false)));
  EXPECT_FALSE(keys_->authenticate("rdt_" + info.id + "_" + to_text(secret.reveal(SecretAccess::for_user()))));
  ASSERT_TRUE(keys_->revoke(info.id));
  EXPECT_FALSE(authentication_.with_body(signed_by(access_key_id_of(info), secret, "{}", false)));
  // An API key's hash is no secret of a pair.
  const auto plain = make(false).first;
  EXPECT_FALSE(authentication_.before_body(signed_by(access_key_id_of(plain), Secret(), "{}", false)));
}

// The name of a host has no case (RFC 4343), and a fingerprint may stand as OpenSSL prints it.
TEST_F(SignedKeysTest, a_certificate_is_known_however_its_name_is_written) {
  const std::string printed = "9F:86:D0:81:88:4C:7D:65:9A:2F:EA:A0:C5:5A:D0:15:A3:BF:4F:1B:2B:0B:82:2C:D1:5D:6C:15:B0:F0:0A:08";
  const Json rules = {{"client_certificates", {{"ca_file", "c"}, {"clients", {{{"name", "Batch.example.com"}}, {{"name", printed}}, {{"name", "Jane Doe"}}}}}}};
  const auto access = read_access(rules).value();
  const Authentication authentication(*keys_, clock_, {}, nullptr, access.certificates);
  const auto id_of = [&](http::ClientCertificate shown) {
    http::Request request;
    request.client = std::make_shared<const http::ClientCertificate>(std::move(shown));
    const auto known = authentication.with_body(request);
    return known ? known->id : "";
  };
  EXPECT_EQ(id_of({"", {"other.example.com", "batch.Example.com"}, ""}), "certificate Batch.example.com");
  EXPECT_EQ(id_of({"", {"x.batch.example.com"}, ""}), "");
  EXPECT_EQ(id_of({"nobody", {}, crypto::sha256("test").hex()}), "certificate " + crypto::sha256("test").hex());
  EXPECT_EQ(id_of({"Jane Doe", {}, ""}), "certificate Jane Doe");
  EXPECT_EQ(id_of({"jane doe", {}, ""}), "");
}

TEST(EventStream, a_message_is_framed_as_botocore_reads_it) {
  // botocore's tests/unit/test_eventstream.py: EMPTY_MESSAGE and PAYLOAD_NO_HEADERS, INT8/… leave out; headers as PAYLOAD_ONE_STR_HEADER.
  EXPECT_EQ(to_hex(view_of(event_message({}, ""))), "000000100000000005c248eb7d98c8ff");
  EXPECT_EQ(to_hex(view_of(event_message({}, "{'foo':'bar'}"))), "0000001d00000000fd528c5a7b27666f6f273a27626172277dc3653936");
  EXPECT_EQ(to_hex(view_of(event_message({{"content-type", "application/json"}}, "{'foo':'bar'}"))),
            "0000003d0000002007fd83960c636f6e74656e742d7479706507001061" "70706c69636174696f6e2f6a736f6e7b27666f6f273a27626172277d8d9c08b1");
}

}  // namespace
}  // namespace redoubt::gateway
