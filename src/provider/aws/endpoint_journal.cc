// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/endpoint_journal.h"

#include "base/json.h"
#include "provider/aws/object_text.h"

namespace redoubt::provider::aws {
namespace {

constexpr std::string_view kSuffix = ".json";

struct Member {
  const char* name;
  std::string EndpointEntry::*text;
};

constexpr Member kMembers[] = {{"config", &EndpointEntry::config}, {"model", &EndpointEntry::model}, {"files", &EndpointEntry::files}, {"workspace", &EndpointEntry::workspace},
                               {"name", &EndpointEntry::name}, {"version", &EndpointEntry::version}, {"deployment", &EndpointEntry::deployment}, {"before", &EndpointEntry::before}};

}  // namespace

Status EndpointJournal::put(const EndpointEntry& entry) {
  Json json = Json::object();
  for (const auto& member : kMembers) json[member.name] = entry.*member.text;
  return put_text_if_new(models_, key_of(entry.config), dump_json(json));
}

Result<std::optional<EndpointEntry>> EndpointJournal::find(const std::string& config) {
  const std::string key = key_of(config);
  const auto text = get_text(models_, key);
  if (!text && text.error().code == ErrorCode::not_found) return std::optional<EndpointEntry>();
  const Json json = TRY(parse_json(TRY(text), key));
  EndpointEntry entry;
  for (const auto& member : kMembers) entry.*member.text = TRY(json_string(json, member.name, key));
  return std::optional(std::move(entry));
}

Result<std::vector<EndpointEntry>> EndpointJournal::all() {
  std::vector<EndpointEntry> entries;
  for (const auto& key : TRY(models_.list(place_))) {
    if (!key.ends_with(kSuffix)) continue;
    auto entry = TRY(find(key.substr(place_.size(), key.size() - place_.size() - kSuffix.size())));
    if (entry) entries.push_back(std::move(*entry));
  }
  return entries;
}

Status EndpointJournal::remove(const std::string& config) { return remove_if_there(models_, key_of(config)); }

}  // namespace redoubt::provider::aws
