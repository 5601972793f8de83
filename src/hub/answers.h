// SPDX-License-Identifier: Apache-2.0
//
// The Hub's JSON answers and errors, as huggingface_hub 2 reads them.
#pragma once

#include "http/message.h"
#include "hub/store.h"

namespace redoubt::hub {

http::Response json_answer(int status, const Json& body);
// The Hub's clients tell errors apart by X-Error-Code.
http::Response error_answer(int status, const char* code, std::string message);
http::Response missing_repository();
http::Response missing_revision();
http::Response missing_entry();
http::Response gated();
// A repository in which the scan found something.
http::Response quarantined(const std::vector<std::string>& findings);
// The next page's Link header (RFC 8288): the request's own address with that cursor.
std::string next_link(const http::Request& request, std::size_t cursor);
// `limit` and `cursor` of a query; invalid_argument.
struct Page {
  std::size_t first = 0, count = 0;
};
inline constexpr std::size_t kPageMax = 1000;
Result<Page> page_of(std::string_view query, std::size_t count_max);

// /api/models/OWNER/NAME and .../revision/REV
Json info_of(const Repository& repository, bool is_gated);
// Whether a request for a tree or for paths asks for `expand`: their last commits, and what the scan said of each file. Then the history
// that the next two are given reaches further back than to the commit itself, which stands first.
bool wants_last_commits(const http::Request& request);
// .../tree/REV[/FOLDER]: a page of the files below `folder` ("" is the repository) and its folders, or, when not recursive, of
// what lies directly in it.
http::Response tree_answer(const http::Request& request, const std::vector<Commit>& history, const std::string& folder);
// .../paths-info/REV: what of the request's {"paths"} is there.
http::Response paths_info(const http::Request& request, const std::vector<Commit>& history);
// .../refs
Json refs_of(const Refs& refs);
// .../commits/REV, the newest first.
http::Response commits_answer(const http::Request& request, const std::vector<Commit>& commits);

}  // namespace redoubt::hub
