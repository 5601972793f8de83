// SPDX-License-Identifier: Apache-2.0
//
// GET /api/models: the search of HfApi.list_models.
#pragma once

#include "http/message.h"
#include "hub/answers.h"

namespace redoubt::hub {

struct ModelQuery {
  std::string search, author;
  std::vector<std::string> filters;  // tags, all of which a model has
  bool is_full = false;              // with every file
  bool is_ascending = false;
  std::string sort;                  // "", lastModified, createdAt, downloads, likes
  std::optional<bool> gated;
  Page page;
};
// invalid_argument for a malformed parameter; parameters of the Hub that a mirror has nothing for are left unread.
Result<ModelQuery> parse_model_query(std::string_view query);

struct ListedModel {
  Repository repository;
  bool is_gated = false;
};
http::Response list_answer(const http::Request& request, const ModelQuery& query, std::vector<ListedModel> models);

}  // namespace redoubt::hub
