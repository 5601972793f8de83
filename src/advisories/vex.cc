// SPDX-License-Identifier: Apache-2.0
#include "advisories/vex.h"

#include <algorithm>
#include <map>

#include "advisories/matching.h"

namespace redoubt::advisories {
namespace {

using detail::unescaped;

constexpr std::size_t kVexBytesMax = 64 << 20;

tl::unexpected<Error> refused(const std::string& what, const std::string& where, const std::string& hint) { return fail(ErrorCode::invalid_argument, what, where, hint); }

// The end of a statement: its own, its document's, or the one that the caller gave.
Result<TimePoint> end_of(const Json& statement, const Json& document, std::optional<TimePoint> until, const std::string& where) {
  for (const Json* holder : {&statement, &document}) {
    for (const char* key : {"expires", "valid_until", "redoubt:expires"}) {
      if (const std::string text = json_or(*holder, key, ""); !text.empty()) return parse_end_date(text, where);
    }
    for (const auto& property : json_or(*holder, "properties", Json::array())) {
      const std::string name = json_or(property, "name", "");
      if (name == "redoubt:expires" || name == "expires" || name == "valid_until" || name == "redoubt:valid_until") return parse_end_date(json_or(property, "value", ""), where);
    }
  }
  if (until) return *until;
  return refused("the acceptance has no end date", where, "add \"expires\": \"2026-12-31\" to the statement (CycloneDX: a property \"redoubt:expires\"), or name one with --vex-until");
}

bool is_package(const std::string& id) { return id.starts_with("pkg:") && !id.starts_with("pkg:oci/") && !id.starts_with("pkg:docker/"); }

// Whether a product's identifier means this image: its digest, its reference, or the name of its repository.
bool names_image(const std::string& id, const VexSubject& subject) {
  const std::string plain = unescaped(id);
  if (subject.digest && plain.find(subject.digest->hex()) != plain.npos) return true;
  // Another image's digest is another image.
  if (plain.find("sha256:") != plain.npos) return false;
  if (plain == subject.reference) return true;
  std::string name = plain.substr(0, plain.find_first_of("?#"));
  for (const char* type : {"pkg:oci/", "pkg:docker/"}) {
    if (!name.starts_with(type)) continue;
    const std::string repository = subject.reference.substr(0, subject.reference.find_first_of(":@", subject.reference.rfind('/') + 1));
    name = name.substr(std::string_view(type).size());
    const std::string bare = name.substr(0, name.find('@')), last = repository.substr(repository.rfind('/') + 1);
    const auto at = name.find('@');
    const std::string tag = at == name.npos ? "" : name.substr(at + 1);
    return bare.substr(bare.rfind('/') + 1) == last && (tag.empty() || subject.reference.ends_with(":" + tag));
  }
  return false;
}

std::vector<std::string> identifiers_of(const Json& component) {
  if (component.is_string()) return {component.get<std::string>()};
  std::vector<std::string> out;
  if (const std::string id = json_or(component, "@id", ""); !id.empty()) out.push_back(id);
  const Json identifiers = json_or(component, "identifiers", Json::object());
  if (const std::string purl = json_or(identifiers, "purl", ""); !purl.empty()) out.push_back(purl);
  const Json hashes = json_or(component, "hashes", Json::object());
  if (const std::string hash = json_or(hashes, "sha-256", ""); !hash.empty()) out.push_back("sha256:" + hash);
  return out;
}

// The package URLs that a statement is about; one "" for all of the image. Empty for a statement about something else.
std::vector<std::string> packages_of(const Json& products, const VexSubject& subject) {
  std::vector<std::string> out;
  for (const auto& product : products) {
    const auto ids = identifiers_of(product);
    for (const auto& id : ids) {
      if (is_package(id)) out.push_back(id);
    }
    if (std::none_of(ids.begin(), ids.end(), [&](const std::string& id) { return names_image(id, subject); })) continue;
    const Json parts = product.is_object() ? json_or(product, "subcomponents", Json::array()) : Json::array();
    if (parts.empty()) out.emplace_back();
    for (const auto& part : parts) {
      for (const auto& id : identifiers_of(part)) out.push_back(id);
    }
  }
  return out;
}

std::vector<std::string> vulnerability_ids(const Json& vulnerability) {
  if (vulnerability.is_string()) return {vulnerability.get<std::string>()};
  std::vector<std::string> ids;
  for (const char* key : {"name", "@id"}) {
    if (const std::string id = json_or(vulnerability, key, ""); !id.empty()) ids.push_back(id.substr(id.rfind('/') + 1));
  }
  for (const auto& alias : json_or(vulnerability, "aliases", Json::array())) {
    if (alias.is_string()) ids.push_back(alias.get<std::string>());
  }
  return ids;
}

// What a statement says of one vulnerability in the image or in a package of it, and since when.
struct Said {
  TimePoint since;
  bool is_accepted = false;
  AcceptedFinding finding;
};

// Of a statement, of the document where it has none of its own: as OpenVEX has it, or CycloneDX.
Result<TimePoint> time_of(const Json& statement, const Json& document, const std::string& where) {
  for (const Json* holder : {&statement, &document}) {
    for (const char* key : {"last_updated", "timestamp", "lastUpdated", "firstIssued"}) {
      const std::string text = json_or(*holder, key, "");
      if (text.empty()) continue;
      const auto parsed = parse_rfc3339(text);
      return parsed ? Result<TimePoint>(*parsed) : refused("not a time: " + text, where + ": " + key, "write it as 2026-12-31T12:00:00Z: of two statements the later counts");
    }
  }
  return TimePoint{};
}

bool overlap(const std::string& a, const std::string& b) { return a.empty() || b.empty() || detail::purl_matches(a, b) || detail::purl_matches(b, a); }

// The latest word counts; of the same moment, the one that stands last. What is affected in part is no longer covered by an acceptance of the whole.
std::vector<AcceptedFinding> latest(std::vector<Said> said) {
  std::stable_sort(said.begin(), said.end(), [](const Said& a, const Said& b) { return a.since < b.since; });
  std::vector<AcceptedFinding> accepted;
  for (auto& one : said) {
    if (one.is_accepted) {
      accepted.push_back(std::move(one.finding));
    } else {
      std::erase_if(accepted, [&](const AcceptedFinding& before) { return before.id == one.finding.id && overlap(before.purl, one.finding.purl); });
    }
  }
  return accepted;
}

bool is_acceptance(const std::string& status) { return status == "not_affected" || status == "fixed"; }

// Why, and until when; both are asked for.
Result<AcceptedFinding> acceptance(const Json& statement, const Json& document, std::optional<TimePoint> until, const std::string& where, const std::string& place) {
  std::string reason = json_or(statement, "justification", "");
  for (const char* key : {"impact_statement", "status_notes"}) {
    if (const std::string more = json_or(statement, key, ""); !more.empty()) reason += (reason.empty() ? "" : ": ") + more;
  }
  if (reason.empty()) return refused("the acceptance has no reason", place, "add a justification or an impact_statement");
  const TimePoint end = TRY(end_of(statement, document, until, place));
  return AcceptedFinding{"", "", std::move(reason), end, "", where};
}

Result<std::vector<AcceptedFinding>> read_open_vex(const Json& document, const std::string& where, const VexSubject& subject, std::optional<TimePoint> until) {
  std::vector<Said> said;
  std::size_t number = 0;
  for (const auto& statement : TRY(json_array(document, "statements", where))) {
    const std::string place = where + ": statement " + std::to_string(++number);
    if (!statement.is_object() || !statement.contains("vulnerability")) return refused("a statement without a vulnerability", place, "see the OpenVEX specification");
    const std::string status = TRY(json_string(statement, "status", place));
    if (!is_acceptance(status) && status != "affected" && status != "under_investigation") return refused("a status that OpenVEX does not have: " + status, place, "write not_affected, affected, fixed or under_investigation");
    const auto ids = vulnerability_ids(statement["vulnerability"]);
    if (ids.empty()) return refused("a statement without a vulnerability", place, "name it: {\"vulnerability\": {\"name\": \"CVE-...\"}}");
    Said one{TRY(time_of(statement, document, place)), is_acceptance(status), {}};
    if (one.is_accepted) one.finding = TRY(acceptance(statement, document, until, where, place));
    const Json products = json_or(statement, "products", Json::array());
    for (const auto& purl : packages_of(products.empty() ? json_or(document, "products", Json::array()) : products, subject)) {
      one.finding.purl = purl;
      for (const auto& id : ids) said.emplace_back(one).finding.id = id;
    }
  }
  return latest(std::move(said));
}

// Package URLs of the components that the document itself lists, by what it calls them.
void name_components(const Json& components, int depth, std::map<std::string, std::string>& purls) {
  constexpr int kComponentsDepthMax = 32;
  if (depth > kComponentsDepthMax || !components.is_array()) return;
  for (const auto& component : components) {
    const std::string ref = json_or(component, "bom-ref", ""), purl = json_or(component, "purl", "");
    if (!ref.empty() && !purl.empty()) purls.emplace(ref, purl);
    name_components(json_or(component, "components", Json::array()), depth + 1, purls);
  }
}

Result<std::vector<AcceptedFinding>> read_cyclonedx_vex(const Json& document, const std::string& where, const VexSubject& subject, std::optional<TimePoint> until) {
  std::vector<Said> said;
  std::map<std::string, std::string> purls;
  name_components(json_or(document, "components", Json::array()), 0, purls);
  name_components(Json::array({json_or(json_or(document, "metadata", Json::object()), "component", Json::object())}), 0, purls);
  for (const auto& vulnerability : TRY(json_array(document, "vulnerabilities", where))) {
    const std::string id = TRY(json_string(vulnerability, "id", where)), place = where + ": " + id;
    const Json analysis = json_or(vulnerability, "analysis", Json::object());
    const std::string state = json_or(analysis, "state", "");
    if (state.empty()) continue;  // it says nothing
    Said one{TRY(time_of(analysis, Json::object(), place)), state == "not_affected" || state == "false_positive" || state == "resolved" || state == "resolved_with_pedigree", {}};
    std::string reason = json_or(analysis, "justification", "");
    if (const std::string detail = json_or(analysis, "detail", ""); !detail.empty()) reason += (reason.empty() ? "" : ": ") + detail;
    if (one.is_accepted && reason.empty()) return refused("the acceptance has no reason", place, "add a justification or a detail to its analysis");
    const TimePoint end = one.is_accepted ? TRY(end_of(vulnerability, document, until, place)) : TimePoint{};
    one.finding = {id, "", reason, end, "", where};
    for (const auto& affected : json_or(vulnerability, "affects", Json::array())) {
      const std::string ref = json_or(affected, "ref", "");
      const bool elsewhere = ref.starts_with("urn:cdx:") && ref.find('#') != ref.npos;  // of another document, or of this one by its number
      std::string target = elsewhere ? unescaped(ref.substr(ref.find('#') + 1)) : ref;
      if (const auto named = purls.find(target); named != purls.end()) target = named->second;
      else if (!elsewhere) target = unescaped(ref.substr(ref.find('#') == ref.npos ? 0 : ref.find('#') + 1));
      if (is_package(target)) said.emplace_back(one).finding.purl = target;
      if (names_image(target, subject) || target == "image") said.push_back(one);
    }
  }
  return latest(std::move(said));
}

}  // namespace

Result<TimePoint> parse_end_date(const std::string& text, const std::string& where) {
  const bool is_day = text.size() == 10;
  const auto parsed = parse_rfc3339(is_day ? text + "T00:00:00Z" : text);
  if (!parsed) return refused("not a date: " + text, where, "write it as 2026-12-31 or 2026-12-31T12:00:00Z");
  return is_day ? *parsed + std::chrono::hours(24) : *parsed;
}

Result<std::vector<AcceptedFinding>> read_vex(std::string_view text, const std::string& where, const VexSubject& subject, std::optional<TimePoint> until) {
  const Json document = TRY(parse_json(text, where, {.bytes_max = kVexBytesMax}));
  if (!document.is_object()) return refused("not a VEX document", where, "name an OpenVEX or a CycloneDX document");
  if (json_or(document, "bomFormat", "") == "CycloneDX") return read_cyclonedx_vex(document, where, subject, until);
  Json context = document.contains("@context") ? document["@context"] : Json("");
  if (context.is_array() && !context.empty()) context = context[0];
  if (context.is_string() && context.get<std::string>().find("openvex.dev") != std::string::npos) return read_open_vex(document, where, subject, until);
  return refused("not a VEX document", where, "name an OpenVEX document (\"@context\": \"https://openvex.dev/ns/v0.2.0\") or a CycloneDX one");
}

}  // namespace redoubt::advisories
