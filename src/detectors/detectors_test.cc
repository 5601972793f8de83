// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <random>
#include <regex>

#include "base/bytes.h"
#include "detectors/anchors.h"
#include "detectors/byte_scan.h"
#include "detectors/context.h"
#include "detectors/detectors.h"
#include "detectors/hidden.h"
#include "detectors/json_text.h"
#include "detectors/numbers.h"
#include "detectors/redact.h"
#include "detectors/text_shape.h"

namespace redoubt::detectors {
namespace {

TEST(OffsetMap, leads_through_an_escape_in_an_escape_to_the_file) {
  const std::string line = R"({"a":"{\"mail\": \"x jane\\u0040b.org\"}"})";
  const auto literals = string_literals(line);
  ASSERT_EQ(literals.size(), 4u);  // "a", the text, and the two in it
  const auto& inner = literals.back();
  EXPECT_EQ(inner.text, "x jane@b.org");
  EXPECT_EQ(inner.places.raw(2), line.find("jane"));
  EXPECT_EQ(inner.places.raw(6), line.find("\\\\u0040"));
  EXPECT_EQ(inner.places.raw(7), line.find("b.org"));
  EXPECT_EQ(inner.places.raw(inner.text.size()), line.find("b.org") + 5);
}

TEST(Anchors, are_found_whatever_their_case_and_inside_each_other) {
  Anchors anchors;
  const std::vector<std::string> words = {"he", "she", "hers", "key-", "his"};
  for (std::size_t i = 0; i < words.size(); ++i) anchors.add(words[i], i);
  anchors.build();
  EXPECT_EQ(anchors.find("uSHErs").to_ulong(), 0b00111u);
  EXPECT_EQ(anchors.find("KEY-key").to_ulong(), 0b01000u);
  EXPECT_TRUE(anchors.find("").none());
}

TEST(Anchors, are_found_wherever_they_stand_in_a_long_text) {
  Anchors anchors;
  const std::vector<std::string> words = {"key", "private key", "-----begin", "y"};
  for (std::size_t i = 0; i < words.size(); ++i) anchors.add(words[i], i);
  anchors.build();
  for (std::size_t size : {40u, 103u, 104u, 105u, 300u, 1001u}) {
    for (std::size_t at = 0; at + 11 <= size; ++at) {
      std::string text(size, '.');
      text.replace(at, 11, "Private Key");
      EXPECT_EQ(anchors.find(text).to_ulong(), 0b1011u) << size << " " << at;
      text.replace(at, 11, "Private_Kez");
      EXPECT_TRUE(anchors.find(text).none()) << size << " " << at;
    }
  }
}

TEST(Anchors, are_those_that_a_search_for_each_finds) {
  Anchors anchors;
  const std::vector<std::string> words = {"a", "ab", "bca", "cab", "ccbb", "abcabca", "bb"};
  for (std::size_t i = 0; i < words.size(); ++i) anchors.add(words[i], i);
  anchors.build();
  std::mt19937 draw(11);
  for (int round = 0; round < 3000; ++round) {
    std::string text(draw() % 250, 'x');
    for (int letters = static_cast<int>(draw() % 30); letters > 0 && !text.empty(); --letters) text[draw() % text.size()] = "abc"[draw() % 3];
    if (round % 3 == 0 && !text.empty()) text.insert(draw() % text.size(), words[draw() % words.size()] + words[draw() % words.size()]);
    AnchorOwners expected;
    for (std::size_t i = 0; i < words.size(); ++i) expected[i] = text.find(words[i]) != text.npos;
    EXPECT_EQ(anchors.find(text), expected) << text;
  }
}

// The most parts of a text that fit an expression, one after the other, in one of its matches.
unsigned longest(const std::string& text, const std::string& expression, const std::string& part) {
  const std::regex whole(expression), counted(part);
  std::ptrdiff_t most = 0;
  for (std::sregex_iterator at(text.begin(), text.end(), whole), end; at != end; ++at) {
    const std::string match = at->str();
    most = std::max(most, std::distance(std::sregex_iterator(match.begin(), match.end(), counted), std::sregex_iterator()));
  }
  return static_cast<unsigned>(most);
}

TEST(TextShape, is_what_expressions_say) {
  std::mt19937 draw(7);
  const std::vector<std::string> alphabets = {"aAfz09.:-@_ (\n", "0123456789 -.a", "abcdef0123:", "aB1_./+=~- ", "abcdefghiJKLMNOP12@.", "AB12", "3f-.:"};
  for (int round = 0; round < 3000; ++round) {
    const auto& alphabet = alphabets[draw() % alphabets.size()];
    std::string text(draw() % 200, ' ');
    for (auto& c : text) c = alphabet[draw() % alphabet.size()];
    const TextShape shape = shape_of(text);
    EXPECT_EQ(shape.digits, longest(text, "[0-9](?:[-+ ./()]{0,2}[0-9])*", "[0-9]")) << text;
    EXPECT_EQ(shape.shape.mixed_run, longest(text, "[a-zA-Z]+[0-9][a-zA-Z0-9]*|[0-9]+[a-zA-Z][a-zA-Z0-9]*", "[^]")) << text;
    EXPECT_EQ(shape.shape.value_run, longest(text, "[A-Za-z0-9_./+=~-]{16,}", "[^]")) << text;
    EXPECT_EQ(shape.shape.hex_colons, longest(text, ":(?:[0-9A-Fa-f]{0,4}:)*", ":")) << text;
    EXPECT_EQ(shape.shape.hex_dots, longest(text, "[0-9A-Fa-f]\\.(?:[0-9A-Fa-f]{1,4}\\.)*", "\\.")) << text;
    EXPECT_EQ(shape.shape.hex_dashes, longest(text, "[0-9A-Fa-f]-(?:[0-9A-Fa-f]{1,4}-)*", "-")) << text;
    EXPECT_EQ(shape.shape.digits_colon > 0, std::regex_search(text, std::regex("[0-9]{8}:"))) << text;
    EXPECT_EQ(shape.shape.token_dots > 0, std::regex_search(text, std::regex("\\.[^]{6}\\."))) << text;
    EXPECT_EQ(shape.shape.capitals_digits > 0, std::regex_search(text, std::regex("[A-Z]{2}[0-9]{2}"))) << text;
    EXPECT_EQ(shape.shape.addresses > 0, std::regex_search(text, std::regex("[A-Za-z0-9_-]@[A-Za-z0-9]"))) << text;
    const bool random = std::regex_search(text, std::regex("(?=[A-Za-z0-9_./+=~-]{16})(?:[0-9_./+=~-]*[A-Za-z][A-Za-z_./+=~-]*[0-9]|[A-Za-z_./+=~-]*[0-9][0-9_./+=~-]*[A-Za-z])"));
    EXPECT_TRUE(!random || shape.shape.random_run >= kValueRun) << text;
  }
}

TEST(TextShape, a_run_that_turns_from_small_letters_to_others_and_back_is_random_without_a_digit) {
  EXPECT_EQ(shape_of("token = aBcDeFgHiJkLmNoPqRsT").shape.random_run, 20u);
  EXPECT_EQ(shape_of("token = a_name_that_is_long_").shape.random_run, 20u);
  EXPECT_EQ(shape_of("abcdefghijklmnopqrstuvwxyz").shape.random_run, 0u);
  EXPECT_EQ(shape_of("--------------------------").shape.random_run, 0u);
}

TEST(ByteScan, ends_runs_where_a_look_at_each_byte_does) {
  std::mt19937 draw(3);
  for (int round = 0; round < 2000; ++round) {
    std::string text(draw() % 100, 'x');
    for (int changes = static_cast<int>(draw() % 4); changes > 0 && !text.empty(); --changes) text[draw() % text.size()] = static_cast<char>(draw());
    const auto first = [&](const auto& ends) { return static_cast<std::size_t>(std::find_if(text.begin(), text.end(), ends) - text.begin()); };
    EXPECT_EQ(json_run_end(text, 0), first([](unsigned char c) { return c == '"' || c == '\\' || c < 0x20; })) << text;
    EXPECT_EQ(printable_run_end(text, 0), first([](unsigned char c) { return (c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c > 0x7e; })) << text;
    EXPECT_EQ(is_ascii(text), first([](unsigned char c) { return c > 0x7f; }) == text.size()) << text;
  }
}

TEST(Hidden, what_scripts_need_is_not_hidden) {
  const auto kinds = [](std::string_view text) {
    std::vector<Match> matches;
    find_hidden(text, matches);
    std::string out;
    for (const auto& match : matches) out += std::string(match.kind) + " ";
    return out;
  };
  // Emoji with joiners and selectors, Persian with a non-joiner, the flag of Scotland.
  for (const char* text : {"\U0001F469\u200d\U0001F4BB \u2764\ufe0f\u200d\U0001F525", "می\u200cخواهم", "\U0001F3F4\U000E0067\U000E0062\U000E0073\U000E0063\U000E0074\U000E007F", "naïve Übung, Ångström"})
    EXPECT_EQ(kinds(text), "") << text;
  EXPECT_EQ(kinds("pass\u200dword"), "ZERO_WIDTH ");
  EXPECT_EQ(kinds("\U0001F3F4\U000E0041\U000E0042\U000E007F"), "HIDDEN_TAG ");
  EXPECT_EQ(kinds("caf\u00c3\u00a9"), "MOJIBAKE ");
  EXPECT_EQ(kinds("a\x1b[31m"), "CONTROL_CHARACTER ");
}

TEST(Hidden, a_text_is_matched_as_it_is_seen) {
  const auto seen = as_seen("4111\u00a01111\u20111111\u200b1111 \uff41");
  ASSERT_TRUE(seen);
  EXPECT_EQ(seen->text, "4111 1111-11111111 a");
  EXPECT_EQ(seen->places.raw(5), 6u);
  EXPECT_FALSE(as_seen("plain ünicode"));
}

TEST(Detectors, unicode_tricks_do_not_hide_a_number) {
  const auto detectors = *Detectors::create();
  const std::string text = "pay \u0664\u0661\u0661\u0661 1111\u00a01111\u20111111";
  const auto matches = detectors->scan(text);
  ASSERT_EQ(matches.size(), 1u);
  EXPECT_EQ(matches[0].kind, "CREDIT_CARD");
  EXPECT_EQ(matches[0].offset, 4u);
  EXPECT_EQ(matches[0].offset + matches[0].length, text.size());
  EXPECT_EQ(detectors->scan("\xff").at(0).kind, "UNSCANNABLE");
}

// The one kind that is found in a text; "" for none, all for several.
std::string kind_in(const std::string& text) {
  static const auto detectors = *Detectors::create();
  std::string out;
  for (const auto& match : detectors->scan(text)) out += (out.empty() ? "" : " ") + std::string(match.kind);
  return out;
}

// Characters that look drawn at random, of the alphabets that vendors take.
std::string drawn(std::size_t count, std::string_view alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") {
  static std::mt19937 draw(23);
  std::string out;
  while (out.size() < count) out += alphabet[draw() % alphabet.size()];
  return out;
}
constexpr std::string_view kHex = "0123456789abcdef", kSmall = "0123456789abcdefghijklmnopqrstuvwxyz", kCapitals = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";

TEST(Detectors, know_the_tokens_that_gitleaks_knows) {
  const std::pair<std::string, const char*> tokens[] = {
      {"p8e-" + drawn(32, kSmall), "ADOBE_KEY"}, {"pat" + drawn(14) + "." + drawn(64, kHex), "AIRTABLE_TOKEN"},
      {"sc_" + drawn(20, kSmall) + ".g0bh.acc_" + drawn(20, kSmall) + "." + drawn(60, kSmall), "AUTHRESS_KEY"}, {"ABSK" + drawn(128), "AWS_BEDROCK_KEY"},
      {"cmVmd" + drawn(59), "ARTIFACTORY_TOKEN"}, {"4b1d" + drawn(38), "CLICKHOUSE_KEY"}, {"CLOJARS_" + drawn(60, kSmall), "CLOJARS_TOKEN"}, {"duffel_live_" + drawn(43, kSmall), "DUFFEL_TOKEN"},
      {"EZAK" + drawn(54, kSmall), "EASYPOST_KEY"}, {drawn(15, "123456789") + "|" + drawn(27, kSmall), "FACEBOOK_TOKEN"}, {"FLWSECK_TEST-" + drawn(32, kHex) + "-X", "FLUTTERWAVE_KEY"},
      {"fio-u-" + drawn(64, kSmall), "FRAMEIO_TOKEN"}, {"gloas-" + drawn(64), "GITLAB_TOKEN"}, {"glrtr-" + drawn(20), "GITLAB_TOKEN"}, {"eyJrIjoi" + drawn(90), "GRAFANA_TOKEN"},
      {"pat." + drawn(22) + "." + drawn(24) + "." + drawn(20), "HARNESS_TOKEN"}, {"HRKU-AA" + drawn(58), "HEROKU_KEY"}, {"ico-" + drawn(32), "INFRACOST_KEY"},
      {"s-s4t2ud-" + drawn(64, kHex), "INTRA42_SECRET"}, {drawn(6) + "_" + drawn(29) + "_mmk", "MAXMIND_KEY"}, {"API-" + drawn(26, kCapitals), "OCTOPUS_KEY"},
      {"sha256~" + drawn(43), "OPENSHIFT_TOKEN"}, {"pnu_" + drawn(36), "PREFECT_TOKEN"}, {"rdme_" + drawn(70, kSmall), "README_TOKEN"}, {"tk-us-" + drawn(48), "SCALINGO_TOKEN"},
      {"sm_pat_" + drawn(16), "SETTLEMINT_TOKEN"}, {"xoxc-1234567890-" + drawn(64, kHex), "SLACK_TOKEN"}, {"xoxd-" + drawn(60) + "%2B" + drawn(20), "SLACK_TOKEN"},
      {"sgp_" + drawn(40, kHex), "SOURCEGRAPH_TOKEN"}, {"s." + drawn(24), "VAULT_TOKEN"}};
  for (const auto& [token, kind] : tokens) EXPECT_EQ(kind_in("It is " + token + " and works."), kind) << token;
  EXPECT_EQ(kind_in("---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\nComment: mine\n" + drawn(70) + "\n---- END SSH2 ENCRYPTED PRIVATE KEY ----"), "PRIVATE_KEY");
  // In base64 once more, as a Kubernetes secret has a token.
  const std::string once = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLCJhZG1pbiI6dHJ1ZX0." + drawn(43);
  EXPECT_EQ(kind_in("token: " + to_base64(view_of(once))), "JWT");
}

TEST(Detectors, know_passwords_where_commands_headers_and_connections_have_them) {
  EXPECT_EQ(kind_in("redis://:S3cr3tPassw0rd@cache:6379/0"), "BASIC_AUTH");
  EXPECT_EQ(kind_in("curl -u admin:hunter2x https://api.example.org"), "BASIC_AUTH");
  EXPECT_EQ(kind_in("curl -s --user 'admin:hunter2x' https://api.example.org"), "BASIC_AUTH");
  EXPECT_EQ(kind_in("curl -H 'Authorization: Bearer " + drawn(40) + "' https://x.org"), "GENERIC_SECRET");
  EXPECT_EQ(kind_in(R"({"Authorization": "token )" + drawn(40, kHex) + "\"}"), "GENERIC_SECRET");
  EXPECT_EQ(kind_in("Server=tcp:db;Database=app;User ID=sa;Password=Pa55w0rd!23;Encrypt=True"), "PASSWORD");
  EXPECT_EQ(kind_in("jdbc:mysql://h:3306/db?user=root&password=s3cretpw99"), "PASSWORD");
  for (const char* text : {"curl -u \"$USER:$PASSWORD\" https://x.org", "curl -u user:password https://x.org", "curl --user-agent 'Mozilla: 5' https://x.org", "curl -u {user}:{key} https://x.org",
                           "Authorization: Bearer <your-token-1234567890>", "Authorization: Bearer ${TOKEN}", "Authorization: Bearer tokens are opaque texts", "x = 1; password=getpass()",
                           "a;password=os.environ", "s.computeTheLongestPrefixOfIt", "the sat. 22nd", "API-REFERENCE"})
    EXPECT_EQ(kind_in(text), "") << text;
}

// As detect-secrets' and gitleaks' own tests have them.
TEST(Detectors, know_what_programs_and_configurations_assign) {
  const std::string secret = "aB3dE5fG7hJ9kL1mN2pQ4rS6", password = "S3cr3t!pw99";
  const std::pair<const char*, const char*> around[] = {
      {"app.config['APP_API_KEY'] = '", "'"}, {"os.environ[\"SERVICE_API_KEY\"] = \"", "\""}, {"process.env.API_KEY || \"", "\";"}, {"process.env.API_KEY ?? '", "'"}, {"os.environ.get(\"API_KEY\", \"", "\")"},
      {"api_key: str = \"", "\""}, {"const token: string = '", "'"}, {"let api_token: &str = \"", "\";"}, {"var fooToken string = \"", "\""}, {"fooToken := `", "`"}, {"char api_token[25] = \"", "\";"},
      {"<apiToken>\n    ", "\n</apiToken>"}, {"<add key=\"ApiToken\" value=\"", "\" />"}, {"- name: API_TOKEN\n  value: ", "\n"}, {"{\"name\": \"api_token\", \"value\": \"", "\"}"}, {"if (token == \"", "\")"},
      {"X_TOKEN ?= \"", "\""}, {"X_TOKEN ::= \"", "\""}, {"$fooToken .= \"", "\""}, {"headers.add(\"X-Api-Key\", \"", "\")"}, {"api_token = b'", "'"}, {"NSString *token = @\"", "\";"}, {"  \"fooToken\" => \"", "\""},
      {"curl -H 'Authorization: Api-Token ", "'"}, {"curl -H 'Authorization: ", "'"}};
  for (const auto& [before, after] : around) EXPECT_EQ(kind_in(before + secret + after), "GENERIC_SECRET") << before;
  const std::pair<const char*, const char*> around_password[] = {
      {"<password>", "</password>"}, {"password: str = \"", "\""}, {"app.config[\"DB_PASSWORD\"] = \"", "\""}, {"if password == '", "'"}, {"<add key=\"ClearTextPassword\" value=\"", "\" />"}, {"export DB_PASSWORD=", "\n"},
      {"services:\n  db:\n    POSTGRES_PASSWORD: ", "\n    image: x"}};
  for (const auto& [before, after] : around_password) EXPECT_EQ(kind_in(before + password + after), "PASSWORD") << before;
  EXPECT_EQ(kind_in("curl -X POST https://h.example.org/x \\\n  -H 'A: b' \\\n  -u developer:yqDVtkqPECriaLRi"), "BASIC_AUTH");
  EXPECT_EQ(kind_in("curl --user kevin:'pRf7vG2h1L8nQkW9' -iX PATCH"), "BASIC_AUTH");
  EXPECT_EQ(kind_in("curl -u \":d2LkV78zLxt\" https://localhost:9200"), "BASIC_AUTH");
  EXPECT_EQ(kind_in("xoxs-155191149137-155868813314-338998331396-9f6d235915"), "SLACK_TOKEN");
  EXPECT_EQ(kind_in("export BUNDLE_ENTERPRISE__CONTRIBSYS__COM=cafebabe:deadbeef"), "RUBYGEMS_TOKEN");
  for (const char* text : {"fields = [\"username\", \"password\", \"email\"]", "[token]: https://example.org/a1b2c3d4e5f6g7h8", "if (token > maximumTokenNumber123)", "password: https://example.org/reset/1", "std::string token::name_of_1a2b3c4d5e",
                           "def login(password: str = \"password\")", "Password: required"})
    EXPECT_EQ(kind_in(text), "") << text;
}

TEST(Detectors, take_no_stand_in_of_a_manual_for_a_token) {
  for (const char* text : {"ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "AKIAXXXXXXXXXXXXXXXX", "HF_TOKEN=hf_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "glpat-XXXXXXXXXXX-XXXXXXXX", "glc_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
                           "pplx-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "oc login --token=sha256~_xxxxxx_xxxxxxxxxxxxxxxxxxxxxx-xxxxxxxxxx-X", "A3-XXXXXX-XXXXXXXXXXX-XXXXX-XXXXX-XXXXX", "xoxb-your-token-here-1234567890",
                           "curl -u user:pass https://api.example.org", "postgres://user:pass@localhost:5432/db"})
    EXPECT_EQ(kind_in(text), "") << text;
}

TEST(Detectors, know_personal_data_however_it_is_written) {
  const std::pair<const char*, const char*> texts[] = {
      {"born 020504A902E", "FI_PERSONAL_IDENTITY_CODE"}, {"born 131052-308T", "FI_PERSONAL_IDENTITY_CODE"}, {"born 010594Y9032", "FI_PERSONAL_IDENTITY_CODE"},
      {"my iban is de89 3704 0044 0532 0130 00", "IBAN_CODE"}, {"IBAN DE89-3704-0044-0532-0130-00", "IBAN_CODE"}, {"fr1420041010050500013m02606 is the account", "IBAN_CODE"},
      {"+49 (0) 30 / 1234567", "PHONE_NUMBER"}, {"Telefon 030 / 1234567", "PHONE_NUMBER"}, {"+299 123456", "PHONE_NUMBER"}, {"+1 212 555 0123 - 24 Main Street", "PHONE_NUMBER"}, {"+1 212 555 0123 / 212 555 0198", "PHONE_NUMBER"}, {"tel 030 123456 / 030 123457", "PHONE_NUMBER PHONE_NUMBER"}, {"dni 12345678z", "ES_NIF"}, {"her NIE x1234567l", "ES_NIE"},
      {"personnummer 189004119807", "SE_PERSONNUMMER"}, {"passport J8369854", "IN_PASSPORT"}, {"Reisepass C01X00T478", "DE_PASSPORT"}, {"Personalausweis T22000129", "DE_ID_CARD"},
      {"Personalausweis L01X00T471", "DE_ID_CARD"}, {"USt-IdNr. DE-136-695-976", "DE_VAT_ID"}, {"postcode SW1A1AA", "UK_POSTCODE"},
      {"Führerschein BX012345678", "DE_FUEHRERSCHEIN"}, {"Steuernummer 181/815/08155", "DE_TAX_NUMBER"}, {"pasaporte AAB123456", "ES_PASSPORT"},
      {"number plate AB12 CDE", "UK_VEHICLE_REGISTRATION"}, {"vehicle MH12AB1234", "IN_VEHICLE_REGISTRATION"}, {"passport M123A4567", "KR_PASSPORT"}, {"운전면허번호 11-22-123456-01", "KR_DRIVER_LICENSE"}};
  for (const auto& [text, kind] : texts) EXPECT_EQ(kind_in(text), kind) << text;
  for (const char* text : {"background: url(logo@2x.png)", "icon@3x.webp", "git clone git@github.com:org/repo.git", "ssh://git@gitlab.example.org/a/b", "DE00370400440532013000", "iban de00 3704 0044 0532 0130 00"}) EXPECT_EQ(kind_in(text), "") << text;
}

TEST(Detectors, take_linear_time_on_texts_made_to_be_slow) {
  const auto detectors = *Detectors::create();
  for (const char* piece : {"a.", "key ", "aws key ", "1-", "@a.", "eyJ", "0x", "://a:", "+1 ", "-----BEGIN ", "AKIA", "a:a@", "curl ", "curl -u ", "authorization: bearer ", ";password=", "de89 ", "+1 / ", "secret: ", "1 ", "::", "Q~"}) {
    std::string text;
    while (text.size() < 400'000) text += piece;
    const auto begin = std::chrono::steady_clock::now();
    detectors->scan(text);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20)) << piece;
  }
}

TEST(Context, is_a_word_of_its_own_near_by) {
  const std::string text = "my SSN is 078051120, not assn 078051120";
  EXPECT_TRUE(has_context({text, 10, 9}, "ssn"));
  EXPECT_FALSE(has_context({"session 078051120", 8, 9}, "ssn"));
  EXPECT_FALSE(has_context({"ssn" + std::string(200, ' ') + "078051120", 203, 9}, "ssn"));
}

TEST(Redact, spans_that_overlap_are_one_and_hidden_characters_leave_nothing) {
  EXPECT_EQ(without_spans("abcdefgh", {{"EMAIL_ADDRESS", 1, 4}, {"PHONE_NUMBER", 3, 6}}), "a<EMAIL_ADDRESS>gh");
  EXPECT_EQ(without_spans("abcdefgh", {{"ZERO_WIDTH", 2, 3}}), "abdefgh");
  EXPECT_EQ(without_spans("abcdefgh", {{"ZERO_WIDTH", 1, 2}, {"US_SSN", 1, 5}}), "a<US_SSN>fgh");
}

TEST(Redact, what_takes_the_place_of_a_number_is_a_string) {
  EXPECT_EQ(without_spans(R"({"a":42})", {{"CREDIT_CARD", 5, 7, quote_at(0)}}), R"({"a":"<CREDIT_CARD>"})");
  EXPECT_EQ(without_spans("abcdefgh", {{"US_SSN", 1, 4}, {"US_SSN", 1, 4, quote_at(1)}}), R"(a\"<US_SSN>\"efgh)");
  EXPECT_EQ(without_spans("abcdefgh", {{"US_SSN", 1, 4, quote_at(0)}, {"EMAIL_ADDRESS", 3, 6}}), "a<US_SSN>gh");
}

TEST(Numbers, cards_and_accounts_need_their_lengths) {
  EXPECT_EQ(card_length("378282246310005"), 15u);   // published test numbers of the issuers
  EXPECT_EQ(card_length("6011111111111117 1"), 16u);
  EXPECT_EQ(card_length("411111111111111"), 0u);
  for (const char* card : {"3782 822463 10005", "3782-822463-10005", "3056 930902 5904", "6011 1111 1111 1117", "622202 1234567890128"}) EXPECT_EQ(card_length(card), std::string_view(card).size()) << card;
  // Luhn's check comes out for each, and the first digits are an issuer's.
  for (const char* row : {"367 862 46 555 123 846", "479-0865334-7565509", "44 73 07 72 37 34 0"}) EXPECT_EQ(card_length(row), 0u) << row;
  EXPECT_EQ(iban_length("NO9386011117947"), 15u);   // SWIFT's examples
  EXPECT_EQ(iban_length("MT84MALT011000012345MTLCAST001S"), 31u);
  EXPECT_EQ(iban_length("NO93860111179470"), 0u);
  EXPECT_EQ(iban_length("ZZ9386011117947"), 0u);
}

TEST(JsonText, numbers_of_the_line_are_told_where_they_stand) {
  constexpr std::string_view kLine = R"({"id":12,"card":4111111111111111,"say":"5555555555554444","all":[-378282246310005e0]})";
  std::string told;
  for_each_value(kLine, [&](const JsonText& value) {
    if (value.is_number) told += value.text + "@" + std::to_string(value.places.raw(0)) + " ";
  });
  EXPECT_EQ(told, "4111111111111111@16 -378282246310005e0@65 ");
  for_each_literal(kLine, [&](const JsonText& literal) { EXPECT_FALSE(literal.is_number); });
  constexpr std::string_view kText = R"({"a\"":1,"b":-411.5})";
  const auto number = number_around(numbers_in(kText), kText.find("411"), 3);
  ASSERT_TRUE(number);
  EXPECT_EQ(kText.substr(number->begin, number->end - number->begin), "-411.5");
  EXPECT_FALSE(number_around(numbers_in(kText), kText.find("411"), 9));
  for (const char* text : {R"({"b":"411"})", R"({"b":411)", "b: 411"}) EXPECT_FALSE(number_around(numbers_in(text), std::string_view(text).find("411"), 3)) << text;
  EXPECT_EQ(quote_at(2), R"(\\\")");
}

TEST(JsonText, decodes_surrogate_pairs) {
  const auto literals = string_literals(R"({"a":"\ud83d\ude00\n\/"})");
  ASSERT_EQ(literals.size(), 2u);
  EXPECT_EQ(literals[1].text, "\U0001F600\n/");
}

}  // namespace
}  // namespace redoubt::detectors
