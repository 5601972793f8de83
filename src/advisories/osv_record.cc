// SPDX-License-Identifier: Apache-2.0
#include "advisories/osv_record.h"

#include <simdjson.h>

#include <algorithm>
#include <set>

#include "advisories/cvss.h"
#include "base/lower_case.h"

namespace redoubt::advisories {
namespace {

namespace dom = simdjson::dom;

std::string_view text_or_empty(const dom::element& value) {
  std::string_view text;
  return value.get(text) == simdjson::SUCCESS ? text : std::string_view();
}

std::string_view text_member(const dom::object& object, std::string_view key) {
  dom::element value;
  return object.at_key(key).get(value) == simdjson::SUCCESS ? text_or_empty(value) : std::string_view();
}

// "moderate" of GitHub, "unimportant" and "negligible" of the distributions; "" for another word.
std::string severity_word(std::string_view text) {
  const std::string word = lower_case(text);
  if (word == "moderate") return "medium";
  if (word == "unimportant" || word == "negligible" || word == "untriaged") return "low";
  if (word == "important") return "high";
  return word == "critical" || word == "high" || word == "medium" || word == "low" ? word : "";
}

struct Severity {
  double score = 0;
  std::string vector, word;

  // A list of {"type", "score"}: vectors, or a distribution's word.
  void read_list(const dom::element& list) {
    dom::array items;
    if (list.get(items) != simdjson::SUCCESS) return;
    for (const dom::element& item : items) {
      dom::object object;
      if (item.get(object) != simdjson::SUCCESS) continue;
      const auto text = text_member(object, "score");
      if (const auto computed = cvss_score(text); computed && *computed >= score) {
        score = *computed;
        vector = text;
      } else if (word.empty()) {
        word = severity_word(text);
      }
    }
  }
  // "severity" of a database, "urgency" of Debian's.
  void read_specific(const dom::element& value) {
    dom::object object;
    if (!word.empty() || value.get(object) != simdjson::SUCCESS) return;
    for (const char* key : {"severity", "urgency"}) {
      if (word.empty()) word = severity_word(text_member(object, key));
    }
  }
};

// The score of the best vector given, else the word that the database gives; a record that says neither is taken as high, a package that
// was made to do harm as critical.
void set_severity(const Severity& severity, Advisory& advisory) {
  advisory.cvss = severity.score;
  advisory.vector = severity.vector;
  if (!severity.vector.empty()) {
    advisory.severity = severity.score > 0 ? severity_of_score(severity.score) : "low";
  } else {
    advisory.severity = !severity.word.empty() ? severity.word : advisory.id.starts_with("MAL-") ? "critical" : "high";
  }
}

void read_range(const dom::element& value, Advisory& advisory) {
  dom::object range;
  if (value.get(range) != simdjson::SUCCESS || text_member(range, "type") == "GIT") return;
  dom::array events;
  if (range.at_key("events").get(events) != simdjson::SUCCESS) return;
  std::vector<RangeEvent> list;
  for (const dom::element& item : events) {
    dom::object event;
    if (item.get(event) != simdjson::SUCCESS) continue;
    for (const auto field : event) {
      const auto version = text_or_empty(field.value);
      if (version.empty()) continue;
      if (field.key == "introduced") list.push_back({RangeEvent::introduced, std::string(version)});
      if (field.key == "fixed") list.push_back({RangeEvent::fixed, std::string(version)});
      if (field.key == "last_affected") list.push_back({RangeEvent::last_affected, std::string(version)});
      if (field.key == "limit") list.push_back({RangeEvent::limit, std::string(version)});
    }
  }
  add_ranges(std::move(list), advisory);
}

// What a distribution's advisory is about is named as "upstream". One flaw is the same thing by another name; of several no finding is one.
void set_upstream(std::vector<std::string> upstream, Advisory& advisory) {
  const auto flaws = std::count_if(upstream.begin(), upstream.end(), [](const std::string& id) { return id.starts_with("CVE-"); });
  auto& names = flaws <= 1 ? advisory.aliases : advisory.upstream;
  for (auto& id : upstream) {
    if (id != advisory.id && std::find(names.begin(), names.end(), id) == names.end()) names.push_back(std::move(id));
  }
}

template <class Body>
void for_each_item(const dom::element& list, Body body) {
  dom::array items;
  if (list.get(items) != simdjson::SUCCESS) return;
  for (const dom::element& item : items) body(item);
}

// Nothing for an entry that names no package (a range of commits).
std::optional<Advisory> read_affected(const dom::element& value, const Advisory& record, const Severity& common) {
  dom::object affected, package;
  if (value.get(affected) != simdjson::SUCCESS || affected.at_key("package").get(package) != simdjson::SUCCESS) return std::nullopt;
  Advisory advisory = record;
  advisory.ecosystem = text_member(package, "ecosystem");
  advisory.package = text_member(package, "name");
  if (advisory.ecosystem.empty() || advisory.package.empty()) return std::nullopt;
  Severity severity;
  for (const auto field : affected) {
    if (field.key == "ranges") for_each_item(field.value, [&](const dom::element& range) { read_range(range, advisory); });
    if (field.key == "versions") for_each_item(field.value, [&](const dom::element& version) { if (!text_or_empty(version).empty()) advisory.versions.emplace_back(text_or_empty(version)); });
    if (field.key == "severity") severity.read_list(field.value);
    if (field.key == "database_specific" || field.key == "ecosystem_specific") severity.read_specific(field.value);
  }
  Severity best = severity;
  if (common.score > best.score || best.vector.empty()) best.score = common.score, best.vector = common.vector;
  if (best.word.empty()) best.word = common.word;
  set_severity(best, advisory);
  return advisory;
}

}  // namespace

constexpr std::size_t kDepthMax = 64;

struct OsvParser::State {
  dom::parser parser{kRecordBytesMax};
  simdjson::error_code prepared = parser.allocate(1 << 20, kDepthMax);
};

OsvParser::OsvParser() : state_(std::make_unique<State>()) {}
OsvParser::~OsvParser() = default;

Result<OsvRecord> OsvParser::parse(std::string& text, const std::string& where) {
  const auto broken = [&](const std::string& what) { return fail(ErrorCode::invalid_argument, "not a record in the OSV schema: " + what, where); };
  if (text.capacity() < text.size() + simdjson::SIMDJSON_PADDING) text.reserve(text.size() + simdjson::SIMDJSON_PADDING);
  dom::element document;
  dom::object record;
  if (state_->prepared != simdjson::SUCCESS) return fail(ErrorCode::limit_exceeded, "no memory to read a record", where);
  if (const auto error = state_->parser.parse(text.data(), text.size(), false).get(document); error != simdjson::SUCCESS) return broken(simdjson::error_message(error));
  if (document.get(record) != simdjson::SUCCESS) return broken("no object");
  Advisory common;
  Severity severity;
  OsvRecord out;
  bool withdrawn = false;
  std::optional<dom::element> affected;
  std::vector<std::string> upstream;
  std::set<std::string_view> seen;
  for (const auto field : record) {
    if (!seen.insert(field.key).second) return broken("a member that stands twice: " + std::string(field.key));
    if (field.key == "id") common.id = text_or_empty(field.value);
    if (field.key == "modified") out.modified = parse_rfc3339(text_or_empty(field.value)).value_or(TimePoint{});
    if (field.key == "withdrawn") withdrawn = parse_rfc3339(text_or_empty(field.value)).has_value();
    if (field.key == "aliases") for_each_item(field.value, [&](const dom::element& alias) { if (!text_or_empty(alias).empty()) common.aliases.emplace_back(text_or_empty(alias)); });
    if (field.key == "upstream") for_each_item(field.value, [&](const dom::element& id) { if (!text_or_empty(id).empty()) upstream.emplace_back(text_or_empty(id)); });
    if (field.key == "severity") severity.read_list(field.value);
    if (field.key == "database_specific" || field.key == "ecosystem_specific") severity.read_specific(field.value);
    if (field.key == "affected") affected = field.value;
  }
  if (common.id.empty()) return broken("it has no id");
  set_upstream(std::move(upstream), common);
  if (withdrawn || !affected) return out;
  for_each_item(*affected, [&](const dom::element& one) {
    if (auto advisory = read_affected(one, common, severity)) out.advisories.push_back(std::move(*advisory));
  });
  return out;
}

}  // namespace redoubt::advisories
