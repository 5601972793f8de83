// SPDX-License-Identifier: Apache-2.0
//
// The parameters of a mirror's requests: paths, the search's query, pages, the paths of paths-info; and its files of state.
#include "fuzz_input.h"
#include "hub/answers.h"
#include "hub/model_list.h"
#include "hub/repository_json.h"

using namespace redoubt;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string text(fuzz_text(data + 1, size - 1));
  hub::Repository repository{.id = "acme/tiny", .commit = std::string(40, 'a'), .modified = "2026-01-01T00:00:00.000Z", .files = {}, .findings = {}};
  for (const char* path : {"config.json", "sub/a.txt", "sub/b/c.safetensors"}) {
    hub::RepositoryFile file;
    file.path = path;
    file.large = file.path.ends_with(".safetensors");
    repository.files.push_back(std::move(file));
  }
  hub::Commit commit;
  commit.repository = repository;
  auto first = commit;
  first.repository.commit = std::string(40, 'b');
  first.repository.files.pop_back();
  const std::vector<hub::Commit> history{std::move(commit), std::move(first)};
  http::Request request;
  request.method = "GET";
  request.path = "/api/models";
  switch (data[0] % 5) {
    case 0:
      request.query = text;
      if (const auto query = hub::parse_model_query(text)) hub::list_answer(request, *query, {{repository, false}, {repository, true}});
      break;
    case 1:
      request.query = text;
      hub::tree_answer(request, history, "");
      break;
    case 2:
      hub::tree_answer(request, history, text);
      break;
    case 3:
      request.method = "POST";
      request.body = text;
      if (size % 2 == 0) request.headers.add("content-type", "application/x-www-form-urlencoded");
      hub::paths_info(request, history);
      break;
    default:
      if (const auto parsed = hub::parse_repository(text, "fuzz", "fuzz")) hub::to_text(*parsed, "fuzz");
  }
  return 0;
}
