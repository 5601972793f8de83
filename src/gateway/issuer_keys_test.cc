// SPDX-License-Identifier: Apache-2.0
//
// Where an issuer's keys are and when they are fetched again. What a real HTTPS server makes of it, tests/oracle/gateway_issuer_test.py asks.
#include "gateway/issuer_keys.h"

#include <gtest/gtest.h>

#include <atomic>

#include "base/json.h"
#include "crypto/sign.h"

namespace redoubt::gateway {
namespace {

using namespace std::chrono_literals;

TEST(KeySource, the_document_lies_below_the_issuer) {
  // The examples of OpenID Connect Discovery 1.0, section 4.1.
  EXPECT_EQ(configuration_url("https://example.com"), "https://example.com/.well-known/openid-configuration");
  EXPECT_EQ(configuration_url("https://example.com/issuer1"), "https://example.com/issuer1/.well-known/openid-configuration");
  EXPECT_EQ(configuration_url("https://example.com/issuer1/"), "https://example.com/issuer1/.well-known/openid-configuration");
}

// Of the example of section 4.2.
Json document() {
  return R"({"issuer": "https://server.example.com", "authorization_endpoint": "https://server.example.com/connect/authorize", "token_endpoint": "https://server.example.com/connect/token",
    "jwks_uri": "https://server.example.com/jwks.json", "response_types_supported": ["code", "code id_token", "id_token", "id_token token"], "subject_types_supported": ["public", "pairwise"],
    "id_token_signing_alg_values_supported": ["RS256", "ES256", "HS256"]})"_json;
}

TEST(KeySource, the_document_is_of_this_issuer_and_names_a_place_that_is_allowed) {
  const KeySource source{"https://server.example.com", "", {"*.keys.example", "keys.example.org"}};
  const auto url_of = [&](const char* name, const Json& value) {
    auto changed = document();
    changed[name] = value;
    return key_set_url_of(changed.dump(), source);
  };
  EXPECT_EQ(key_set_url_of(document().dump(), source).value(), "https://server.example.com/jwks.json");
  for (const char* good : {"https://SERVER.example.com/x", "https://server.example.com:8443/x?y=z", "https://a.keys.example/", "https://keys.example.org/k"})
    EXPECT_EQ(url_of("jwks_uri", good).value(), good);
  for (const char* bad : {"http://server.example.com/x", "http://127.0.0.1/x", "https://127.0.0.1/x", "https://169.254.169.254/latest", "https://keys.example/", "https://server.example.com.evil.example/",
                          "https://u@server.example.com/", "file:///etc/passwd", "/jwks.json", ""})
    EXPECT_EQ(url_of("jwks_uri", bad).error().code, ErrorCode::gate_refused) << bad;
  for (const char* other : {"https://server.example.com/", "https://SERVER.example.com", "http://server.example.com", ""}) EXPECT_EQ(url_of("issuer", other).error().code, ErrorCode::gate_refused) << other;
  EXPECT_EQ(url_of("issuer", 5).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(url_of("jwks_uri", nullptr).error().code, ErrorCode::invalid_argument);
  for (const char* text : {"", "[]", "{}", "<html>", R"({"issuer":"https://server.example.com","issuer":"https://server.example.com","jwks_uri":"https://server.example.com/"})"})
    EXPECT_FALSE(key_set_url_of(text, source)) << text;
}

TEST(KeySource, an_answers_age_is_read_as_rfc_9111_writes_it) {
  EXPECT_EQ(max_age_of("max-age=3600"), 3600s);
  EXPECT_EQ(max_age_of("public, Max-Age=60 , must-revalidate"), 60s);
  EXPECT_EQ(max_age_of("max-age=99999999999999999999"), std::chrono::seconds(UINT32_MAX));
  EXPECT_EQ(max_age_of("max-age=60, max-age=30"), 30s);
  EXPECT_EQ(max_age_of("no-store, max-age=60"), 0s);
  for (const char* nothing : {"", ",", "public", "max-age=", "max-age=-1", "max-age=1x", "s-maxage=60", "xmax-age=60"}) EXPECT_FALSE(max_age_of(nothing)) << nothing;
}

class IssuerKeysTest : public ::testing::Test {
 protected:
  IssuerKeysTest() {
    rules_.issuer = "https://server.example.com";
    rules_.audience = "redoubt";
    rules_.algorithms = {crypto::JwtAlgorithm::eddsa};
    tokens_ = TokenIssuer::create(rules_, clock_).value();
  }
  std::string key_set(const char* kid) const { return Json{{"keys", {{{"kty", "OKP"}, {"crv", "Ed25519"}, {"kid", kid}, {"x", to_base64url(key_.public_key().ed25519())}}}}}.dump(); }
  bool takes(const std::string& kid) const { return authenticate(kid).has_value(); }
  ErrorCode code(const std::string& kid) const { return authenticate(kid).error().code; }
  Result<ApiKeyInfo> authenticate(const std::string& kid) const {
    const auto end = std::chrono::floor<std::chrono::seconds>(clock_.now()).time_since_epoch().count() + 60;
    const auto text = to_base64url(view_of(R"({"alg":"EdDSA","kid":")" + kid + "\"}")) + "." +
                      to_base64url(view_of(Json{{"iss", rules_.issuer}, {"aud", "redoubt"}, {"sub", "a"}, {"exp", end}}.dump()));
    return tokens_->authenticate(text + "." + to_base64url(key_.sign(view_of(text))));
  }
  void serve(Result<IssuerKeys::Fetched> keys) {
    const std::lock_guard lock(mutex_);
    keys_served_ = std::move(keys);
  }
  std::unique_ptr<IssuerKeys> begin(KeyTiming timing) {
    const auto fetch = [this](const std::string& url) -> Result<IssuerKeys::Fetched> {
      const std::lock_guard lock(mutex_);
      if (url == "https://server.example.com/.well-known/openid-configuration") return IssuerKeys::Fetched{document().dump(), "max-age=1"};
      EXPECT_EQ(url, "https://server.example.com/jwks.json");
      ++fetches_;
      return keys_served_;
    };
    const auto heard = [this](const Status& fetched, std::size_t keys) {
      (fetched ? succeeded_ : failed_)++;
      keys_heard_ = keys;
    };
    return std::make_unique<IssuerKeys>(KeySource{rules_.issuer}, *tokens_, fetch, heard, timing);
  }
  static bool comes(const std::function<bool()>& what) {
    for (const auto end = std::chrono::steady_clock::now() + 20s; !what(); std::this_thread::sleep_for(1ms))
      if (std::chrono::steady_clock::now() > end) return false;
    return true;
  }

  FakeClock clock_;
  TokenRules rules_;
  crypto::SigningKey key_ = crypto::SigningKey::generate(crypto::SignatureAlgorithm::ed25519);
  std::unique_ptr<TokenIssuer> tokens_;
  std::mutex mutex_;
  Result<IssuerKeys::Fetched> keys_served_ = fail(ErrorCode::unavailable, "nobody there");
  std::atomic<int> fetches_ = 0, succeeded_ = 0, failed_ = 0;
  std::atomic<std::size_t> keys_heard_ = 0;
};

TEST_F(IssuerKeysTest, keys_are_fetched_and_a_missing_one_is_asked_for_once_in_a_while) {
  serve(IssuerKeys::Fetched{key_set("one"), ""});
  const auto keys = begin({.asked_min = 1000ms});
  ASSERT_TRUE(keys->wait_first(20s));
  EXPECT_TRUE(takes("one"));
  EXPECT_EQ(keys_heard_, 1u);
  EXPECT_EQ(code("two"), ErrorCode::permission_denied);  // just fetched
  serve(IssuerKeys::Fetched{key_set("two"), ""});
  std::this_thread::sleep_for(1010ms);
  EXPECT_EQ(code("two"), ErrorCode::unavailable);
  EXPECT_TRUE(comes([&] { return takes("two"); }));
  EXPECT_EQ(code("one"), ErrorCode::permission_denied);
  EXPECT_EQ(fetches_, 2);
}

TEST_F(IssuerKeysTest, what_fails_leaves_the_keys_and_is_tried_again) {
  const auto keys = begin({.age = 5ms, .retry_min = 5ms, .retry_max = 10ms});
  ASSERT_TRUE(keys->wait_first(20s));
  EXPECT_EQ(code("one"), ErrorCode::unavailable);
  serve(IssuerKeys::Fetched{key_set("one"), ""});
  EXPECT_TRUE(comes([&] { return takes("one"); }));
  serve(IssuerKeys::Fetched{"{}", ""});
  const int before = failed_;
  EXPECT_TRUE(comes([&] { return failed_ > before + 2; }));
  EXPECT_TRUE(takes("one"));
  EXPECT_EQ(keys_heard_, 1u);
}

TEST_F(IssuerKeysTest, max_age_counts_within_its_bounds) {
  serve(IssuerKeys::Fetched{key_set("one"), "max-age=0"});
  const auto keys = begin({.age = 1h, .age_min = 20ms});
  EXPECT_TRUE(comes([&] { return fetches_ >= 3; }));
  serve(IssuerKeys::Fetched{key_set("one"), "max-age=31536000"});
  std::this_thread::sleep_for(100ms);
  const int before = fetches_;
  std::this_thread::sleep_for(100ms);
  EXPECT_EQ(fetches_, before);
}

}  // namespace
}  // namespace redoubt::gateway
