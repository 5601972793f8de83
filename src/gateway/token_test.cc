// SPDX-License-Identifier: Apache-2.0
//
// Who comes with a token. That PyJWT's tokens are taken, and what its like can forge is not, tests/oracle/gateway_token_test.py asks.
#include "gateway/token.h"

#include <gtest/gtest.h>

#include "crypto/sign.h"
#include "gateway/access.h"
#include "gateway/refusal_log.h"

namespace redoubt::gateway {
namespace {

using namespace std::chrono_literals;

class TokenTest : public ::testing::Test {
 protected:
  TokenTest() {
    rules_.issuer = "https://issuer.example";
    rules_.audience = "redoubt";
    rules_.algorithms = {crypto::JwtAlgorithm::eddsa};
    rules_.caller.models = {"bot"};
    issuer_ = TokenIssuer::create(rules_, key_set().dump(), clock_).value();
  }
  Json key_set() const {
    return {{"keys", Json::array({{{"kty", "OKP"}, {"crv", "Ed25519"}, {"kid", "one"}, {"alg", "EdDSA"}, {"use", "sig"}, {"x", to_base64url(key_.public_key().ed25519())}}})}};
  }
  std::int64_t seconds() const { return std::chrono::floor<std::chrono::seconds>(clock_.now()).time_since_epoch().count(); }
  Json claims() const { return {{"iss", rules_.issuer}, {"aud", "redoubt"}, {"sub", "alice@example.org"}, {"exp", seconds() + 300}, {"scope", "invoke models other"}}; }
  std::string token(const std::string& header, const std::string& payload) const {
    const auto text = to_base64url(view_of(header)) + "." + to_base64url(view_of(payload));
    return text + "." + to_base64url(key_.sign(view_of(text)));
  }
  std::string token(const Json& claims) const { return token(R"({"alg":"EdDSA","kid":"one"})", claims.dump()); }
  Json with(const char* name, const Json& value) const {
    auto changed = claims();
    changed[name] = value;
    return changed;
  }
  // Why it was refused; empty if it was not.
  std::string refused(const std::string& text) const {
    const auto caller = issuer_->authenticate(text);
    return caller ? "" : caller.error().message;
  }

  FakeClock clock_;
  TokenRules rules_;
  crypto::SigningKey key_ = crypto::SigningKey::generate(crypto::SignatureAlgorithm::ed25519);
  std::unique_ptr<TokenIssuer> issuer_;
};

TEST_F(TokenTest, a_token_says_who_comes_and_what_for) {
  const auto caller = issuer_->authenticate(token(claims())).value();
  EXPECT_EQ(caller.name, "alice@example.org");
  EXPECT_EQ(caller.scopes, (Scopes{Scope::invoke, Scope::models}));
  EXPECT_FALSE(caller.may_use("other"));
  EXPECT_TRUE(caller.id.starts_with("oidc-"));
  EXPECT_EQ(caller.id.find("alice"), std::string::npos);
  EXPECT_TRUE(issuer_->authenticate(token(with("aud", Json::array({"a", "redoubt"})))));
  EXPECT_TRUE(issuer_->authenticate(token(with("scope", nullptr)))->scopes.empty());
}

TEST_F(TokenTest, times_have_a_skew_and_an_end) {
  EXPECT_EQ(refused(token(with("exp", seconds() - 59))), "");
  EXPECT_NE(refused(token(with("exp", seconds() - 60))), "");
  EXPECT_NE(refused(token(with("exp", "soon"))), "");
  EXPECT_NE(refused(token(with("exp", 1e300))), "");
  auto endless = claims();
  endless.erase("exp");
  EXPECT_NE(refused(token(endless)), "");
  EXPECT_EQ(refused(token(with("nbf", seconds() + 60))), "");
  EXPECT_NE(refused(token(with("nbf", seconds() + 61))), "");
  EXPECT_NE(refused(token(with("iat", seconds() + 61))), "");
  EXPECT_NE(refused(token(with("nbf", "x"))), "");
}

TEST_F(TokenTest, other_issuers_audiences_and_nobody_are_refused) {
  for (const auto& [name, value] : {std::pair<const char*, Json>{"iss", "https://issuer.example/"}, {"iss", 5}, {"aud", "redoubt2"}, {"aud", Json::array({"x"})}, {"aud", Json::object()}, {"sub", ""}, {"sub", 5}})
    EXPECT_NE(refused(token(with(name, value))), "") << name << value;
}

TEST_F(TokenTest, the_header_can_not_choose_key_or_algorithm) {
  for (const char* header : {R"({"alg":"none","kid":"one"})", R"({"alg":"HS256","kid":"one"})", R"({"alg":"ES256","kid":"one"})", R"({"alg":"eddsa","kid":"one"})", R"({"kid":"one"})",
                             R"({"alg":"EdDSA","kid":"../one"})", R"({"alg":"EdDSA","kid":"two"})", R"({"alg":"EdDSA","kid":5})", R"({"alg":"EdDSA","kid":"one","jku":"https://evil.example"})",
                             R"({"alg":"EdDSA","kid":"one","x5u":"https://evil.example"})", R"({"alg":"EdDSA","kid":"one","jwk":{}})", R"({"alg":"EdDSA","kid":"one","crit":["b64"],"b64":false})",
                             R"({"alg":"EdDSA","kid":"one","kid":"one"})", R"(["EdDSA"])", ""})
    EXPECT_NE(refused(token(header, claims().dump())), "") << header;
  EXPECT_EQ(refused(token(R"({"alg":"EdDSA"})", claims().dump())), "");  // a set of one key needs no name
}

TEST_F(TokenTest, duplicate_claims_and_broken_texts_are_refused) {
  auto doubled = claims().dump();
  doubled.insert(1, R"("aud":"redoubt",)");
  EXPECT_NE(refused(token(R"({"alg":"EdDSA","kid":"one"})", doubled)), "");
  const auto good = token(claims());
  for (const auto& text : {std::string(), std::string(".."), good + ".", good + "a", good.substr(0, good.size() - 2), good.substr(good.find('.') + 1), "a." + good, std::string(9000, 'a') + "." + good, good + "=="})
    EXPECT_NE(refused(text), "") << text.substr(0, 40);
}

TEST_F(TokenTest, keys_are_replaced_and_a_broken_set_leaves_those_before) {
  const auto good = token(claims());
  EXPECT_FALSE(issuer_->replace_keys("{}"));
  EXPECT_FALSE(issuer_->replace_keys(R"({"keys":[{"kty":"oct","k":"AAAA","kid":"one"}]})"));
  EXPECT_EQ(refused(good), "");
  auto set = key_set();
  set["keys"][0]["kid"] = "two";
  ASSERT_TRUE(issuer_->replace_keys(set.dump()));
  EXPECT_NE(refused(good), "");
}

TEST_F(TokenTest, a_key_that_is_left_out_says_why) {
  auto set = key_set();
  const auto with = [&set](const char* kid, const char* name, const Json& value) {
    auto key = set["keys"][0];
    key["kid"] = kid;
    key[name] = value;
    set["keys"].push_back(key);
  };
  with("encrypts", "use", "enc");
  with("signs", "key_ops", Json::array({"sign"}));
  with("other", "alg", "ES256");
  with("private", "d", "AAAA");
  set["keys"].push_back(5);
  ASSERT_TRUE(issuer_->replace_keys(set.dump()));
  EXPECT_EQ(issuer_->key_count(), 1u);
  const auto why = [&](const std::string& kid) { return refused(token(R"({"alg":"EdDSA","kid":")" + kid + "\"}", claims().dump())); };
  EXPECT_EQ(why("one"), "");
  EXPECT_EQ(why("encrypts"), "the key's use is another than signatures");
  EXPECT_EQ(why("signs"), "the key's operations do not have 'verify'");
  EXPECT_EQ(why("other"), "the key's algorithm is none that is allowed");
  EXPECT_EQ(why("private"), "the key can't be used: this is no public key");
  EXPECT_EQ(why("none"), "signed by a key that is not in the set");
  EXPECT_EQ(refused(token(R"({"alg":"EdDSA"})", claims().dump())), "");  // one that can verify needs no name
}

TEST_F(TokenTest, without_keys_and_while_they_are_fetched_nobody_is_denied) {
  issuer_ = TokenIssuer::create(rules_, clock_).value();
  const auto code = [&](const std::string& text) { return issuer_->authenticate(text).error().code; };
  EXPECT_EQ(code(token(claims())), ErrorCode::unavailable);
  EXPECT_EQ(code(token(R"({"alg":"none","kid":"one"})", claims().dump())), ErrorCode::permission_denied);
  ASSERT_TRUE(issuer_->replace_keys(key_set().dump()));
  const auto other = token(R"({"alg":"EdDSA","kid":"two"})", claims().dump());
  EXPECT_EQ(code(other), ErrorCode::permission_denied);
  bool is_fetched = true;
  issuer_->on_missing_key([&] { return is_fetched; });
  EXPECT_EQ(code(other), ErrorCode::unavailable);
  EXPECT_EQ(refused(token(claims())), "");
  is_fetched = false;
  EXPECT_EQ(code(other), ErrorCode::permission_denied);
}

// The key set of RFC 7517, appendix A.1, whose first key is for encryption, the key and the token of RFC 7515, appendix A.3, and the
// unsecured one of RFC 7519, section 6.1. Their claims name no audience.
TEST(TokenOfTheRfcs, is_verified_as_far_as_it_goes) {
  FakeClock clock(TimePoint(std::chrono::seconds(1'300'819'000)));
  TokenRules rules;
  rules.issuer = "joe";
  rules.audience = "redoubt";
  const auto keys = TokenIssuer::create(rules, R"({"keys":
       [{"kty":"EC", "crv":"P-256", "x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM", "use":"enc", "kid":"1"},
        {"kty":"RSA", "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
         "e":"AQAB", "alg":"RS256", "kid":"2011-04-29"}]})", clock).value();
  EXPECT_EQ(keys->key_count(), 1u);
  const auto issuer = TokenIssuer::create(rules, R"({"keys":[{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]})", clock).value();
  const std::string claims = ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.";
  const std::string signature = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
  const auto why = [&](const std::string& token) { return issuer->authenticate(token).error().message; };
  EXPECT_EQ(why("eyJhbGciOiJFUzI1NiJ9" + claims + signature), "a token for another audience");
  EXPECT_EQ(why("eyJhbGciOiJFUzI1NiJ9" + claims + "E" + signature.substr(1)), "the token's signature is wrong");
  EXPECT_EQ(why("eyJhbGciOiJub25lIn0" + claims), "signed with an algorithm that is not allowed");
}

TEST(Access, an_issuer_names_its_own_keys) {
  const auto found = read_access(R"({"oidc":{"issuer":"https://i.example/realm","audience":"a","key_set_hosts":["*.keys.example"],"ca_file":"/c"}})"_json).value();
  EXPECT_EQ(found.oidc->source.issuer, "https://i.example/realm");
  EXPECT_EQ(found.oidc->source.key_set_hosts, std::vector<std::string>{"*.keys.example"});
  EXPECT_EQ(found.oidc->source.ca_file, "/c");
  EXPECT_TRUE(found.oidc->key_set_file.empty() && found.oidc->source.key_set_url.empty());
  for (const char* issuer : {"http://i.example", "http://127.0.0.1", "https://i.example?a=b", "https://i.example#a", "https://u:p@i.example", "i.example", ""})
    EXPECT_EQ(read_access({{"oidc", {{"issuer", issuer}, {"audience", "a"}}}}).error().code, ErrorCode::invalid_argument) << issuer;
  for (const char* more : {R"("key_set_file":"k","key_set_url":"https://x")", R"("key_set_file":"k","key_set_hosts":["x"])", R"("key_set_hosts":"x")", R"("key_set_hosts":[5])", R"("models":"x")", R"("algorithms":"ES256")"})
    EXPECT_EQ(read_access(Json::parse(R"({"oidc":{"issuer":"https://i.example","audience":"a",)" + std::string(more) + "}}")).error().code, ErrorCode::invalid_argument) << more;
}

TEST(Access, what_is_wrong_is_named) {
  const auto good = R"({"oidc":{"issuer":"i","audience":"a","algorithms":["ES256"],"key_set_file":"/k"},"client_certificates":{"ca_file":"/c","required":true,"clients":[{"name":"x","scopes":["invoke"],"concurrent_requests":200}]},
    "tenants":{"t":{"tokens_per_day":5}},"models":{"m":{"requests_per_minute":9}},"allow_tls_1_2":true,"prices":{"prompt":100,"answer":200},"aws_region":"eu-west-1"})"_json;
  const auto access = read_access(good).value();
  EXPECT_EQ(access.tenants.at("t").tokens_per_day, 5);
  EXPECT_EQ(access.models.at("m").requests_per_minute, 9);
  EXPECT_TRUE(access.allow_tls_1_2);
  EXPECT_FALSE(read_access(Json::object())->allow_tls_1_2);
  EXPECT_EQ(access.prices.answer, 200);
  EXPECT_EQ(access.client_certificates, crypto::ClientCertificates::required);
  EXPECT_EQ(access.certificates.at(0).caller.concurrent_requests, 200);
  EXPECT_EQ(access.oidc->rules.caller.concurrent_requests, 32);
  for (const char* bad : {R"({"x":1})", R"({"oidc":{"issuer":"i","audience":"a"}})", R"({"oidc":{"issuer":"i","audience":"a","key_set_url":"http://x"}})", R"({"oidc":{"issuer":"i","audience":"a","key_set_file":"k","algorithms":["HS256"]}})",
                          R"({"tenants":{"t":{"tokens":5}}})", R"({"models":{"m":{"answer_tokens_max":5}}})", R"({"tenants":{"t":{"money_per_day":5}}})", R"({"client_certificates":{"ca_file":"c","clients":[{"name":"x","requests_per_minute":0}]}})", R"({"client_certificates":{"ca_file":"c","clients":[{"name":"x","concurrent_requests":0}]}})", R"({"tenants":{"t":{"tokens_per_day":-5}}})", R"({"client_certificates":{}})", R"({"prices":{"prompt":-1}})", R"([])"})
    EXPECT_EQ(read_access(Json::parse(bad)).error().code, ErrorCode::invalid_argument) << bad;
}

TEST(RefusalLog, a_hundred_thousand_wrong_keys_are_one_entry) {
  FakeClock clock;
  RefusalLog log(clock, 3);
  for (int i = 0; i < 100'000; ++i) log.add("192.0.2.1", "wrong key");
  clock.advance(1s);
  log.add("192.0.2.1", "wrong key");
  for (int i = 0; i < 10; ++i) log.add("192.0.2." + std::to_string(i + 2), "no key");
  const auto counts = log.take();
  ASSERT_EQ(counts.size(), 4u);
  std::uint64_t all = 0;
  for (const auto& one : counts) all += one.count;
  EXPECT_EQ(all, 100'011u);
  EXPECT_EQ(counts[0].count, 100'001u);
  EXPECT_EQ(counts[0].last - counts[0].first, 1s);
  EXPECT_TRUE(log.take().empty());
}

TEST(RefusalLog, what_could_not_be_told_is_told_with_the_next) {
  FakeClock clock;
  RefusalLog log(clock, 3);
  log.add("192.0.2.1", "wrong key");
  log.add("192.0.2.2", "no key");
  auto taken = log.take();
  const auto first = taken[0].first;
  clock.advance(2s);
  log.add("192.0.2.1", "wrong key");
  log.put_back(std::move(taken));
  const auto counts = log.take();
  ASSERT_EQ(counts.size(), 2u);
  EXPECT_EQ(counts[0].count, 2u);
  EXPECT_EQ(counts[0].first, first);
  EXPECT_EQ(counts[0].last - first, 2s);
  EXPECT_EQ(counts[1].count, 1u);

  // No more of them than there may be.
  for (int i = 0; i < 3; ++i) log.add("192.0.2." + std::to_string(i + 3), "no key");
  log.put_back(counts);
  std::uint64_t all = 0;
  for (const auto& one : log.take()) all += one.source == "others" ? one.count : 0;
  EXPECT_EQ(all, 3u);
}

}  // namespace
}  // namespace redoubt::gateway
