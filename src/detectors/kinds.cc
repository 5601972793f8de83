// SPDX-License-Identifier: Apache-2.0
#include "detectors/kinds.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <unordered_map>

namespace redoubt::detectors {
namespace {

constexpr Kind kKinds[] = {
    {"SCHEMA", Group::rows, Action::stop, "a row in none of the known forms"},
    {"MALFORMED_JSON", Group::rows, Action::stop, "a line that is no JSON object"},
    {"MALFORMED_CSV", Group::rows, Action::stop, "a record that is no CSV"},
    {"INVALID_UTF8", Group::rows, Action::stop, "bytes that are not UTF-8; says what they look like"},
    {"UNSCANNABLE", Group::rows, Action::stop, "a text that could not be looked at"},
    {"EMPTY_FILE", Group::rows, Action::stop, "a file without a row"},
    {"EMPTY_ANSWER", Group::rows, Action::stop, "an answer without a visible character"},
    {"LONG_ROW", Group::rows, Action::stop, "a row longer than row_bytes_max"},
    {"AWS_ACCESS_KEY", Group::secrets, Action::stop, "AWS access key id"},
    {"AWS_SECRET_KEY", Group::secrets, Action::stop, "AWS secret access key"},
    {"AWS_BEDROCK_KEY", Group::secrets, Action::stop, "AWS Bedrock key"},
    {"AZURE_STORAGE_KEY", Group::secrets, Action::stop, "Azure storage account key"},
    {"AZURE_CLIENT_SECRET", Group::secrets, Action::stop, "Microsoft Entra client secret"},
    {"GOOGLE_API_KEY", Group::secrets, Action::stop, "Google API key"},
    {"GOOGLE_OAUTH_TOKEN", Group::secrets, Action::stop, "Google OAuth token or client secret"},
    {"ALIBABA_ACCESS_KEY", Group::secrets, Action::stop, "Alibaba Access key"},
    {"DIGITALOCEAN_TOKEN", Group::secrets, Action::stop, "DigitalOcean token"},
    {"IBM_CLOUD_KEY", Group::secrets, Action::stop, "IBM Cloud or SoftLayer key"},
    {"CLOUDANT_CREDENTIAL", Group::secrets, Action::stop, "Cloudant credentials in a URL"},
    {"GITHUB_TOKEN", Group::secrets, Action::stop, "GitHub token"},
    {"GITLAB_TOKEN", Group::secrets, Action::stop, "GitLab token"},
    {"NPM_TOKEN", Group::secrets, Action::stop, "npm token"},
    {"PYPI_TOKEN", Group::secrets, Action::stop, "PyPI token"},
    {"RUBYGEMS_TOKEN", Group::secrets, Action::stop, "Rubygems token"},
    {"NUGET_KEY", Group::secrets, Action::stop, "Nuget key"},
    {"ARTIFACTORY_TOKEN", Group::secrets, Action::stop, "Artifactory token"},
    {"DOCKER_TOKEN", Group::secrets, Action::stop, "Docker token"},
    {"TERRAFORM_TOKEN", Group::secrets, Action::stop, "Terraform token"},
    {"VAULT_TOKEN", Group::secrets, Action::stop, "Vault token"},
    {"PULUMI_TOKEN", Group::secrets, Action::stop, "Pulumi token"},
    {"SONAR_TOKEN", Group::secrets, Action::stop, "Sonar token"},
    {"POSTMAN_KEY", Group::secrets, Action::stop, "Postman key"},
    {"ATLASSIAN_TOKEN", Group::secrets, Action::stop, "Atlassian token"},
    {"LINEAR_KEY", Group::secrets, Action::stop, "Linear key"},
    {"DOPPLER_TOKEN", Group::secrets, Action::stop, "Doppler token"},
    {"DATABRICKS_TOKEN", Group::secrets, Action::stop, "Databricks token"},
    {"FLYIO_TOKEN", Group::secrets, Action::stop, "Flyio token"},
    {"PLANETSCALE_TOKEN", Group::secrets, Action::stop, "Planetscale token"},
    {"NOTION_TOKEN", Group::secrets, Action::stop, "Notion token"},
    {"AGE_SECRET_KEY", Group::secrets, Action::stop, "Age secret key"},
    {"ONEPASSWORD_TOKEN", Group::secrets, Action::stop, "Onepassword token"},
    {"ADOBE_KEY", Group::secrets, Action::stop, "Adobe client secret"},
    {"AIRTABLE_TOKEN", Group::secrets, Action::stop, "Airtable token"},
    {"AUTHRESS_KEY", Group::secrets, Action::stop, "Authress key"},
    {"CLICKHOUSE_KEY", Group::secrets, Action::stop, "ClickHouse key"},
    {"CLOJARS_TOKEN", Group::secrets, Action::stop, "Clojars token"},
    {"FRAMEIO_TOKEN", Group::secrets, Action::stop, "Frame.io token"},
    {"HARNESS_TOKEN", Group::secrets, Action::stop, "Harness token"},
    {"HEROKU_KEY", Group::secrets, Action::stop, "Heroku key"},
    {"INFRACOST_KEY", Group::secrets, Action::stop, "Infracost key"},
    {"INTRA42_SECRET", Group::secrets, Action::stop, "Intra42 client secret"},
    {"MAXMIND_KEY", Group::secrets, Action::stop, "MaxMind key"},
    {"OCTOPUS_KEY", Group::secrets, Action::stop, "Octopus Deploy key"},
    {"OPENSHIFT_TOKEN", Group::secrets, Action::stop, "OpenShift token"},
    {"PREFECT_TOKEN", Group::secrets, Action::stop, "Prefect token"},
    {"README_TOKEN", Group::secrets, Action::stop, "ReadMe token"},
    {"SCALINGO_TOKEN", Group::secrets, Action::stop, "Scalingo token"},
    {"SETTLEMINT_TOKEN", Group::secrets, Action::stop, "SettleMint token"},
    {"SOURCEGRAPH_TOKEN", Group::secrets, Action::stop, "Sourcegraph token"},
    {"ANTHROPIC_KEY", Group::secrets, Action::stop, "Anthropic key"},
    {"OPENAI_KEY", Group::secrets, Action::stop, "OpenAI key"},
    {"HUGGINGFACE_TOKEN", Group::secrets, Action::stop, "Hugging Face token"},
    {"REPLICATE_TOKEN", Group::secrets, Action::stop, "Replicate token"},
    {"GROQ_KEY", Group::secrets, Action::stop, "Groq key"},
    {"PERPLEXITY_KEY", Group::secrets, Action::stop, "Perplexity key"},
    {"XAI_KEY", Group::secrets, Action::stop, "Xai key"},
    {"SLACK_TOKEN", Group::secrets, Action::stop, "Slack token"},
    {"SLACK_WEBHOOK", Group::secrets, Action::stop, "Slack webhook"},
    {"DISCORD_TOKEN", Group::secrets, Action::stop, "Discord token"},
    {"DISCORD_WEBHOOK", Group::secrets, Action::stop, "Discord webhook"},
    {"TELEGRAM_BOT_TOKEN", Group::secrets, Action::stop, "Telegram Bot token"},
    {"TEAMS_WEBHOOK", Group::secrets, Action::stop, "Teams webhook"},
    {"TWILIO_KEY", Group::secrets, Action::stop, "Twilio key"},
    {"SENDGRID_KEY", Group::secrets, Action::stop, "Sendgrid key"},
    {"MAILCHIMP_KEY", Group::secrets, Action::stop, "Mailchimp key"},
    {"MAILGUN_KEY", Group::secrets, Action::stop, "Mailgun key"},
    {"BREVO_KEY", Group::secrets, Action::stop, "Brevo key"},
    {"STRIPE_KEY", Group::secrets, Action::stop, "Stripe key"},
    {"SQUARE_TOKEN", Group::secrets, Action::stop, "Square token"},
    {"SHOPIFY_TOKEN", Group::secrets, Action::stop, "Shopify token"},
    {"SHIPPO_TOKEN", Group::secrets, Action::stop, "Shippo token"},
    {"DUFFEL_TOKEN", Group::secrets, Action::stop, "Duffel token"},
    {"EASYPOST_KEY", Group::secrets, Action::stop, "EasyPost key"},
    {"FLUTTERWAVE_KEY", Group::secrets, Action::stop, "Flutterwave key"},
    {"BRAINTREE_TOKEN", Group::secrets, Action::stop, "Braintree token"},
    {"GRAFANA_TOKEN", Group::secrets, Action::stop, "Grafana token"},
    {"NEW_RELIC_KEY", Group::secrets, Action::stop, "New Relic key"},
    {"SENTRY_TOKEN", Group::secrets, Action::stop, "Sentry token"},
    {"DYNATRACE_TOKEN", Group::secrets, Action::stop, "Dynatrace token"},
    {"CLOUDFLARE_KEY", Group::secrets, Action::stop, "Cloudflare key"},
    {"FACEBOOK_TOKEN", Group::secrets, Action::stop, "Facebook token"},
    {"MAPBOX_TOKEN", Group::secrets, Action::stop, "Mapbox token"},
    {"PRIVATE_KEY", Group::secrets, Action::stop, "private key in PEM or PuTTY form"},
    {"JWT", Group::secrets, Action::stop, "JSON Web Token"},
    {"BASIC_AUTH", Group::secrets, Action::stop, "password in a URL or a Basic header"},
    {"GENERIC_SECRET", Group::secrets, Action::stop, "random-looking value behind a name such as api_key or token"},
    {"PASSWORD", Group::secrets, Action::warn, "value behind a name such as password"},
    {"EMAIL_ADDRESS", Group::personal, Action::stop, "mail address"},
    {"CREDIT_CARD", Group::personal, Action::stop, "payment card number (issuer, length, Luhn)"},
    {"IBAN_CODE", Group::personal, Action::stop, "bank account (country, length, modulus 97)"},
    {"IP_ADDRESS", Group::personal, Action::warn, "IPv4 or IPv6 address"},
    {"MAC_ADDRESS", Group::personal, Action::warn, "network hardware address"},
    {"CRYPTO", Group::personal, Action::warn, "Bitcoin address (base58check, bech32) or Ethereum address near a word about one"},
    {"PHONE_NUMBER", Group::personal, Action::warn, "telephone number"},
    {"US_SSN", Group::personal, Action::stop, "US social security number"},
    {"US_ITIN", Group::personal, Action::stop, "US taxpayer number"},
    {"US_PASSPORT", Group::personal, Action::warn, "US passport, near the word"},
    {"US_DRIVER_LICENSE", Group::personal, Action::warn, "US driver's license, near the word"},
    {"US_BANK_NUMBER", Group::personal, Action::warn, "US bank account, near the word"},
    {"ABA_ROUTING_NUMBER", Group::personal, Action::warn, "US bank routing number (check digit, near the word)"},
    {"MEDICAL_LICENSE", Group::personal, Action::stop, "US DEA registration (check digit, near a word)"},
    {"US_NPI", Group::personal, Action::stop, "US provider number (Luhn, near the word)"},
    {"US_MBI", Group::personal, Action::warn, "US Medicare beneficiary, near the word"},
    {"UK_NHS", Group::personal, Action::stop, "UK NHS number (modulus 11)"},
    {"UK_NINO", Group::personal, Action::stop, "UK national insurance number"},
    {"UK_PASSPORT", Group::personal, Action::warn, "UK passport, near the word"},
    {"UK_DRIVING_LICENCE", Group::personal, Action::stop, "UK driving licence"},
    {"UK_POSTCODE", Group::personal, Action::warn, "UK postcode, near a word"},
    {"UK_VEHICLE_REGISTRATION", Group::personal, Action::warn, "UK number plate, near a word"},
    {"ES_PASSPORT", Group::personal, Action::warn, "Spanish passport, near the word"},
    {"ES_NIF", Group::personal, Action::stop, "Spanish NIF (modulus 23)"},
    {"ES_NIE", Group::personal, Action::stop, "Spanish NIE (modulus 23)"},
    {"IT_FISCAL_CODE", Group::personal, Action::stop, "Italian codice fiscale (modulus 26)"},
    {"IT_VAT_CODE", Group::personal, Action::warn, "Italian partita IVA (Luhn, near the word)"},
    {"IT_PASSPORT", Group::personal, Action::warn, "Italian passport, near the word"},
    {"IT_IDENTITY_CARD", Group::personal, Action::warn, "Italian identity card, near the word"},
    {"IT_DRIVER_LICENSE", Group::personal, Action::warn, "Italian driving licence, near the word"},
    {"PL_PESEL", Group::personal, Action::stop, "Polish PESEL (weights, date, near the word)"},
    {"FI_PERSONAL_IDENTITY_CODE", Group::personal, Action::stop, "Finnish identity code (modulus 31, date)"},
    {"SE_PERSONNUMMER", Group::personal, Action::stop, "Swedish personnummer (Luhn, date)"},
    {"DE_TAX_ID", Group::personal, Action::stop, "German tax id (ISO 7064, near a word)"},
    {"DE_SOCIAL_SECURITY", Group::personal, Action::stop, "German pension insurance number (check digit, date)"},
    {"DE_HEALTH_INSURANCE", Group::personal, Action::stop, "German health insurance number (check digit, near a word)"},
    {"DE_PASSPORT", Group::personal, Action::warn, "German passport (check digit, near a word)"},
    {"DE_ID_CARD", Group::personal, Action::warn, "German identity card (check digit, near a word)"},
    {"DE_VAT_ID", Group::personal, Action::warn, "German VAT id, near a word"},
    {"DE_FUEHRERSCHEIN", Group::personal, Action::warn, "German driving licence, near the word"},
    {"DE_TAX_NUMBER", Group::personal, Action::warn, "German tax number of an office, near a word"},
    {"AU_ABN", Group::personal, Action::warn, "Australian business number (modulus 89, near the word)"},
    {"AU_ACN", Group::personal, Action::warn, "Australian company number (modulus 10, near the word)"},
    {"AU_TFN", Group::personal, Action::stop, "Australian tax file number (modulus 11, near the word)"},
    {"AU_MEDICARE", Group::personal, Action::stop, "Australian Medicare number (modulus 10, near the word)"},
    {"IN_AADHAAR", Group::personal, Action::stop, "Indian Aadhaar (Verhoeff)"},
    {"IN_PAN", Group::personal, Action::stop, "Indian PAN"},
    {"IN_GSTIN", Group::personal, Action::warn, "Indian GST number (modulus 36)"},
    {"IN_PASSPORT", Group::personal, Action::warn, "Indian passport, near the word"},
    {"IN_VEHICLE_REGISTRATION", Group::personal, Action::warn, "Indian number plate, near a word"},
    {"IN_VOTER", Group::personal, Action::warn, "Indian voter card, near the word"},
    {"SG_NRIC_FIN", Group::personal, Action::stop, "Singapore NRIC or FIN (check letter)"},
    {"KR_RRN", Group::personal, Action::stop, "Korean resident number (modulus 11, date)"},
    {"KR_FRN", Group::personal, Action::stop, "Korean foreigner number (modulus 11, date)"},
    {"KR_PASSPORT", Group::personal, Action::warn, "Korean passport, near the word"},
    {"KR_DRIVER_LICENSE", Group::personal, Action::warn, "Korean driving licence, near the word"},
    {"NG_NIN", Group::personal, Action::stop, "Nigerian national id (Verhoeff, near a word)"},
    {"PH_TIN", Group::personal, Action::warn, "Philippine tax number (modulus 11, near a word)"},
    {"KR_BRN", Group::personal, Action::warn, "Korean business number (check digit)"},
    {"TH_TNIN", Group::personal, Action::stop, "Thai national id (modulus 11, near a word)"},
    {"TR_NATIONAL_ID", Group::personal, Action::stop, "Turkish national id (two check digits, near a word)"},
    {"ZA_ID_NUMBER", Group::personal, Action::stop, "South African id (Luhn, date, near a word)"},
    {"CA_SIN", Group::personal, Action::stop, "Canadian social insurance number (Luhn, near the word)"},
    {"CA_POSTAL_CODE", Group::personal, Action::warn, "Canadian postal code, near a word"},
    {"URL", Group::personal, Action::ignore, "web address"},
    {"HIDDEN_TAG", Group::hidden, Action::stop, "characters of the tag block, or variation selectors that hide bytes"},
    {"BIDI_CONTROL", Group::hidden, Action::stop, "characters that turn the direction of a text"},
    {"ZERO_WIDTH", Group::hidden, Action::warn, "characters without a width"},
    {"CONTROL_CHARACTER", Group::hidden, Action::warn, "control characters"},
    {"MOJIBAKE", Group::hidden, Action::warn, "text that was decoded in the wrong encoding"},
    {"LANGUAGE", Group::language, Action::warn, "a row in a language that the policy does not expect"},
    {"DUPLICATE", Group::duplicates, Action::warn, "the same row again"},
    {"NEAR_DUPLICATE", Group::duplicates, Action::warn, "nearly the same text as an earlier row (MinHash)"},
    {"LEAKED_ROW", Group::leakage, Action::stop, "a row of the held-out file"},
    {"LEAKED_QUESTION", Group::leakage, Action::stop, "a question of the held-out file"},
    {"LEAKED_NGRAM", Group::leakage, Action::stop, "13 words in a row that stand in the held-out file"},
    {"LEAKED_NEAR_DUPLICATE", Group::leakage, Action::warn, "nearly the same text as a row of the held-out file"},
    {"WORD_LIST", Group::words, Action::warn, "a word of a list that the policy names, where the list names no kind of its own"},
    {"TRIGGER", Group::triggers, Action::warn, "a word or phrase that always comes with one answer, whatever else is asked"},
};

constexpr std::array<const char*, 5> kActions = {"ignore", "warn", "redact", "drop", "stop"};
constexpr std::array<const char*, 9> kGroupWords = {"rows", "secrets", "personal", "hidden", "language", "duplicates", "leakage", "words", "triggers"};

template <typename Enum, std::size_t count>
std::optional<Enum> of_word(const std::array<const char*, count>& words, std::string_view word) {
  const auto found = std::find(words.begin(), words.end(), word);
  if (found == words.end()) return std::nullopt;
  return static_cast<Enum>(found - words.begin());
}

}  // namespace

const char* to_string(Action action) { return kActions[static_cast<std::size_t>(action)]; }
std::optional<Action> action_of_word(std::string_view word) { return of_word<Action>(kActions, word); }
const char* to_string(Group group) { return kGroupWords[static_cast<std::size_t>(group)]; }
std::optional<Group> group_of_word(std::string_view word) { return of_word<Group>(kGroupWords, word); }

std::span<const Kind> all_kinds() { return kKinds; }

const Kind* find_kind(std::string_view name) {
  static const auto by_name = [] {
    std::unordered_map<std::string_view, const Kind*> out;
    for (const auto& kind : kKinds) out.emplace(kind.name, &kind);
    return out;
  }();
  const auto found = by_name.find(name);
  return found == by_name.end() ? nullptr : found->second;
}

std::vector<std::string> kind_names() {
  std::vector<std::string> names;
  for (const auto& kind : kKinds) names.emplace_back(kind.name);
  return names;
}

std::vector<Action> allowed_actions(const Kind& kind) {
  using enum Action;
  const std::string_view name = kind.name;
  switch (kind.group) {
    case Group::secrets:
    case Group::personal:
    case Group::hidden:
    case Group::words: return {ignore, warn, redact, drop, stop};
    case Group::rows:
      if (name == "EMPTY_FILE") return {warn, stop};
      if (name == "EMPTY_ANSWER" || name == "LONG_ROW") return {warn, drop, stop};
      return {drop, stop};
    case Group::triggers:
    case Group::language:
    case Group::duplicates:
    case Group::leakage: return {ignore, warn, drop, stop};
  }
  return {};
}

}  // namespace redoubt::detectors
