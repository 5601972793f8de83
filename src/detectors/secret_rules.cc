// SPDX-License-Identifier: Apache-2.0
//
// Forms as the vendors document them and as detect-secrets and gitleaks know them.
#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <string>

#include "detectors/checksums.h"
#include "detectors/rule.h"

namespace redoubt::detectors {
namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

// Values that stand for a secret without being one: what a template, a shell or a person who explains writes.
bool is_placeholder(std::string_view value) {
  constexpr std::string_view kStarts[] = {"<", "${", "$(", "{{", "%(", "[[", "your", "my_", "my-", "example", "os.", "process.", "env", "self.", "config.", "changeme", "change_me",
                                          "replace", "insert", "enter", "null", "none", "true", "false", "undefined", "todo", "dummy", "placeholder", "redacted", "secret_name", "...",
                                          "settings.", "getenv", "{", "$", "args.", "request.", "options.", "input(", "getpass"};
  const std::string folded = lower(value);
  if (std::any_of(std::begin(kStarts), std::end(kStarts), [&](auto start) { return folded.starts_with(start); })) return true;
  if (folded.find("example") != folded.npos || folded.find("placeholder") != folded.npos || folded.find("xxxx") != folded.npos || folded.find("****") != folded.npos ||
      folded.find("your_") != folded.npos || folded.find("your-") != folded.npos)
    return true;
  const std::string_view word = std::string_view(folded).substr(0, folded.find_last_not_of("\"'") + 1);
  constexpr std::string_view kWords[] = {"password", "passwd", "secret", "token", "string", "str", "text", "value", "key", "bytes", "int", "username", "user", "required", "optional", "pass", "pwd"};
  if (std::any_of(std::begin(kWords), std::end(kWords), [&](auto known) { return word == known; })) return true;
  return std::all_of(folded.begin(), folded.end(), [&](char c) { return c == folded[0]; });  // "aaaa", "----"
}

// A value that looks drawn at random: mixed characters and nearly as many different ones as it can have.
std::size_t random_value(const Candidate& candidate) {
  const auto value = candidate.value();
  const bool path = value.starts_with('/') || value.starts_with("./") || value.starts_with("../") || value.starts_with("~/");
  if (path || is_placeholder(value)) return 0;
  // Capitals and small letters follow each other as in no name that a person gives.
  std::size_t turns = 0;
  for (std::size_t i = 1; i < value.size(); ++i) turns += (std::islower(static_cast<unsigned char>(value[i])) != 0) != (std::islower(static_cast<unsigned char>(value[i - 1])) != 0);
  if (value.size() >= 20 && turns * 5 >= value.size() * 2 && entropy_of(value) >= 3.8) return value.size();
  const bool digit = std::any_of(value.begin(), value.end(), [](unsigned char c) { return std::isdigit(c); });
  const bool letter = std::any_of(value.begin(), value.end(), [](unsigned char c) { return std::isalpha(c); });
  const bool hexadecimal = std::all_of(value.begin(), value.end(), [](unsigned char c) { return std::isxdigit(c) || c == '-'; });
  const double bits = entropy_of(value);
  return digit && letter && bits >= (hexadecimal ? 3.0 : 3.5) ? value.size() : 0;
}

std::size_t aws_secret(const Candidate& candidate) {
  const auto value = candidate.value();
  const bool digest = std::all_of(value.begin(), value.end(), [](unsigned char c) { return std::isxdigit(c); });  // SHA-1's
  return !digest && entropy_of(value) >= 3.5 ? value.size() : 0;
}

std::size_t password_value(const Candidate& candidate) { return is_placeholder(candidate.value()) ? 0 : candidate.length; }

// Of "https://user:password@host"; a password that is a variable of a template is none.
std::size_t url_password(const Candidate& candidate) { return is_placeholder(candidate.value()) ? 0 : candidate.length; }

// A part of a token that no key generator writes: all one character, or words of a manual.
std::size_t random_token(const Candidate& candidate) {
  const auto value = candidate.value();
  return entropy_of(value.substr(value.size() / 2)) >= 2.0 ? value.size() : 0;
}

// Slack's are numbers for the most part, and "xoxb-your-token" has none.
std::size_t slack_token(const Candidate& candidate) {
  constexpr std::size_t kLengthMin = 24;
  constexpr std::ptrdiff_t kDigitsMin = 10;
  const auto value = candidate.value();
  const auto digits = std::count_if(value.begin(), value.end(), [](unsigned char c) { return std::isdigit(c) != 0; });
  return value.size() >= kLengthMin && digits >= kDigitsMin && !is_placeholder(value) ? random_token(candidate) : 0;
}

// A private key goes on to its end line; without one as far as it looks like base64.
std::size_t key_block(const Candidate& candidate) {
  constexpr std::size_t kBlockBytesMax = 64 << 10;
  const auto rest = candidate.text.substr(candidate.offset, kBlockBytesMax);
  for (const std::string_view mark : {"-----END ", "---- END "}) {
    const auto end = rest.find(mark, candidate.length);
    if (end == rest.npos) continue;
    const auto close = rest.find("----", end + mark.size());
    return close == rest.npos ? end + mark.size() : close + (rest.substr(close).starts_with("-----") ? 5 : 4);
  }
  std::size_t at = candidate.length, last = at;
  for (; at < rest.size(); ++at) {
    const auto c = static_cast<unsigned char>(rest[at]);
    if (std::isspace(c) || c == '\\') continue;
    if (!std::isalnum(c) && c != '+' && c != '/' && c != '=') break;
    last = at + 1;
  }
  return last;
}

constexpr Rule kSecretRules[] = {
    // Clouds
    {"AWS_ACCESS_KEY", R"(\b(?:AKIA|ASIA|AROA|AIDA|ABIA|ACCA|A3T[A-Z0-9])[A-Z0-9]{16}\b)", "akia|asia|aroa|aida|abia|acca|a3t"},
    {"AWS_SECRET_KEY", R"((?i)aws.{0,20}?(?:key|secret|sk).{0,20}?["' =:]((?-i)[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=]))", "aws", 0, aws_secret, nullptr, {.value_run = 40}},
    {"AWS_SECRET_KEY", R"((?i)\bsecret_?access_?key["' ]{0,3}[=:]["' ]{0,3}((?-i)[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=]))", "secretaccesskey|secret_access_key|secret_accesskey"},
    {"AWS_BEDROCK_KEY", R"(\bABSK[A-Za-z0-9+/]{109,269}={0,2}(?![A-Za-z0-9+/=])|\bbedrock-api-key-YmVkcm9jay5hbWF6b25hd3MuY29t[A-Za-z0-9+/=_-]{0,4000}+)", "absk|bedrock-api-key-"},
    {"AZURE_STORAGE_KEY", R"(\bAccountKey=([A-Za-z0-9/+]{86}==))", "accountkey="},
    {"AZURE_CLIENT_SECRET", R"((?<![A-Za-z0-9_~.-])[A-Za-z0-9_~.-]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34}(?![A-Za-z0-9_~.-]))", "q~"},
    {"GOOGLE_API_KEY", R"(\bAIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-]))", "aiza"},
    {"GOOGLE_OAUTH_TOKEN", R"(\bya29\.[A-Za-z0-9_-]{20,1000}+|\bGOCSPX-[A-Za-z0-9_-]{28}\b)", "ya29.|gocspx-"},
    {"ALIBABA_ACCESS_KEY", R"(\bLTAI[A-Za-z0-9]{16,20}\b)", "ltai", 0, random_token},
    {"DIGITALOCEAN_TOKEN", R"(\bdo[oprc]_v1_[a-f0-9]{64}\b)", "_v1_"},
    {"IBM_CLOUD_KEY", R"((?i)\b(?:ibm.?cloud|ibm|softlayer|sl|bluemix).{0,20}?(?:api|platform|key|iam).{0,20}?["' =:]((?-i)[A-Za-z0-9_-]{44}|[a-z0-9]{64})(?![A-Za-z0-9_-]))", "ibm|softlayer|bluemix"},
    {"CLOUDANT_CREDENTIAL", R"(://[A-Za-z0-9_-]{2,64}:([0-9a-f]{64}|[a-z]{24})@[A-Za-z0-9_-]{2,64}\.cloudant\.com)", ".cloudant.com"},
    // Source code, packages, builds
    {"GITHUB_TOKEN", R"(\b(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{60,255})\b)", "ghp_|gho_|ghu_|ghs_|ghr_|github_pat_"},
    {"GITLAB_TOKEN", R"(\b(?:gl(?:pat|ptt|rt|rtr|dt|cbt|ft|imt|agent|soat|ffct)-[A-Za-z0-9_.=-]{20,300}|gloas-[A-Za-z0-9_-]{64}|GR1348941[A-Za-z0-9_-]{20})(?![A-Za-z0-9_-])|\b_gitlab_session=([0-9a-z]{32})\b)",
     "glpat-|glptt-|glrt-|glrtr-|gldt-|glcbt-|glft-|glimt-|glagent-|glsoat-|glffct-|gloas-|gr1348941|_gitlab_session="},
    {"NPM_TOKEN", R"(\bnpm_[A-Za-z0-9]{36}\b|_authToken=\s{0,3}([A-Za-z0-9_-]{20,100}))", "npm_|_authtoken="},
    {"PYPI_TOKEN", R"(\bpypi-AgE[IN][A-Za-z0-9_-]{50,1000}+)", "pypi-age"},
    {"RUBYGEMS_TOKEN", R"(\brubygems_[a-f0-9]{48}\b)", "rubygems_"},
    {"RUBYGEMS_TOKEN", R"((?i)\bBUNDLE_(?:ENTERPRISE|GEMS)__CONTRIBSYS__COM["']?\s{0,3}[:=]\s{0,3}["']?([a-f0-9]{8}:[a-f0-9]{8})\b)", "__contribsys__com"},
    {"NUGET_KEY", R"(\boy2[a-z0-9]{43}\b)", "oy2"},
    {"ARTIFACTORY_TOKEN", R"((?<![A-Za-z0-9_-])(?:AKC[A-Za-z0-9]{10,200}+|AP[0-9A-F][A-Za-z0-9]{10,200}+)(?=["'\s.,;]|$))", nullptr, 0, random_value, nullptr, {.mixed_run = 13}},
    {"ARTIFACTORY_TOKEN", R"(\bcmVmd[A-Za-z0-9]{59}\b)", "cmvmd"},
    {"DOCKER_TOKEN", R"(\bdckr_(?:pat|oat)_[A-Za-z0-9_-]{27,60}(?![A-Za-z0-9_-]))", "dckr_"},
    {"TERRAFORM_TOKEN", R"(\b[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,70}(?![A-Za-z0-9_=-]))", ".atlasv1."},
    {"VAULT_TOKEN", R"(\bhv[sbr]\.[A-Za-z0-9_-]{24,300}+)", "hvs.|hvb.|hvr.", 0, random_token},
    {"VAULT_TOKEN", R"((?<![A-Za-z0-9_.-])s\.[A-Za-z0-9]{24}(?![A-Za-z0-9_.-]))", "s.", 0, random_value, nullptr, {.mixed_run = 24}},
    {"PULUMI_TOKEN", R"(\bpul-[a-f0-9]{40}\b)", "pul-"},
    {"SONAR_TOKEN", R"(\bsq[upa]_[a-f0-9]{40}\b)", "squ_|sqp_|sqa_"},
    {"POSTMAN_KEY", R"(\bPMAK-[a-f0-9]{24}-[a-f0-9]{34}\b)", "pmak-"},
    {"ATLASSIAN_TOKEN", R"(\bATATT3[A-Za-z0-9_=-]{180,200}(?![A-Za-z0-9_=-])|\bATCTT3[A-Za-z0-9_=-]{60,200}+)", "atatt3|atctt3"},
    {"LINEAR_KEY", R"(\blin_(?:api|oauth)_[A-Za-z0-9]{32,64}\b)", "lin_api_|lin_oauth_"},
    {"DOPPLER_TOKEN", R"(\bdp\.(?:pt|st|ct|sa|scim|audit)\.[A-Za-z0-9._-]{40,60}(?![A-Za-z0-9._-]))", "dp."},
    {"DATABRICKS_TOKEN", R"(\bdapi[a-f0-9]{32}(?:-[0-9])?\b)", "dapi"},
    {"FLYIO_TOKEN", R"(\bfo1_[A-Za-z0-9_-]{43}\b|\bfm[12][ar]?_[A-Za-z0-9+/]{100,800}={0,3})", "fo1_|fm1|fm2"},
    {"PLANETSCALE_TOKEN", R"(\bpscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.=-]{32,64}(?![A-Za-z0-9_.=-]))", "pscale_"},
    {"NOTION_TOKEN", R"(\bntn_[0-9]{11}[A-Za-z0-9]{35}\b)", "ntn_"},
    {"AGE_SECRET_KEY", R"(\bAGE-SECRET-KEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}\b)", "age-secret-key-1"},
    {"ONEPASSWORD_TOKEN", R"(\bops_eyJ[A-Za-z0-9+/_-]{250,2000}+={0,3}|\bA3-[A-Z0-9]{6}-[A-Z0-9]{5,11}-[A-Z0-9]{5}-[A-Z0-9]{5}(?:-[A-Z0-9]{5})?\b)", "ops_eyj|a3-"},
    {"ADOBE_KEY", R"(\bp8e-[A-Za-z0-9]{32}\b)", "p8e-"},
    {"AIRTABLE_TOKEN", R"(\bpat[A-Za-z0-9]{14}\.[a-f0-9]{64}\b)", "pat", 0, nullptr, nullptr, {.mixed_run = 64}},
    {"AUTHRESS_KEY", R"(\b(?:sc|ext|scauth|authress)_[A-Za-z0-9]{5,30}\.[A-Za-z0-9]{4,6}\.acc[_-][A-Za-z0-9-]{10,32}\.[A-Za-z0-9+/_=-]{30,120}(?![A-Za-z0-9+/_=-]))", ".acc_|.acc-"},
    {"CLICKHOUSE_KEY", R"(\b4b1d[A-Za-z0-9]{38}\b)", "4b1d"},
    {"CLOJARS_TOKEN", R"(\bCLOJARS_[a-z0-9]{60}\b)", "clojars_"},
    {"FRAMEIO_TOKEN", R"(\bfio-u-[A-Za-z0-9_=-]{64}(?![A-Za-z0-9_=-]))", "fio-u-"},
    {"HARNESS_TOKEN", R"(\b[ps]at\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9]{24}\.[A-Za-z0-9]{20}\b)", "pat.|sat."},
    {"HEROKU_KEY", R"(\bHRKU-AA[A-Za-z0-9_-]{58}(?![A-Za-z0-9_-]))", "hrku-aa"},
    {"INFRACOST_KEY", R"(\bico-[A-Za-z0-9]{32}\b)", "ico-", 0, random_value},
    {"INTRA42_SECRET", R"(\bs-s4t2(?:ud|af)-[a-f0-9]{64}\b)", "s-s4t2"},
    {"MAXMIND_KEY", R"(\b[A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk\b)", "_mmk"},
    {"OCTOPUS_KEY", R"(\bAPI-[A-Z0-9]{26}\b)", "api-", 0, random_value},
    {"OPENSHIFT_TOKEN", R"(\bsha256~[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-]))", "sha256~"},
    {"PREFECT_TOKEN", R"(\bpnu_[A-Za-z0-9]{36}\b)", "pnu_"},
    {"README_TOKEN", R"(\brdme_[a-z0-9]{70}\b)", "rdme_"},
    {"SCALINGO_TOKEN", R"(\btk-us-[A-Za-z0-9_-]{48}(?![A-Za-z0-9_-]))", "tk-us-"},
    {"SETTLEMINT_TOKEN", R"(\bsm_(?:aat|pat|sat)_[A-Za-z0-9]{16}\b)", "sm_aat_|sm_pat_|sm_sat_"},
    {"SOURCEGRAPH_TOKEN", R"(\bsgp_(?:(?:[a-fA-F0-9]{16}|local)_)?[a-fA-F0-9]{40}\b)", "sgp_"},
    // Models
    {"ANTHROPIC_KEY", R"(\bsk-ant-[a-z]{3,8}[0-9]{2}-[A-Za-z0-9_-]{32,200}(?![A-Za-z0-9_-]))", "sk-ant-"},
    {"OPENAI_KEY", R"(\bsk-(?:(?:proj|svcacct|admin|None)-)?(?!ant-)[A-Za-z0-9_-]{32,200}(?![A-Za-z0-9_-]))", "sk-", 0, random_value},
    {"HUGGINGFACE_TOKEN", R"(\b(?:hf_[A-Za-z0-9]{30,64}|api_org_[A-Za-z0-9]{34})\b)", "hf_|api_org_"},
    {"REPLICATE_TOKEN", R"(\br8_[A-Za-z0-9]{37}\b)", "r8_"},
    {"GROQ_KEY", R"(\bgsk_[A-Za-z0-9]{52}\b)", "gsk_"},
    {"PERPLEXITY_KEY", R"(\bpplx-[A-Za-z0-9]{40,64}\b)", "pplx-"},
    {"XAI_KEY", R"(\bxai-[A-Za-z0-9]{80}\b)", "xai-"},
    // Messages and mail
    {"SLACK_TOKEN", R"(\bxox[abceoprs](?:\.xox[abp])?-[A-Za-z0-9-]{10,250}+|\bxapp-[0-9]-[A-Za-z0-9]{6,16}-[0-9]{6,16}-[a-z0-9]{32,80}\b)", "xox|xapp-", 0, slack_token},
    {"SLACK_TOKEN", R"(\bxoxd-[A-Za-z0-9%+/=_-]{20,400}+)", "xoxd-", 0, random_value},
    {"SLACK_WEBHOOK", R"(hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9_]{6,16}/[A-Za-z0-9_]{6,16}/[A-Za-z0-9_/]{18,64})", "hooks.slack.com"},
    {"DISCORD_TOKEN", R"((?<![A-Za-z0-9_.-])[MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,45}(?![A-Za-z0-9_-]))", nullptr, 0, discord_length, nullptr, {.token_dots = 1}},
    {"DISCORD_WEBHOOK", R"(discord(?:app)?\.com/api/webhooks/[0-9]{17,20}/[A-Za-z0-9_-]{60,72})", "/api/webhooks/"},
    {"TELEGRAM_BOT_TOKEN", R"((?<![A-Za-z0-9_-])(?:bot)?([0-9]{8,10}:[A-Za-z0-9_-]{34,36})(?![A-Za-z0-9_-]))", nullptr, 8, random_token, nullptr, {.digits_colon = 1}},
    {"TEAMS_WEBHOOK", R"(https://[a-z0-9-]{1,60}\.webhook\.office\.com/webhookb2/[A-Za-z0-9-]{36}@[A-Za-z0-9-]{36}/IncomingWebhook/[a-z0-9]{32}/[A-Za-z0-9-]{36})", ".webhook.office.com"},
    {"TWILIO_KEY", R"(\b(?:AC|SK)[a-f0-9]{32}\b)", nullptr, 0, random_token, nullptr, {.mixed_run = 34}},
    {"SENDGRID_KEY", R"(\bSG\.[A-Za-z0-9_-]{20,24}\.[A-Za-z0-9_-]{39,50}(?![A-Za-z0-9_-]))", "sg."},
    {"MAILCHIMP_KEY", R"(\b[a-f0-9]{32}-us[0-9]{1,2}\b)", "-us"},
    {"MAILGUN_KEY", R"(\b(?:pub)?key-[a-f0-9]{32}\b)", "key-"},
    {"MAILGUN_KEY", R"(\b[a-f0-9]{32}-[a-f0-9]{8}-[a-f0-9]{8}\b)", "mailgun"},
    {"BREVO_KEY", R"(\bxkeysib-[a-f0-9]{64}-[A-Za-z0-9]{16}\b)", "xkeysib-"},
    // Payment and shops
    {"STRIPE_KEY", R"(\b(?:[rs]k_(?:live|test|prod)_[A-Za-z0-9]{16,250}|whsec_[A-Za-z0-9]{32,64})\b)", "sk_live_|rk_live_|sk_test_|rk_test_|sk_prod_|rk_prod_|whsec_"},
    {"SQUARE_TOKEN", R"(\b(?:sq0atp-[A-Za-z0-9_-]{22}|sq0csp-[A-Za-z0-9_-]{43}|EAAA[A-Za-z0-9_-]{56,60})(?![A-Za-z0-9_-]))", "sq0atp-|sq0csp-|eaaa", 0, random_token},
    {"SHOPIFY_TOKEN", R"(\bshp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}\b)", "shpat_|shpca_|shppa_|shpss_"},
    {"SHIPPO_TOKEN", R"(\bshippo_(?:live|test)_[a-fA-F0-9]{40}\b)", "shippo_"},
    {"DUFFEL_TOKEN", R"(\bduffel_(?:test|live)_[A-Za-z0-9_=-]{43}(?![A-Za-z0-9_=-]))", "duffel_"},
    {"EASYPOST_KEY", R"(\bEZ[AT]K[A-Za-z0-9]{54}\b)", "ezak|eztk"},
    {"FLUTTERWAVE_KEY", R"(\bFLW(?:SECK|PUBK)(?:_TEST)?-[A-Za-h0-9]{32}-X\b|\bFLWSECK_TEST-[A-Za-h0-9]{12}\b)", "flwseck|flwpubk"},
    {"BRAINTREE_TOKEN", R"(\baccess_token\$(?:production|sandbox)\$[a-z0-9]{16}\$[a-f0-9]{32}\b)", "access_token$"},
    // Watching and serving
    {"GRAFANA_TOKEN", R"(\bglsa_[A-Za-z0-9]{32}_[A-Fa-f0-9]{8}\b|\bglc_[A-Za-z0-9+/]{32,400}={0,3}|\beyJrIjoi[A-Za-z0-9]{70,400}={0,3}(?![A-Za-z0-9=._-]))", "glsa_|glc_|eyjrijoi"},
    {"NEW_RELIC_KEY", R"(\b(?:NRAK-[A-Z0-9]{27}|NRJS-[a-f0-9]{19}|NRII-[A-Za-z0-9_-]{32}|[a-f0-9]{36}NRAL)\b)", "nrak-|nrjs-|nrii-|nral"},
    {"SENTRY_TOKEN", R"(\bsntry[su]_[A-Za-z0-9+/=_]{40,400}+)", "sntrys_|sntryu_"},
    {"DYNATRACE_TOKEN", R"(\bdt0[a-zA-Z][0-9]{2}\.[A-Z0-9]{24}\.[A-Z0-9]{64}\b)", "dt0"},
    {"CLOUDFLARE_KEY", R"(\bv1\.0-[a-f0-9]{24}-[a-f0-9]{146}\b)", "v1.0-"},
    {"FACEBOOK_TOKEN", R"(\bEAA[MC][A-Za-z0-9]{100,300}+)", "eaam|eaac", 0, random_token},
    {"FACEBOOK_TOKEN", R"((?<![A-Za-z0-9_-])[0-9]{15,16}(?:\||%7C)[A-Za-z0-9_-]{27,40}(?![A-Za-z0-9_-]))", nullptr, 15, nullptr, nullptr, {.value_run = 27}},
    {"MAPBOX_TOKEN", R"(\bsk\.eyJ[A-Za-z0-9_-]{40,200}\.[A-Za-z0-9_-]{22}(?![A-Za-z0-9_-]))", "sk.eyj"},
    // Any vendor's
    {"PRIVATE_KEY", R"(-----BEGIN (?:[A-Z0-9]{2,12} ){0,2}PRIVATE KEY(?: BLOCK)?-----|---- BEGIN (?:[A-Z0-9]{2,12} ){0,2}PRIVATE KEY ----|\bPuTTY-User-Key-File-[23]:)", "private key|putty-user-key-file-", 0, key_block},
    {"JWT", R"(\beyJ[A-Za-z0-9_-]{8,4000}+\.eyJ[A-Za-z0-9_-]{8,8000}+\.(?:[A-Za-z0-9_-]{16,2000}+)?)", "eyj", 0, jwt_length},
    {"JWT", R"(\bZXlK[A-Za-z0-9+/_-]{60,8000}+={0,2})", "zxlk", 0, base64_jwt_length},
    {"BASIC_AUTH", R"((?i)\b[a-z][a-z0-9+.-]{1,20}://[^\s:/?#\[\]@"'<>]{0,100}+:([^\s:/?#\[\]@"'<>]{3,200}+)@[a-z0-9.\[_-])", "://", 0, url_password},
    {"BASIC_AUTH", R"((?i)\bauthorization["']{0,2}\s{0,3}:\s{0,3}["']{0,2}basic\s{1,3}([A-Za-z0-9+/]{8,400}={0,2}))", "authorization", 0, basic_length},
    {"BASIC_AUTH", R"((?i)\bcurl\b(?:[^\n\\]|\\\r?\n|\\[^\r\n]){0,400}?\s(?:-u\s{0,3}|--(?:proxy-)?user(?:=|\s{1,3}))(?:["']?[^\s:"'-][^\s:"']{0,99}["']?|["'](?=:)):["']?([^\s:"']{3,200}+))", "curl", 0, url_password},
    {"GENERIC_SECRET", R"((?i)\bauthorization["']{0,2}\s{0,3}[:=]\s{0,3}["'`]{0,2}(?:(?:bearer|token|api[_-]?key|api[_-]?token)\s{1,3})?([A-Za-z0-9_./+=~-]{16,2000}+)(?!\())", "authorization", 0, random_value, nullptr, {.random_run = kValueRun}},
    {"GENERIC_SECRET",
     R"((?i)(?:api[ _-]?key|secret(?:[ _-]?key)?|token|passw(?:or)?d|passphrase|credentials?|access[ _-]?key|auth[ _-]?key|private[ _-]?key|encryption[ _-]?key|signing[ _-]?key|client[ _-]?key)(?:s|[_-][a-z0-9_-]{1,20}|[0-9]{1,2})?(?![a-z]))"
     R"((?:\\?["'`]){0,2}[\])]{0,2}\s{0,5}(?:[!=]?={1,2}>?|:|:{1,3}=|(?:[?.+]|\?\?|\|\|)=|\|\||\?\?|(?<=[a-z0-9_-])>|\b(?:is|or)\b|(?<=["'`]),(?=\s{0,5}[a-z@$]{0,2}["'`])|)"
     R"(:?\s{0,3}&?(?:optional\[)?str(?:ing)?[\]?]{0,2}\s{0,3}:?=|\[[0-9]{0,4}\]\s{0,3}=|[,;]?\s{0,12}["']?\bvalue["']?\s{0,3}[:=]))"
     R"(\s{0,5}(?:bearer\s{1,3})?(?:[a-z@$]{1,2}(?=["'`]))?(?:\\?["'`]){0,3}([A-Za-z0-9_./+=~-]{16,400}+)(?!\())",
     "key|secret|token|passw|passphrase|credential", 0, random_value, nullptr, {.random_run = kValueRun}},
    {"PASSWORD",
     R"((?i)(?:passw(?:or)?d|passwd|passphrase|secret|pwd|db_pass)(?:[_-][a-z0-9_-]{1,20}|[0-9]{1,2})?(?![a-z]))"
     R"((?:\\?["'`]){0,2}[\])]{0,2}\s{0,5}(?:[!=]?={1,2}>?|:|:{1,3}=|(?:[?.+]|\?\?|\|\|)=|\|\||\?\?|)"
     R"(:?\s{0,3}&?(?:optional\[)?str(?:ing)?[\]?]{0,2}\s{0,3}:?=|\[[0-9]{0,4}\]\s{0,3}=|[,;]?\s{0,12}["']?\bvalue["']?\s{0,3}[:=]))"
     R"(\s{0,5}(?:[a-z@$]{1,2}(?=["'`]))?\\?["'`]([^\s"'`]{4,200}+)["'`])",
     "passw|passphrase|secret|pwd|db_pass", 0, password_value},
    {"PASSWORD", R"((?i)<(?:[a-z0-9_.-]{0,30}[_.-])?(?:db_?)?(?:passw(?:or)?d|passphrase|pwd)>([^<>\s]{4,200}+)</)", "passw|passphrase|pwd", 0, password_value},
    {"PASSWORD", R"((?im)^[ \t-]{0,20}(?:export[ \t]{1,3}|env[ \t]{1,3})?[a-z0-9_.-]{0,40}?(?:passw(?:or)?d|passphrase)[ \t]{0,2}[:=][ \t]{0,3}(?![a-z]{2,9}://)((?=[^\s]{0,60}[0-9!@#$%^&*])[^\s"'`,;{}()<>]{6,60}+)[ \t]{0,20}\r?$)", "passw|passphrase", 0, password_value},
    {"PASSWORD", R"((?i)[;?&]\s?(?:password|passwd|pwd)=((?=[^;&\s"'`]{0,100}[0-9!@#$%^*])[^;&\s"'`(){}<>]{4,100}+)(?=[;&\s"'`]|$))", "password=|passwd=|pwd=", 0, password_value},
    {"PASSWORD", R"((?i)\b(?:passw(?:or)?d|passphrase|pwd|passcode)\s{1,3}(?:is|was)\s{0,3}:?\s{0,3}["'`]?((?=[^\s"'`]{0,60}[0-9!@#$%^&*])[^\s"'`,;]{6,60}[^\s"'`,;.!?])(?![^\s"'`,;.!?]))", "passw|passphrase|pwd|passcode", 0, password_value},
};

}  // namespace

std::span<const Rule> secret_rules() { return kSecretRules; }

bool is_stand_in(std::string_view value) {
  constexpr std::size_t kRunMin = 8, kShare = 6;
  std::size_t run = 0, longest = 0;
  for (const char c : value) {
    run = c == 'x' || c == 'X' ? run + 1 : 0;
    longest = std::max(longest, run);
  }
  return longest >= kRunMin && longest * kShare >= value.size();
}

double entropy_of(std::string_view text) {
  std::array<unsigned, 256> counts{};
  for (const char c : text) ++counts[static_cast<unsigned char>(c)];
  double bits = 0;
  for (const unsigned count : counts) {
    if (count == 0) continue;
    const double share = static_cast<double>(count) / static_cast<double>(text.size());
    bits -= share * std::log2(share);
  }
  return bits;
}

}  // namespace redoubt::detectors
