// SPDX-License-Identifier: Apache-2.0
//
// The Hub's JSON answers and errors, as huggingface_hub 2 reads them.
#pragma once

#include "http/message.h"
#include "hub/repository.h"

namespace redoubt::hub {

http::Response json_answer(int status, const Json& body);
// The Hub's clients tell errors apart by X-Error-Code.
http::Response error_answer(int status, const char* code, std::string message);
http::Response missing_repository();
http::Response missing_revision();
http::Response missing_entry();

// /api/models/OWNER/NAME and .../revision/REV
Json info_of(const Repository& repository);
// .../tree/REV[/FOLDER]: the files below `folder` ("" is the repository), or, when not recursive, its files and folders. Empty
// when there is no such folder.
Json tree_of(const Repository& repository, const std::string& folder, bool recursive);
// .../paths-info/REV: what of the request's {"paths"} is there.
http::Response paths_info(const http::Request& request, const Repository& repository);
// .../refs
Json refs_of(const Repository& repository);
// .../commits/REV: one, since a mirror keeps no history.
Json commits_of(const Repository& repository);

}  // namespace redoubt::hub
