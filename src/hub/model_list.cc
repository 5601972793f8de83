// SPDX-License-Identifier: Apache-2.0
#include "hub/model_list.h"

#include <algorithm>

#include "base/lower_case.h"

namespace redoubt::hub {
namespace {

constexpr std::size_t kParametersMax = 64;

// As a form writes it: '+' is a space.
Result<std::string> decode(std::string_view text) {
  std::string plain(text);
  std::replace(plain.begin(), plain.end(), '+', ' ');
  return http::percent_decode(plain);
}

bool says_yes(const std::string& value) { return http::equal_ignoring_case(value, "true") || value == "1"; }

Status set(ModelQuery& query, const std::string& name, const std::string& value) {
  if (name == "search") query.search = lower_case(value);
  if (name == "author") query.author = lower_case(value);
  if (name == "filter" || name == "tags") query.filters.push_back(value);
  if (name == "full") query.is_full = says_yes(value);
  if (name == "sort") query.sort = value;
  if (name == "direction") query.is_ascending = value == "1";
  if (name == "gated") query.gated = says_yes(value);
  return {};
}

bool fits(const ModelQuery& query, const ListedModel& model, const Json& info) {
  const std::string id = lower_case(model.repository.id);
  if (!query.author.empty() && !id.starts_with(query.author + "/")) return false;
  if (id.find(query.search) == id.npos || (query.gated && *query.gated != model.is_gated)) return false;
  const Json& tags = info["tags"];
  return std::all_of(query.filters.begin(), query.filters.end(), [&](const std::string& tag) { return std::find(tags.begin(), tags.end(), tag) != tags.end(); });
}

}  // namespace

Result<ModelQuery> parse_model_query(std::string_view text) {
  ModelQuery query;
  query.page = TRY(page_of(text, kPageMax));
  std::size_t parameters = 0;
  for (std::string_view rest = text; !rest.empty();) {
    const auto pair = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(pair.size() + 1, rest.size()));
    if (++parameters > kParametersMax) return fail(ErrorCode::invalid_argument, "too many parameters");
    const auto equals = pair.find('=');
    if (equals == pair.npos) continue;
    const auto name = TRY(decode(pair.substr(0, equals)));
    const auto value = TRY(decode(pair.substr(equals + 1)));
    TRY(set(query, name, value));
  }
  return query;
}

http::Response list_answer(const http::Request& request, const ModelQuery& query, std::vector<ListedModel> models) {
  std::vector<Json> fitting;
  for (const auto& model : models) {
    Json info = info_of(model.repository, model.is_gated);
    if (!fits(query, model, info)) continue;
    if (!query.is_full) info.erase("siblings");
    fitting.push_back(std::move(info));
  }
  // By name where nothing else is asked for, so that pages hang together.
  std::sort(fitting.begin(), fitting.end(), [](const Json& a, const Json& b) { return a["id"] < b["id"]; });
  if (query.sort == "lastModified" || query.sort == "createdAt") {
    std::stable_sort(fitting.begin(), fitting.end(), [&](const Json& a, const Json& b) { return query.is_ascending ? a["lastModified"] < b["lastModified"] : b["lastModified"] < a["lastModified"]; });
  }
  const std::size_t first = std::min(query.page.first, fitting.size()), last = std::min(fitting.size(), first + query.page.count);
  Json entries = Json::array();
  for (std::size_t i = first; i < last; ++i) entries.push_back(std::move(fitting[i]));
  auto response = json_answer(200, entries);
  if (last < fitting.size()) response.headers.add("Link", next_link(request, last));
  return response;
}

}  // namespace redoubt::hub
