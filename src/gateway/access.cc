// SPDX-License-Identifier: Apache-2.0
#include "gateway/access.h"

#include "base/json_members.h"
#include "base/lower_case.h"

namespace redoubt::gateway {
namespace {

constexpr std::string_view kAccessWhere = "deploy.access";
constexpr std::int64_t kConcurrentMax = 100'000;

tl::unexpected<Error> wrong(std::string what, std::string hint = {}) { return fail(ErrorCode::invalid_argument, std::move(what), std::string(kAccessWhere), std::move(hint)); }

Result<std::vector<std::string>> texts_of(const Json& object, const char* name) {
  std::vector<std::string> texts;
  // Passing over one text where a list belongs would grant more than was meant.
  if (object.contains(name) && !object[name].is_array()) return wrong(std::string(name) + " must be a list of texts");
  for (const auto& text : json_or(object, name, Json::array())) {
    if (!text.is_string()) return wrong(std::string(name) + " must be a list of texts");
    texts.push_back(text.get<std::string>());
  }
  return texts;
}

// Of those who share them, by name.
Result<std::map<std::string, UseLimits>> shared_limits_of(const Json& json, const char* member) {
  std::map<std::string, UseLimits> all;
  const auto given = json_or(json, member, Json::object());
  for (const auto& [name, limits] : given.items()) {
    const auto read = TRY(use_limits_of(limits, kAccessWhere));
    if (read.prompt_tokens_max != 0 || read.answer_tokens_max != 0) return wrong(std::string(member) + ": the lengths of prompts and answers are a key's");
    all[name] = read;
  }
  return all;
}

// A fingerprint as certificates have it, however it was written ("3F:A0:..." is openssl's way); any other name as it is.
std::string certificate_name_of(std::string name) {
  constexpr std::size_t kDigits = 64;
  auto digits = lower_case(name);
  std::erase(digits, ':');
  const bool is_fingerprint = digits.size() == kDigits && digits.find_first_not_of("0123456789abcdef") == digits.npos;
  return is_fingerprint ? digits : name;
}

// What whoever comes this way may do: `scopes`, `models`, `tenant`, `limits`, `requests_per_minute`, `concurrent_requests`.
Result<ApiKeyInfo> caller_of(const Json& json) {
  ApiKeyInfo caller;
  caller.tenant = json_or(json, "tenant", "");
  caller.requests_per_minute = static_cast<int>(json_or(json, "requests_per_minute", std::int64_t{0}));
  if (json.contains("requests_per_minute") && caller.requests_per_minute < 1) return wrong("requests_per_minute must be above 0");  // 0 is the endpoint's own
  const auto concurrent = json_or(json, "concurrent_requests", std::int64_t{caller.concurrent_requests});
  if (concurrent < 1 || concurrent > kConcurrentMax) return wrong("concurrent_requests goes from 1 to 100000");
  caller.concurrent_requests = static_cast<int>(concurrent);
  for (auto& model : TRY(texts_of(json, "models"))) caller.models.insert(std::move(model));
  const auto scopes = TRY(texts_of(json, "scopes"));
  if (!scopes.empty()) caller.scopes.clear();
  for (const auto& scope : scopes) caller.scopes.insert(TRY(parse_scope(scope)));
  if (json.contains("limits")) caller.limits = TRY(use_limits_of(json["limits"], kAccessWhere));
  return caller;
}

// Where its keys come from over the network.
Result<KeySource> key_source_of(const Json& json, const std::string& issuer) {
  KeySource source{issuer};
  source.key_set_url = json_or(json, "key_set_url", "");
  source.ca_file = json_or(json, "ca_file", "");
  source.key_set_hosts = TRY(texts_of(json, "key_set_hosts"));
  if (!source.key_set_url.empty() && !source.key_set_url.starts_with("https://")) return wrong("oidc.key_set_url must be https");
  return source;
}

Result<OidcOptions> oidc_of(const Json& json) {
  TRY(only_members(json, {"issuer", "audience", "algorithms", "skew_s", "scopes_claim", "tenant_claim", "key_set_file", "key_set_url", "key_set_hosts", "ca_file", "tenant", "models", "limits", "requests_per_minute", "concurrent_requests"}, kAccessWhere));
  OidcOptions oidc;
  oidc.rules.issuer = TRY(json_string(json, "issuer", kAccessWhere));
  oidc.rules.audience = TRY(json_string(json, "audience", kAccessWhere));
  oidc.rules.skew_s = static_cast<int>(json_or(json, "skew_s", std::int64_t{60}));
  if (oidc.rules.skew_s < 0 || oidc.rules.skew_s > 600) return wrong("oidc.skew_s goes from 0 to 600");
  oidc.rules.scopes_claim = json_or(json, "scopes_claim", "scope");
  oidc.rules.tenant_claim = json_or(json, "tenant_claim", "");
  const auto algorithms = TRY(texts_of(json, "algorithms"));
  if (!algorithms.empty()) oidc.rules.algorithms.clear();
  for (const auto& name : algorithms) {
    const auto algorithm = crypto::parse_jwt_algorithm(name);
    if (!algorithm) return wrong("oidc.algorithms: " + name + " is none that is taken", "RS256, PS256, ES256, EdDSA and their like");
    oidc.rules.algorithms.insert(*algorithm);
  }
  oidc.key_set_file = json_or(json, "key_set_file", "");
  oidc.source = TRY(key_source_of(json, oidc.rules.issuer));
  if (!oidc.key_set_file.empty() && !oidc.source.key_set_url.empty()) return wrong("oidc takes one of key_set_file and key_set_url");
  const bool is_found = oidc.key_set_file.empty() && oidc.source.key_set_url.empty();
  if (is_found && !check_issuer(oidc.rules.issuer))
    return wrong("oidc.issuer must be an https URL without query and fragment where its configuration document is read", "or name key_set_url or key_set_file");
  if (!is_found && !oidc.source.key_set_hosts.empty()) return wrong("oidc.key_set_hosts goes with the issuer's own document", "leave out key_set_hosts, or key_set_url and key_set_file");
  oidc.rules.caller = TRY(caller_of(json));
  return oidc;
}

Status read_certificates(const Json& json, AccessOptions& access) {
  TRY(only_members(json, {"ca_file", "required", "clients"}, kAccessWhere));
  access.client_ca_file = TRY(json_string(json, "ca_file", kAccessWhere));
  access.client_certificates = json_or(json, "required", false) ? crypto::ClientCertificates::required : crypto::ClientCertificates::optional;
  for (const auto& client : json_or(json, "clients", Json::array())) {
    TRY(only_members(client, {"name", "tenant", "scopes", "models", "limits", "requests_per_minute", "concurrent_requests"}, kAccessWhere));
    CertificateRule rule;
    rule.name = certificate_name_of(TRY(json_string(client, "name", kAccessWhere)));
    rule.caller = TRY(caller_of(client));
    rule.caller.id = "certificate " + rule.name;
    rule.caller.name = rule.name;
    if (rule.name.empty()) return wrong("a client certificate's rule has no name");
    access.certificates.push_back(std::move(rule));
  }
  return {};
}

}  // namespace

Result<AccessOptions> read_access(const Json& json) {
  AccessOptions access;
  TRY(only_members(json, {"aws_region", "certificate_file", "key_file", "allow_tls_1_2", "oidc", "client_certificates", "tenants", "models", "prices"}, kAccessWhere));
  access.aws_region = json_or(json, "aws_region", access.aws_region.c_str());
  access.certificate_file = json_or(json, "certificate_file", "");
  access.key_file = json_or(json, "key_file", "");
  if (access.certificate_file.empty() != access.key_file.empty()) return wrong("certificate_file and key_file go together");
  access.allow_tls_1_2 = json_or(json, "allow_tls_1_2", false);
  if (json.contains("oidc")) access.oidc = TRY(oidc_of(json["oidc"]));
  if (json.contains("client_certificates")) TRY(read_certificates(json["client_certificates"], access));
  access.tenants = TRY(shared_limits_of(json, "tenants"));
  access.models = TRY(shared_limits_of(json, "models"));
  const auto prices = json_or(json, "prices", Json::object());
  TRY(only_members(prices, {"prompt", "answer"}, kAccessWhere));
  access.prices = {json_or(prices, "prompt", std::int64_t{0}), json_or(prices, "answer", std::int64_t{0})};
  const auto is_of_money = [](const UseLimits& limits) { return limits.money_per_day > 0 || limits.money_per_month > 0; };
  bool any_money = access.oidc && is_of_money(access.oidc->rules.caller.limits);
  for (const auto& rule : access.certificates) any_money |= is_of_money(rule.caller.limits);
  for (const auto* shared : {&access.tenants, &access.models})
    for (const auto& [name, limits] : *shared) any_money |= is_of_money(limits);
  if (any_money && access.prices.prompt == 0 && access.prices.answer == 0) return wrong("a limit of money would never be reached without prices", "add prices: {prompt, answer}, in millionths for a million tokens");
  if (access.prices.prompt < 0 || access.prices.answer < 0 || access.prices.prompt > 1'000'000'000'000 || access.prices.answer > 1'000'000'000'000) return wrong("a price is out of bounds");
  return access;
}

}  // namespace redoubt::gateway
